"""`freshet experiment`: list the claims, or test one: parse, fold the log, make the runs, print and write."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from contracts import command_line, durable
from contracts.errors import ProcessFailed, UsageError
from contracts.layout import Layout
from trainer.evaluation.commands import add_days, duration, log_name, replayed, settings_for
from trainer.experiments.claims import CLAIMS, Claim

if TYPE_CHECKING:
    from trainer.experiments.bench import Bench
    from trainer.experiments.runs import Budget, Made
    from trainer.progress import DayBars

ALL = "all"


@dataclass(frozen=True)
class ExperimentArguments:
    """What `freshet experiment NAME` was asked for; `log` are the words for `freshet streams replay`.

    `root` None: a folder named after the log. `files`: where JSON, page and plot go, None for their places in the root.
    """

    claims: tuple[Claim, ...]
    root: Path | None
    topic: str
    log: tuple[str, ...]
    base: str
    test: str
    zone: str | None
    interval_ms: int
    seeds: int
    budget_s: float | None
    files: tuple[Path | None, Path | None, Path | None]
    command: str


def parse_experiment(argv: Sequence[str]) -> ExperimentArguments:
    """Parse the arguments of `experiment NAME`; what it does not know belongs to the log. Raises `UsageError`."""
    given, log = _parser().parse_known_args(argv[1:])
    claims = _named(argv[0])
    files = (given.json, given.report, given.plot)
    if len(claims) > 1 and any(files):
        raise UsageError("--json, --report and --plot are for one experiment", hint="Leave them out, or name one.")
    return ExperimentArguments(
        claims,
        given.root,
        given.topic,
        tuple(log),
        given.base,
        given.test,
        given.day_zone,
        given.interval,
        1 if given.quick else given.seeds,
        given.budget / 1000 if given.budget else None,
        files,
        shlex.join(["freshet", "experiment", *argv]),
    )


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "experiment NAME",
        "Test a claim: runs with bases of their own, judged on a day that none of them has seen, with seeds.",
        "NAME is one of these, or `all`:\n"
        + "\n".join(f"  {claim.name:<12}{claim.asks}" for claim in CLAIMS)
        + "\nWhich log: as for `freshet evaluate`; without one, a synthetic log that suits the claim. Bases are kept: "
        "the same\ncommand goes on where it was. docs/experiments.md says what was found.",
        root=None,
        shown="var/experiment/LOG",
    )
    add_days(made)
    made.add_argument("--interval", type=duration, default=1_800_000, metavar="30m", help="publish so often (30m)")
    made.add_argument("--seeds", type=command_line.positive, default=3, help="how many seeds, from 1 on (3)")
    made.add_argument("--quick", action="store_true", help="one seed")
    made.add_argument(
        "--budget", type=duration, metavar="10m", help="begin no run after so long; name those left (default: no end)"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the figures there (default: in the run folder)")
    made.add_argument("--report", type=Path, metavar="FILE", help="write the page there (default: in the run folder)")
    made.add_argument("--plot", type=Path, metavar="FILE", help="write the plot alone there, as SVG (default: nowhere)")
    return made


def experiment(argv: Sequence[str]) -> int:
    """Run `freshet experiment`."""
    if not argv:
        _list()
        return 0
    if argv[0].startswith("-"):
        argv = [ALL, *argv] if set(argv) & {"-h", "--help"} else ["", *argv]
    arguments = parse_experiment(argv)
    from trainer.experiments.runs import Budget

    budget = Budget(arguments.budget_s)
    for number, claim in enumerate(arguments.claims):
        try:
            _test(claim, arguments, budget.share(len(arguments.claims) - number))
        except UsageError as error:  # of several, one may not suit the log
            if len(arguments.claims) == 1:
                raise
            print(f"{claim.name}: not tested: {error}", file=sys.stderr)
    return 0


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what it asks", "--quick", "whole", title="freshet experiment NAME", title_justify="left")
    for claim in CLAIMS:
        table.add_row(claim.name, claim.asks, claim.quick, claim.whole)
    console = Console()
    console.print(table)
    console.print(
        "About so long on the synthetic log, on two cores, with one seed and with three. `freshet experiment all` "
        "tests them one after the other; --budget 10m stops in time. `freshet experiment NAME --help` has the options.",
        highlight=False,
    )


def _named(name: str) -> tuple[Claim, ...]:
    found = tuple(claim for claim in CLAIMS if name in (claim.name, ALL))
    if not found:
        raise UsageError(
            f"no experiment is called {name!r}" if name else "which experiment?",
            hint=f"Name one first: {', '.join(claim.name for claim in CLAIMS)}; or {ALL}.",
        )
    return found


def _test(claim: Claim, arguments: ExperimentArguments, budget: Budget) -> None:
    """Make the runs; where one fails or is interrupted, what was made before it is written all the same."""
    from trainer.experiments.runs import label, made, ordered
    from trainer.progress import DayBars

    words = arguments.log or (() if arguments.root else claim.log or ("--format", "synthetic"))
    folder = Layout(arguments.root or Path("var/experiment") / log_name(words))
    if words and (code := replayed(folder, arguments.topic, words)):
        raise ProcessFailed("the log could not be folded into shards", exit_code=code)
    found: list[Made] = []
    with DayBars() as bars:
        bench = _bench(arguments, folder, words, bars)
        runs = import_module(f"trainer.experiments.{claim.module}").runs(bench)
        wanted = ordered(runs, range(1, arguments.seeds + 1))
        try:
            for each in made(wanted, budget):
                found.append(each)
                what = f"{claim.name}: {label(each.run, each.seed)}"
                bars.finish(f"{what:<48}{each.seconds:7.1f} s   {len(found)} of {len(wanted)}")
        finally:
            if found:
                _tell(claim, arguments, bench, (found, tuple(label(*each) for each in wanted[len(found) :])))


def _tell(
    claim: Claim, arguments: ExperimentArguments, bench: Bench, runs: tuple[Sequence[Made], tuple[str, ...]]
) -> None:
    """Write and print what came of the runs that were made; the others are named."""
    from trainer.experiments import plots, report, results
    from trainer.experiments.console import print_found
    from trainer.experiments.summary import summarise

    made, left = runs
    found, root = summarise(claim, bench, made, (arguments.command, left)), bench.folder.root
    json, page, plot = arguments.files
    page = page or root / f"experiment-{claim.name}.html"
    written = {json or root / f"experiment-{claim.name}.json": results.encode(found), page: report.page(found).encode()}
    if plot:
        written[plot] = plots.alone(found).encode()
    for path, data in written.items():
        durable.make_directory(path.parent)
        durable.replace_file(path, data)
    print_found(found, page)


def _bench(arguments: ExperimentArguments, folder: Layout, words: tuple[str, ...], bars: DayBars) -> Bench:
    from trainer.evaluation.protocol import EvaluationPlan
    from trainer.evaluation.split import split
    from trainer.experiments.bench import Bench, own_folder
    from trainer.training_days import open_topic

    settings = settings_for(arguments.topic, arguments.zone, arguments.interval_ms)
    topic = open_topic(folder, arguments.topic)
    parts = split(topic, settings.day_zone, (arguments.base, arguments.test), settings.online.block_ms)
    plan = EvaluationPlan(
        own_folder(folder, arguments.topic),
        arguments.topic,
        parts.base,
        parts.test,
        1,
        tuple(range(1, arguments.seeds + 1)),
        True,
        settings,
    )
    return Bench(plan, folder, words, bars.advance)
