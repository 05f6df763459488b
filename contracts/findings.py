"""What a look at an installation finds: `freshet doctor` asks each stage, and each answers in these.

A check reads only. It yields a finding as soon as it has one, and None where it has none yet and is still at work:
whoever asks waits a few seconds for each, no longer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from contracts.errors import FreshetError, OperatorError
from contracts.settings import StageSettings, config_folder

Verdict = Literal["ok", "warning", "fault", "unused"]
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Finding:
    """One line of `freshet doctor`: what was looked at, how it stands, what was found, and what to do about it.

    `exit_code`: what a fault makes the command end with, as an error's does; 0 for all others.
    """

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""
    exit_code: int = 0


def ok(what: str, found: str) -> Finding:
    """Return that all is well."""
    return Finding(what, "ok", found)


def unused(what: str, found: str, remedy: str = "") -> Finding:
    """Return that an optional part is not there, or has nothing to do yet."""
    return Finding(what, "unused", found, remedy)


def warning(what: str, found: str, remedy: str) -> Finding:
    """Return what works now, and may soon not."""
    return Finding(what, "warning", found, remedy)


def fault(what: str, found: str, remedy: str, exit_code: int = OperatorError.exit_code) -> Finding:
    """Return what does not work; `exit_code` 1 where a machine failed, 2 where a person has to change something."""
    return Finding(what, "fault", found, remedy, exit_code)


def of_error(what: str, error: FreshetError | OSError, remedy: str = "") -> Finding:
    """Return the fault that an error tells of; `remedy` where its hint is not the best that can be said."""
    if isinstance(error, FreshetError):
        return fault(what, str(error), remedy or error.hint, error.exit_code)
    said = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if error.errno in _FORBIDDEN:
        return fault(what, said, remedy or "Let the user who runs Freshet write there, or name another --root.")
    return fault(what, said, remedy or "See to the disk.", FreshetError.exit_code)


def of_settings(kind: type[StageSettings]) -> Iterator[Finding]:
    """Yield how a stage's file and variables can be read, and go on with it where they can."""
    path, prefix = config_folder() / f"{kind.stage}.toml", f"FRESHET_{kind.stage.upper()}_"
    try:
        kind.load()
    except FreshetError as error:
        yield of_error(kind.stage, error)
        return
    named = sorted(name for name in os.environ if name.upper().startswith(prefix))
    source = str(path) if path.is_file() else f"no {path}: defaults"
    yield ok(kind.stage, f"{source}{', and ' + ', '.join(named) if named else ''}")
