"""A figure: one measured quantity of ours beside a peer's from the same run; as JSON in `benchmarks/results/`."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from contracts.errors import FreshetError

_DIGITS = 5


class Machine(msgspec.Struct, frozen=True):
    """Where a figure was measured: what moves it, and nothing that names the machine. `memory` in GiB."""

    cpu: str
    cores: int
    memory: int
    python: str
    kernel: str


class Figure(msgspec.Struct, frozen=True):
    """One row of the results. A higher `ratio` is better, whichever way the unit runs; `note` holds the spreads.

    `must` (`bar` in the file): the lowest good ratio; `aim`: the one that is worked for; None: there is none.
    """

    figure: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    machine: Machine
    must: float | None = msgspec.field(default=None, name="bar")
    aim: float | None = None
    note: str = ""

    def verdict(self, asked: float | None) -> str:
        """Return a ratio that was asked for with whether it is met, a dash where none was."""
        return "–" if asked is None else f"{asked:.3g}x {'met' if self.ratio >= asked else 'missed'}"


class Comparison(msgspec.Struct, frozen=True):
    """What is compared with whom. `must`, `aim`: ratios asked for, 2.0 being twice as good as the peer."""

    figure: str
    unit: str
    peer_name: str
    must: float | None = None
    aim: float | None = None
    less_is_better: bool = False


def compared(
    what: Comparison, ours: Sequence[float], peer: Sequence[float], machine: Machine, note: str = ""
) -> Figure:
    """Return the figure of measured rounds: medians, their ratio (inverted where less is better), spreads in the note.

    `ours` and `peer` are in the order of the rounds. Raises `FreshetError` where a side measured nothing.
    """
    if min((*ours, *peer), default=0.0) <= 0.0 or not ours or not peer:
        raise FreshetError(f"{what.figure}: a side has measured nothing: ours {list(ours)}, peer {list(peer)}")
    mine, theirs = median(ours), median(peer)
    return Figure(
        figure=what.figure,
        unit=what.unit,
        ours=_rounded(mine),
        peer=_rounded(theirs),
        peer_name=what.peer_name,
        ratio=_rounded(_ratio(what, mine, theirs)),
        machine=machine,
        must=what.must,
        aim=what.aim,
        note=f"Medians; ours {spread(ours)}, peer {spread(peer)}; {_by_round(what, ours, peer)}. {note}".strip(),
    )


def spread(values: Sequence[float]) -> str:
    """Return least and most of some rounds in words."""
    return f"{amount(min(values))} to {amount(max(values))} in {len(values)} round{'s' if len(values) > 1 else ''}"


def amount(value: float) -> str:
    """Return a number for people: thousands separated, small ones with their digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    release = re.match(r"[\d.]*\d", platform.release())  # what follows the numbers is a builder's name
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return Machine(
        cpu=model.group(1).strip() if model else platform.machine(),
        cores=os.cpu_count() or 1,
        memory=round(memory),
        python=platform.python_version(),
        kernel=f"{platform.system()} {release.group() if release else ''}".strip(),
    )


def _ratio(what: Comparison, ours: float, peer: float) -> float:
    return peer / ours if what.less_is_better else ours / peer


def _by_round(what: Comparison, ours: Sequence[float], peer: Sequence[float]) -> str:
    ratios = [_ratio(what, *pair) for pair in zip(ours, peer, strict=True)]
    return f"ratio by round {min(ratios):.2f} to {max(ratios):.2f}, median {median(ratios):.2f}"


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
