"""The state DBs: who holds them, and whether that process is awake. They are caches: to delete one loses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from contracts.findings import Finding, ok, unused, warning
from contracts.layout import Layout, names
from contracts.state_db import holder

_STOPPED = {"T": "is stopped", "t": "is stopped by a debugger", "D": "waits for a disk", "Z": "is dead"}


def look(layout: Layout) -> Iterator[Finding]:
    """Yield a line for each topic and base whose state is here."""
    found = dict(_folders(layout))
    if not found:
        yield unused("state", "there is none on this machine: a worker makes it")
    for what, folders in found.items():
        holders = {folder: process for folder in folders if (process := holder(folder)) is not None}
        held = f"{_listed(holders)}" if holders else "no process that can be seen from here"
        yield ok(what, f"{len(folders)} state DB{'s' * (len(folders) != 1)}; held by {held}")
        yield from _asleep(what, holders)


def _folders(layout: Layout) -> Iterator[tuple[str, list[Path]]]:
    for topic in names(layout.stream_state("any", 0).parent.parent):
        yield f"joiner of {topic}", _in(layout.stream_state(topic, 0).parent)
    for base in names(layout.trainer_state("any", 0).parent.parent):
        yield f"rows on {base}", _in(layout.trainer_state(base, 0).parent)


def _in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _listed(holders: Mapping[Path, int]) -> str:
    processes = sorted(set(holders.values()))
    return ", ".join(f"process {p} ({sum(h == p for h in holders.values())})" for p in processes)


def _asleep(what: str, holders: Mapping[Path, int]) -> Iterator[Finding]:
    for process in sorted(set(holders.values())):
        words = _STOPPED.get(_status(process))
        if words:
            yield warning(
                what,
                f"process {process}, which holds them, {words}",
                f"Wake it (kill -CONT {process}) or end it (kill -KILL {process}): nothing is lost, and another begins "
                "a state of its own meanwhile.",
            )


def _status(process: int) -> str:
    """Return the letter by which Linux says what a process is doing, empty where it has ended: proc_pid_stat(5)."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2][:1]
    except OSError:
        return ""
