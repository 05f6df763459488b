"""`freshet doctor`: look at everything that the settings name, say what is wrong and what to do; change nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from contracts import command_line
from contracts.errors import UsageError
from contracts.findings import Finding, of_error
from contracts.layout import Layout
from infra.doctor import digests
from infra.doctor.checks import CHECKS, GROUPS, PATIENCE_S, asked
from infra.doctor.screen import Screen, json_line

DEEP = "digests"
Look = tuple[str, Callable[[], Iterator[Finding]]]


def doctor(argv: Sequence[str]) -> int:
    """`freshet doctor`: 0 nothing is wrong, 1 a machine failed, 2 a person has to change something."""
    parsed = _parser().parse_args(argv)
    layout, groups = command_line.layout(parsed), _groups(parsed.only)
    looks = [(check.group, partial(asked, check, layout)) for check in CHECKS if check.group in groups]
    if parsed.deep:
        looks.append((DEEP, partial(_proved, layout)))
    return _as_json(looks) if parsed.json else _on_screen(layout, looks)


def _on_screen(layout: Layout, looks: Sequence[Look]) -> int:
    screen, told = Screen(), list[tuple[str, Finding]]()
    screen.introduce(layout)
    for group, look in looks:
        screen.begin(group)
        for finding in look():
            screen.show(finding)
            told.append((group, finding))
    screen.sum_up(told)
    return max((finding.exit_code for _, finding in told), default=0)


def _as_json(looks: Sequence[Look]) -> int:
    code = 0
    for group, look in looks:
        for finding in look():
            print(json_line(group, finding), flush=True)
            code = max(code, finding.exit_code)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(
        "doctor",
        "Look at this installation: packages, settings, disk, clocks, Kafka, everything in the run folder, the vector\n"
        "store, sinks and ports. Each line says what was found, and what to do about it.\n\n"
        "Reads only, but for a probe file that it deletes, and may be run beside everything else. What is not there\n"
        f"and need not be is `not used`. What gives no answer for {PATIENCE_S:g} s is a fault, and not waited for.",
        "exit code: 0 no fault; 1 a machine failed; 2 a person has to change something\n"
        "--json: docs/operations.md has the keys",
    )
    parser.add_argument("--only", metavar="GROUPS", help=f"look at these alone, of: {','.join(GROUPS)} (default: all)")
    parser.add_argument("--deep", action="store_true", help="also read every file and prove its digest, however long")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser


def _groups(text: str | None) -> tuple[str, ...]:
    """Return the groups that were named, in the order in which they are looked at. Raises `UsageError`."""
    if text is None:
        return GROUPS
    named = {name.strip() for name in text.split(",")} - {""}
    if not named or (unknown := sorted(named - set(GROUPS))):
        wrong = ", ".join(unknown) if named else "nothing"
        raise UsageError(f"--only names {wrong}, which is no group", hint=f"Groups: {', '.join(GROUPS)}.")
    return tuple(group for group in GROUPS if group in named)


def _proved(layout: Layout) -> Iterator[Finding]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        try:
            task = bar.add_task("manifests and bases proved", total=digests.total(layout))
            yield from digests.proved(layout, lambda count: bar.advance(task, count))
        except OSError as error:
            yield of_error(DEEP, error)
