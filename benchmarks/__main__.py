"""`make bench`: run the benchmarks, print and keep their figures, and generate the README's table from what is kept."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.figures import Figure, amount
from contracts.errors import FreshetError

# One headline figure each: a file of this folder with `measure(quick, say)`, imported when it is run.
BENCHMARKS = {
    "stream_events": "records/s from a real Kafka through our agent to shards, against Faust, Quix Streams and Bytewax",
    "worker_scaling": "the same by two worker processes, against one",
    "steps": "microseconds a record by step, against aiokafka and JSON decoding alone",
    "shard_commit": "commit of a shard of 4,096 samples, and what other partitions do meanwhile",
    "replay_day": "records/s of `make replay` of a day of clicks, against a plain Faust agent",
    "memory": "memory of one worker's writers after ten million events, against after one million",
    "codec": "samples/s into a TFRecord file and back, against the tfrecord package",
    "online_step": "samples/s of the online update on one thread, against a plain torch loop",
    "user_rows": "memory and commits of an online worker by the number of its users",
    "publish": "what a publish costs by the number of users, when a reader shows it, and what a reader holds",
    "retrieve": "a retrieval in process, against pymilvus bare; recall and time of the indexes alone",
    "serve": "requests/s and latencies over HTTP, and while 50 versions are published",
    "full_retrain": "samples/s of a full retrain's day on one torch thread, against the same towers in plain torch",
}


@dataclass(frozen=True)
class Options:
    """What to run. `quick`: a small smoke run whose figures are printed and thrown away."""

    names: tuple[str, ...]
    quick: bool
    folder: Path = results.RESULTS
    readme: Path = results.README


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code. A figure below its must is no failure: it is printed as missed."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        print("\n".join(f"{name:<16}{what}" for name, what in BENCHMARKS.items()))
        return 0
    options = Options(tuple(arguments.only or BENCHMARKS), arguments.quick)
    try:
        return run(options)
    except FreshetError as error:
        print(f"benchmarks: {error}\n  {error.hint}".rstrip(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("benchmarks: interrupted; what had ended is kept", file=sys.stderr)
        return 130


def run(options: Options) -> int:
    """Run each benchmark; keep its figures as soon as it has ended."""
    found: list[Figure] = []
    for name in options.names:
        _say(f"{name}: {BENCHMARKS[name]}")
        figures: list[Figure] = importlib.import_module(f"benchmarks.{name}").measure(options.quick, _say)
        if not options.quick:
            _say(f"  kept in {results.write(options.folder, name, figures)}")
        found += figures
    console = Console()
    console.print(_table(found))
    for figure in found:
        console.print(f"[bold]{figure.figure}[/bold]: {figure.note}", highlight=False)
    _say("A quick run: nothing was kept." if options.quick else results.put_into_readme(options.readme, options.folder))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), help="run this one (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="a small smoke run; keeps nothing")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    return parser


def _table(figures: Sequence[Figure]) -> Table:
    made = Table(caption="a higher ratio is better; absolute figures move with the machine")
    for column in ("figure", "ours", "peer", "ratio", "must", "aim"):
        made.add_column(column, justify="left" if column == "figure" else "right")
    for figure in figures:
        ours, peer = (f"{amount(value)} {figure.unit}" for value in (figure.ours, figure.peer))
        verdicts = (figure.verdict(asked) for asked in (figure.must, figure.aim))
        made.add_row(figure.figure, ours, f"{figure.peer_name}\n{peer}", f"{figure.ratio:.2f}x", *verdicts)
    return made


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
