"""Which checks there are, and asking one without ever waiting long for it.

A stage offers its own checks in its `checkup` modules, which are imported when they are asked for: nothing of a stage
is loaded where its packages are missing, and never torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple

from contracts.errors import FreshetError
from contracts.findings import Finding, fault, of_error
from contracts.layout import Layout
from infra.doctor import packages

PATIENCE_S = 10.0
Look = Callable[[Layout], Iterator[Finding | None]]  # None: nothing found yet, and still at work


class Check(NamedTuple):
    """Where the function of a check lives; `extra` (if any) must be installed for it to be asked."""

    group: str
    module: str
    function: str
    extra: str = ""


class _Ended(NamedTuple):
    error: Exception | None


CHECKS = (
    Check("packages", "infra.doctor.packages", "look"),
    Check("settings", "infra.doctor.config", "look"),
    Check("settings", "streams.checkup", "settings"),
    Check("settings", "trainer.checkup", "settings"),
    Check("settings", "publisher.checkup", "settings"),
    Check("settings", "serving.checkup", "settings"),
    Check("disk", "infra.doctor.disk", "look"),
    Check("clocks", "infra.doctor.clocks", "look"),
    Check("kafka", "streams.checkup_kafka", "look", "streams"),
    Check("chains", "infra.doctor.chains", "look"),
    Check("bases", "infra.doctor.bases", "look"),
    Check("served", "infra.doctor.served_version", "look"),
    Check("served", "publisher.checkup_store", "store", "publisher"),
    Check("served", "serving.checkup_store", "store", "serving"),
    Check("state", "infra.doctor.state", "look"),
    Check("sinks", "publisher.checkup_store", "sinks", "publisher"),
    Check("sinks", "serving.checkup_store", "shared_vectors", "serving"),
    Check("ports", "streams.checkup", "port", "streams"),
    Check("ports", "trainer.checkup", "port", "trainer"),
    Check("ports", "serving.checkup", "port", "serving"),
)
GROUPS = tuple(dict.fromkeys(check.group for check in CHECKS))


def asked(check: Check, layout: Layout, patience_s: float = PATIENCE_S) -> Iterator[Finding]:
    """Yield what a check finds as it finds it; each finding is waited for so long, then the rest is given up."""
    if check.extra and (absent := packages.not_installed(check.extra)):
        yield replace(absent, remedy="")  # the group `packages` says what to do
        return
    try:
        function: Look = getattr(importlib.import_module(check.module), check.function)
    except Exception as error:  # packages fail in ways of their own when they are imported
        yield _failed(check, error)
        return
    yield from answered(check, function, layout, patience_s)


def answered(check: Check, function: Look, layout: Layout, patience_s: float) -> Iterator[Finding]:
    """Yield what `function` does, which runs in a thread that nobody waits for when the process ends."""
    said: Queue[Finding | _Ended | None] = Queue()
    Thread(target=_say, args=(function, layout, said), name=check.group, daemon=True).start()
    while True:
        try:
            found = said.get(timeout=patience_s)
        except Empty:
            yield _hangs(check, patience_s)
            return
        if isinstance(found, _Ended):
            if found.error is not None:
                yield _failed(check, found.error)
            return
        if found is not None:
            yield found


def _say(function: Look, layout: Layout, said: Queue[Finding | _Ended | None]) -> None:
    try:
        for finding in function(layout):
            said.put(finding)
        said.put(_Ended(None))
    except Exception as error:  # told where the answer is waited for
        said.put(_Ended(error))


def _failed(check: Check, error: Exception) -> Finding:
    """Return what ended a check; the text of what nobody foresaw is left out, for it may hold a password."""
    if isinstance(error, FreshetError | OSError):
        return of_error(check.group, error)
    if isinstance(error, ModuleNotFoundError):
        return _missing(check, error)
    return fault(
        check.group,
        f"{check.module} ended with a {type(error).__name__}, which nobody foresaw: the rest was not looked at",
        "This is a mistake of Freshet: report it. The other groups are looked at all the same.",
        FreshetError.exit_code,
    )


def _missing(check: Check, error: ModuleNotFoundError) -> Finding:
    install = f"pip install 'freshet[{check.extra}]'" if check.extra else "make setup"
    return fault(check.group, f"the package {error.name!r} cannot be imported", f"Install it: {install}")


def _hangs(check: Check, patience_s: float) -> Finding:
    return fault(
        check.group,
        f"no answer within {patience_s:g} s: the rest of this group was not looked at",
        "A disk or a server hangs: see which one the last line above was about, and what is looked at after it "
        "(docs/operations.md, The doctor).",
        FreshetError.exit_code,
    )
