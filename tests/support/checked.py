"""A small run folder with something of everything, and what `freshet doctor` says of one."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import freshet
from contracts.bases import OpenBase
from contracts.deltas import Changes
from contracts.layout import Layout
from tests.support.bases import CUT, Tiny, append_delta, serve, stand, tiny_base
from tests.support.shards import Log, click, write_log


@dataclass(frozen=True)
class Told:
    """What one call of the doctor said: the lines of `--json`, and its exit code."""

    code: int
    lines: list[dict[str, str]]

    def of(self, verdict: str) -> list[tuple[str, str, str]]:
        """Return group, what and found of the lines of a verdict."""
        return [(line["group"], line["what"], line["found"]) for line in self.lines if line["verdict"] == verdict]

    def only(self, verdict: str) -> dict[str, str]:
        """Return the one line of a verdict."""
        (line,) = [line for line in self.lines if line["verdict"] == verdict]
        return line


def doctor(root: Path, *words: str) -> Told:
    """Run `freshet doctor --json`."""
    code, text = printed(root, *words, "--json")
    return Told(code, [json.loads(line) for line in text.splitlines()])


def printed(root: Path, *words: str) -> tuple[int, str]:
    """Run `freshet doctor`; return its exit code and what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = freshet.main(["doctor", "--root", str(root), *words])
    return code, out.getvalue()


def write_shards(layout: Layout, at: int = CUT, log: Log = Log(partitions=2)) -> None:  # noqa: B008
    """Write 40 clicks up to about `at` (ms) as shards of 8."""
    write_log(layout, log, [click(f"u{n % 9}", f"i{n}", at - 1000 * (40 - n)) for n in range(40)], at, (8,))


def installation(root: Path) -> OpenBase:
    """Fill a run folder: shards of two partitions, a base that is ready, a delta of each, one served version."""
    layout = Layout(root)
    write_shards(layout)
    base = tiny_base(layout, Tiny())
    stand(layout, base, "ready")
    for partition in range(2):
        append_delta(layout, base, partition, Changes(np.zeros(8, np.float32), 1))
    serve(layout, base)
    layout.item_store().mkdir()
    return base
