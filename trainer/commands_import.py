"""`freshet trainer import`: parse, call, print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from contracts import command_line
from contracts.collector import collect_seldom
from contracts.layout import Layout

if TYPE_CHECKING:
    from contracts.bases import OpenBase

TEMPERATURES = {"cosine": 0.1, "dot": 1.0}
FILES = {
    "items": "item vectors: `ids`, `vectors`, maybe `biases` (.safetensors), or `id`, `vector`, `bias` (.parquet)",
    "users": "user rows: `ids`, `vectors`, maybe `common`; without them everybody begins without a row",
    "features": "JSON: what the inputs of the towers mean",
    "item_tower": "ONNX: content of an item -> item vector, for items that come later",
}
TOWERS = {
    "context_encoder": "ONNX: context -> what is added to the row; without one the context adds nothing",
    "user_tower": "ONNX instead: row and context -> user vector; refused unless the row enters it linearly",
}


@dataclass(frozen=True)
class ImportArguments:
    """What `freshet trainer import` was asked for; `files` by what they are."""

    layout: Layout
    topic: str | None
    days: tuple[str, ...]
    zone: str | None
    files: dict[str, Path]
    score: Literal["cosine", "dot"]
    temperature: float
    calibrate_on: str
    settings_of: str


def parse_import(argv: Sequence[str]) -> ImportArguments:
    """Parse the arguments of `import`."""
    made = command_line.parser(
        "trainer import",
        "Make a base of a two-tower model that somebody else's code has trained.",
        "score = user . item, or cos(user, item), over the temperature; user = row + encoder(context). docs/import.md\n"
        "says how each file is made. What does not fit is refused before anything is written. The same command again\n"
        "finds the base written. What comes after the last --day is learned online, as on any base.",
    )
    made.add_argument("--topic", help="whose shards the model goes on with (default: the setting `topic`)")
    made.add_argument(
        "--day",
        action="append",
        required=True,
        metavar="YYYY-MM-DD",
        help="a day that the model has seen, or a span FROM/TO; repeat it, in order: the last one ends at the cut",
    )
    made.add_argument("--day-zone", help="time zone of the days, e.g. America/Sao_Paulo (default: the setting)")
    _add_model(made)
    settings = made.add_mutually_exclusive_group()
    settings.add_argument(
        "--calibrate-on",
        default="",
        metavar="DAY",
        help="choose online settings and temperature by folding the day after the model's own onto it",
    )
    settings.add_argument("--settings-of", default="", metavar="BASE", help="take those of an earlier import")
    given = made.parse_args(argv)
    named = {name: getattr(given, name) for name in (*FILES, *TOWERS)}
    return ImportArguments(
        command_line.layout(given),
        given.topic,
        tuple(given.day),
        given.day_zone,
        {name: path for name, path in named.items() if path},
        cast(Literal["cosine", "dot"], given.score),
        given.temperature or TEMPERATURES[given.score],
        given.calibrate_on,
        given.settings_of,
    )


def _add_model(made: argparse.ArgumentParser) -> None:
    """Add the options that say what the model is."""
    made.add_argument("--items", type=Path, required=True, metavar="FILE", help=FILES["items"])
    for name in ("users", "features", "item_tower"):
        made.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="FILE", help=FILES[name])
    one = made.add_mutually_exclusive_group()
    for name, text in TOWERS.items():
        one.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="FILE", help=text)
    made.add_argument("--score", choices=sorted(TEMPERATURES), default="cosine", help="how it scores (default: cosine)")
    made.add_argument(
        "--temperature", type=_temperature, help="what scores are divided by (default: 0.1 for cosine, 1 for dot)"
    )


def import_model(argv: Sequence[str]) -> int:
    """Run `freshet trainer import`."""
    arguments = parse_import(argv)
    from trainer.importing.model import Paths
    from trainer.importing.run import ImportPlan
    from trainer.importing.run import import_model as run
    from trainer.progress import DayBars
    from trainer.settings import TrainerSettings

    collect_seldom()
    zone = {"day_zone": arguments.zone} if arguments.zone else {}
    settings = TrainerSettings.load(**zone)
    plan = ImportPlan(
        arguments.topic or settings.topic,
        arguments.days,
        Paths(**arguments.files),
        arguments.score,
        arguments.temperature,
        arguments.calibrate_on,
        arguments.settings_of,
        settings,
    )
    with DayBars() as bars:
        base = run(arguments.layout, plan, bars.advance)
    _print(base)
    return 0


def _print(base: OpenBase) -> None:
    from trainer.importing.record import of_base

    manifest, told = base.manifest, of_base(base)
    numbers = {name: int(value) for name, value in manifest.metrics.items()}
    print(f"base {manifest.base_id}  digest {base.digest}")
    print(f"  days {', '.join(manifest.days)} ({manifest.day_zone}), imported: it has no parent")
    print(f"  {numbers['items']:,} items, {numbers['users_given']:,} user rows, {manifest.towers.width} wide")
    print(f"  {numbers['users']:,} users with those who clicked, {numbers['samples']:,} samples until the cut")
    if "user_tower" in told.files:
        how = "multiplied by a matrix, which was folded into them" if told.folded else "as they are"
        print(f"  rows enter the user vector {how}; off from linear by {told.deviation:.2%}")
    print(f"  {told.score}, scores over {told.temperature:g}")
    if told.settings_of:
        print(f"  settings of base {told.settings_of}")
    elif told.calibrated_on:
        recall = manifest.metrics["calibration_recall20_active"]
        print(f"  calibrated on {told.calibrated_on}: recall@20 of active users {recall:.4f}")


def _temperature(text: str) -> float:
    number = float(text)
    if not 1e-6 <= number <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no temperature: those lie between 1e-6 and 1e6")
    return number
