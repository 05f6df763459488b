"""The facts of `check-source` as a person reads them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.attach.check import Report


def print_report(report: Report) -> None:
    """Print ten records, the counts, what to change, and what is missing."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table(title=f"{report.topic} as {report.kind}s", title_justify="left")
    table.add_column("record", no_wrap=True)
    table.add_column("becomes", overflow="fold")
    for example in report.examples:
        refused = Text(f"✗ {example.why}", style="red")
        table.add_row(Text(example.record), refused if example.why else Text(example.event))
    if report.examples:
        Console().print(table)
    meant = report.looked_at - report.not_meant
    other = f"; {report.not_meant:,} others are not meant by `where`" if report.not_meant else ""
    console.print(Text(f"{report.mapped:,} of {meant:,} records map{other}"))
    events = f"the topic of the events has {report.events_partitions}"
    missing = "the topic of the events does not exist yet: `freshet streams attach` makes it"
    console.print(Text(f"{report.partitions} partitions; {events if report.events_partitions else missing}"))
    for problem in report.problems:
        console.print(Text(f"\nchange: {problem.reason}", style="bold"))
        if problem.records:
            console.print(Text(f"  in {problem.records:,} of {meant or report.looked_at:,}"))
        if problem.example:
            console.print(Text(f"  such as {problem.example}"))
        advice = f"write: {problem.line}" if problem.line else "no line here reads these: they would be dead letters"
        if problem.records:
            console.print(Text(f"  {advice}"))
    for cost in report.costs:
        console.print(Text(f"note: {cost}"))
    console.print()
