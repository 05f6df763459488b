r"""A model that is not ours: factors by alternating least squares of the `implicit` package, as files to import.

    python -m examples.import_implicit --root RUN --topic events --day 2025-01-06 --day 2025-01-07 --out factors/
    freshet trainer import --root RUN --topic events --day 2025-01-06 --day 2025-01-07 --score dot \
        --items factors/items.safetensors --users factors/users.safetensors

It reads the days from the run folder's shards. The score of a pair is user . item, so the row enters it linearly.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from safetensors.numpy import save_file
from scipy import sparse

from contracts import command_line
from contracts.arrays import Array
from contracts.layout import Layout
from trainer.training_days import day_chunks, find_day, open_topic


@dataclass(frozen=True)
class Wanted:
    """What to factorise: days of a topic, items with at least `least` clicks, by so many factors."""

    layout: Layout
    topic: str
    days: tuple[str, ...]
    zone: str
    least: int
    factors: int


def columns(ids: list[str], vectors: Array) -> dict[str, Array]:
    """Return the arrays of an items or users file: ids as UTF-8 text one after the other, and where each ends."""
    encoded = [each.encode() for each in ids]
    return {
        "ids.text": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "ids.ends": np.cumsum([len(each) for each in encoded], dtype=np.int64),
        "vectors": np.ascontiguousarray(vectors, dtype=np.float32),
    }


def clicks(wanted: Wanted) -> tuple[list[str], list[str]]:
    """Return who clicked and what, click by click, of items that have enough clicks."""
    topic = open_topic(wanted.layout, wanted.topic)
    users, items = list[str](), list[str]()
    for name in wanted.days:
        for chunk in day_chunks(topic, find_day(topic, name, wanted.zone), lambda done, total: None):
            users += chunk.users
            items += chunk.items
    counts = Counter(items)
    kept = [at for at, item in enumerate(items) if counts[item] >= wanted.least]
    return [users[at] for at in kept], [items[at] for at in kept]


def factorise(wanted: Wanted, folder: Path) -> tuple[int, int]:
    """Write items.safetensors and users.safetensors; return how many there are of each."""
    who, what = clicks(wanted)
    users, items = sorted(set(who)), sorted(set(what))
    row, column = ({name: at for at, name in enumerate(names)} for names in (users, items))
    at = ([row[user] for user in who], [column[item] for item in what])
    matrix = sparse.coo_matrix((np.ones(len(who), np.float32), at), shape=(len(users), len(items))).tocsr()
    model = AlternatingLeastSquares(
        factors=wanted.factors, regularization=50.0, alpha=10.0, iterations=10, random_state=1, num_threads=1
    )
    model.fit(matrix, show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(columns(items, model.item_factors), folder / "items.safetensors")
    save_file(columns(users, model.user_factors), folder / "users.safetensors")
    return len(items), len(users)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the example."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--root", type=Path, required=True)
    made.add_argument("--topic", default="events")
    made.add_argument("--day", action="append", required=True)
    made.add_argument("--day-zone", default="UTC")
    made.add_argument("--least", type=command_line.positive, default=5, help="clicks until an item has a vector (5)")
    made.add_argument("--factors", type=command_line.positive, default=64)
    made.add_argument("--out", type=Path, required=True)
    given = made.parse_args(argv)
    layout, days = Layout(given.root), tuple(given.day)
    items, users = factorise(Wanted(layout, given.topic, days, given.day_zone, given.least, given.factors), given.out)
    print(f"{items:,} items and {users:,} users in {given.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
