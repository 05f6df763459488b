"""The bases: their manifests and files, what an interrupted run left, and deltas of bases that are gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from contracts.bases import MANIFEST, BaseStore, OpenBase
from contracts.days import shown
from contracts.errors import Corrupt, FreshetError
from contracts.findings import Finding, fault, of_error, ok, unused, warning
from contracts.layout import Layout, names

_DAY_S = 86_400.0
_AGAIN = "Restore it from a copy; without one serve another base (freshet publish rollback) and train it anew."


def look(layout: Layout) -> Iterator[Finding]:
    """Yield a line for each base, and one for whatever else stands there."""
    store = BaseStore(layout)
    found = store.ids()
    if not found:
        yield unused("bases", f"there are none under {layout.bases()} yet")
    for base_id in found:
        try:
            base = store.open(base_id)
            check_sizes(layout, base)
        except (FreshetError, OSError) as error:
            yield of_error(base_id, error, _AGAIN)
        else:
            yield ok(base_id, _said(base))
    for base_id in sorted(_names(layout) - set(found)):
        where = layout.base(base_id) / MANIFEST
        yield fault(base_id, f"{where} is missing: no base without it", _AGAIN, FreshetError.exit_code)
    yield from _left(layout)
    yield from _orphans(layout)


def _names(layout: Layout) -> set[str]:
    """Return the names of all folders of bases, without the hidden ones of runs that write or delete one."""
    return {name for name in names(layout.bases()) if not name.startswith(".")}


def check_sizes(layout: Layout, base: OpenBase) -> None:
    """Raise `Corrupt` where a file of a base is missing or of another size."""
    for file in base.manifest.files:
        path = layout.base(base.manifest.base_id) / file.name
        size = path.stat().st_size if path.exists() else None
        if size != file.size:
            raise Corrupt(
                str(path),
                "its whole: the file is missing" if size is None else f"its size ({size} of {file.size} bytes)",
            )


def _said(base: OpenBase) -> str:
    manifest = base.manifest
    size = sum(file.size for file in manifest.files)
    until = shown(manifest.cut_watermark)
    return f"{len(manifest.files)} files, {size:,} bytes; topic {manifest.topic} up to {until} UTC"


def _left(layout: Layout) -> Iterator[Finding]:
    """Yield what stands there hidden: of a run that goes on, or, when it is a day old, of one that was killed."""
    for path in sorted(layout.bases().glob(".*")):
        if path.suffix == ".retired":
            yield warning(path.name, "a base that was being deleted", "Go on with it: freshet publish retire")
        elif path.suffix in {".tmp", ".shuffled"} and _age_s(path) > _DAY_S:
            yield warning(path.name, "a retrain that was killed left it", f"If none runs: rm -r {quote(str(path))}")


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:  # whose it is has ended meanwhile
        return 0.0


def _orphans(layout: Layout) -> Iterator[Finding]:
    """Yield deltas and states of the trainer whose base is neither there nor about to be deleted."""
    there = _names(layout)
    for what, one in (("deltas", layout.deltas("any", 0)), ("state", layout.trainer_state("any", 0))):
        for base_id in sorted(set(names(one.parent.parent)) - there):
            folder = (layout.deltas if what == "deltas" else layout.trainer_state)(base_id, 0).parent
            if any(layout.bases().glob(f".{layout.base(base_id).name}.*.retired")):
                continue  # the next `publish retire` deletes them as well
            remove = f"rm -r {quote(str(folder))}"
            yield warning(base_id, f"{what} of a base that is gone: {folder}", f"Restore the base, or: {remove}")
