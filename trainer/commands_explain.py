"""`freshet trainer explain`: arguments to frozen values, fold again, print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts import command_line
from contracts.collector import collect_seldom
from contracts.errors import FoldDiffers, MissingInput, UsageError
from contracts.layout import Layout

NEWEST, STDOUT = "newest", Path("-")


@dataclass(frozen=True)
class ExplainArguments:
    """What `freshet trainer explain` was asked for; `until` in ms of watermark; `json`: where to, `-`: to the pipe."""

    layout: Layout
    user: str
    base: str
    topic: str | None
    until: int | None
    k: int
    last: int
    json: Path | None


def parse_explain(argv: Sequence[str]) -> ExplainArguments:
    """Parse the arguments of `explain`."""
    made = command_line.parser(
        "trainer explain",
        "Say which clicks made a user's row, how far each moved it, and what changed in the user's answer since the\n"
        "night: by trend, by the row of everybody, and by their own.",
        "Reads only, also beside running workers. No record is kept for this: the user's partition is folded again\n"
        "from the base's cut and compared with its deltas, bit for bit; exit code 1 where they differ.\n"
        "--json: docs/operations.md has the keys",
    )
    made.add_argument("--user", type=command_line.utf8, required=True, metavar="ID", help="user id, as in the log")
    made.add_argument("--base", default=NEWEST, help="id of the base (default: newest)")
    made.add_argument("--topic", help="whose newest base (default: the setting `topic`)")
    made.add_argument("--until", type=int, metavar="MS", help="explain as of this watermark (ms since 1970)")
    made.add_argument("-k", type=command_line.positive, default=10, help="items of the answer (default: 10)")
    made.add_argument(
        "--last", type=command_line.positive, default=50, metavar="N", help="show the last N clicks (default: 50)"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="also write it as one JSON object; `-`: only that")
    given = made.parse_args(argv)
    layout = command_line.layout(given)
    return ExplainArguments(layout, given.user, given.base, given.topic, given.until, given.k, given.last, given.json)


def explain(argv: Sequence[str]) -> int:
    """Run `freshet trainer explain`. Raises `FoldDiffers`, after everything is said, where a delta disagrees."""
    asked = parse_explain(argv)
    if asked.json and (asked.json.is_dir() or not asked.json.parent.is_dir()):
        raise MissingInput(f"--json {asked.json} is a folder, or in none", hint="Name a file in a folder that exists.")
    import msgspec

    from contracts import rebases
    from contracts.bases import BaseStore, cpu_family
    from trainer.explain import Question
    from trainer.explain import explain as run
    from trainer.explain_text import print_explanation
    from trainer.progress import DayBars
    from trainer.settings import TrainerSettings

    collect_seldom()
    settings = TrainerSettings.load()
    layout, topic = asked.layout, asked.topic or settings.topic
    base = rebases.newest(layout, topic) if asked.base == NEWEST else BaseStore(layout).open(asked.base)
    question = Question(base, asked.user, asked.until, asked.k, asked.last, settings.publish_interval_ms)
    with DayBars() as bars:
        found = run(question, bars.advance)
    if asked.json:
        _write(asked.json, msgspec.json.encode(found))
    if asked.json != STDOUT:
        print_explanation(found)
    if found.differs:
        raise FoldDiffers(
            f"the deltas of partition {found.partition} on base {found.base_id} do not hold what their samples fold "
            f"to: {found.differs}",
            hint=f"Equal bits are promised on one build and CPU family: here {cpu_family()}, the base "
            f"{base.manifest.cpu_family}. Ask again where the worker runs. If it differs there too, serve what was "
            "before (`freshet publish rollback`); the next full retrain starts without these deltas.",
        )
    return 0


def _write(path: Path, document: bytes) -> None:
    if path == STDOUT:
        print(document.decode())
        return
    try:
        path.write_bytes(document + b"\n")
    except OSError as error:
        raise UsageError(f"--json {path} cannot be written: {error.strerror}", hint="Name another file.") from None
