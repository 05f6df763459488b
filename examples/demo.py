"""`freshet demo`: arguments to frozen values, a transport, one walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from contracts import command_line
from contracts.layout import Layout
from streams.sources.open import open_source
from streams.sources.options import SourceOptions, add_source_arguments, source_options


@dataclass(frozen=True)
class Plan:
    """What the demo was asked for. `speed` 0: as fast as it goes."""

    source: SourceOptions
    root: Path
    transport: str
    speed: float


def demo(argv: Sequence[str]) -> int:
    """`freshet demo`."""
    plan = _parse(argv)
    from examples import transport  # these import all stages: not for --help
    from examples.walk import Walk

    console = Console()
    source = open_source(plan.source)
    choice = transport.choose(plan.transport)
    layout = Layout(plan.root / f"{source.name}-{choice.kind}")
    console.print(f"transport   {choice.why}\nrun folder  {layout.root}", highlight=False, soft_wrap=True)
    with transport.opened(choice, layout, source, console.print) as opened:
        Walk(layout, source, opened, console, plan.speed).run(choice.why)
    return 0


def _parse(argv: Sequence[str]) -> Plan:
    parser = command_line.parser(
        "demo",
        "A click's whole way on one machine.\n\n"
        "The days before the last are folded into shards and trained into a base. The last day is streamed, learned\n"
        "by the online update and published every 30 minutes of event time; what is served is measured against the\n"
        "frozen base. It ends with a page of results. After Ctrl-C the same command goes on where it was.",
        "examples:\n"
        "  freshet demo\n"
        "  freshet demo --data clicks.csv.gz --format globo\n"
        "  freshet demo --data log.csv --columns user=uid,item=article,time=ts --time-unit s",
        root=Path("var/demo"),
    )
    add_source_arguments(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--transport",
        choices=("auto", "kafka", "direct"),
        default="auto",
        help="kafka: fail without one; direct: fold the log without Kafka; auto: Kafka if it can be had (default)",
    )
    how.add_argument(
        "--speed", type=float, default=0.0, metavar="X", help="stream the day at X times real time (default: no limit)"
    )
    arguments = parser.parse_args(argv)
    return Plan(source_options(arguments), arguments.root, arguments.transport, arguments.speed)
