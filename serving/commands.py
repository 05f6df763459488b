"""Commands of serving: `freshet retrieve`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts import command_line
from contracts.errors import EventRejected, UsageError
from contracts.events import Context, float32
from contracts.features import FeatureSpec
from contracts.layout import Layout

if TYPE_CHECKING:
    from serving.answer import Answer


@dataclass(frozen=True)
class RetrieveArguments:
    """What `retrieve` was asked."""

    layout: Layout
    user_id: str
    k: int
    context: tuple[tuple[str, str], ...]
    frozen: bool
    as_json: bool


def retrieve(argv: Sequence[str]) -> int:
    """`freshet retrieve`: the best items for a user, from the version that is served."""
    arguments = _arguments(argv)
    from serving.retriever import Retriever
    from serving.settings import ServingSettings

    retriever = Retriever(arguments.layout, ServingSettings.load())
    view = retriever.frozen() if arguments.frozen else retriever.view
    context = _context(arguments.context, view.parts.base.manifest.towers.context)
    answer = view.retrieve(arguments.user_id, arguments.k, context)
    retriever.close()
    if arguments.as_json:
        import msgspec

        print(json.dumps(msgspec.to_builtins(answer), indent=2))
    else:
        _print(answer, arguments.frozen)
    return 0


def _arguments(argv: Sequence[str]) -> RetrieveArguments:
    parser = command_line.parser(
        "retrieve",
        "Show the best items for a user, and which version, row and clicks the answer comes from.",
        "A user whom the version does not know is answered by the common row, and the answer says so.",
    )
    parser.add_argument(
        "--user", type=command_line.utf8, required=True, metavar="ID", help="user id; any text, also one never seen"
    )
    parser.add_argument("-k", type=command_line.positive, default=20, help="how many items (default: 20, at most 1000)")
    parser.add_argument(
        "--context",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a feature of the request; may be repeated",
    )
    parser.add_argument("--frozen", action="store_true", help="answer as the base alone would, without today's clicks")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs; times in ms")
    parsed = parser.parse_args(argv)
    pairs = tuple(parsed.context)
    return RetrieveArguments(command_line.layout(parsed), parsed.user, parsed.k, pairs, parsed.frozen, parsed.json)


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name or not sign:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _context(pairs: Sequence[tuple[str, str]], spec: FeatureSpec) -> Context:
    """Return the context that the pairs mean to a tower with these features. Raises `UsageError`."""
    numbers = {feature.name for feature in spec.continuous}
    known = numbers | {feature.name for feature in spec.discrete}
    unknown = [name for name, _ in pairs if name not in known]
    if unknown:
        features = f"It knows {', '.join(sorted(known))}." if known else "It was trained without context."
        raise UsageError(f"the served base knows no feature {unknown[0]!r}", hint=features)
    continuous = {name: _number(name, value) for name, value in pairs if name in numbers}
    return Context({name: value for name, value in pairs if name not in numbers}, continuous)


def _number(name: str, value: str) -> float:
    try:
        return float32(float(value))
    except (ValueError, EventRejected):
        raise UsageError(f"--context {name}={value}: {value!r} is not a finite number") from None


def _print(answer: Answer, frozen: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    version = f"Frozen base {answer.base_id}" if frozen else f"Version {answer.version}, base {answer.base_id}"
    console.print(f"{version}; items found by: {answer.search}", style="bold", markup=False)
    console.print(f"User {answer.user_id} (partition {answer.partition}): {_row(answer)}", markup=False)
    table = Table("rank", "item", "score", "of which trend")
    for rank, item in enumerate(answer.items, start=1):
        table.add_row(str(rank), escape(item.item_id), f"{item.score:.4f}", f"{item.trend:+.4f}")
    console.print(table)
    console.print(", ".join(f"{step} {took:.1f} ms" for step, took in answer.milliseconds.items()), style="dim")


def _row(answer: Answer) -> str:
    """Say in words how the user was known."""
    if answer.age_ms is None:
        return "unknown user: common row"
    origin = f"delta {answer.delta}" if answer.delta else "the base"
    minutes = answer.age_ms / 60_000
    return f"own row from {origin}, {answer.clicks} clicks, the last {minutes:.0f} min before what is served"
