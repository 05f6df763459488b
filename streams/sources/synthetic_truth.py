"""The truth behind the clicks of a synthetic log, as a file for those who test claims: what no real log can tell.

`python -m streams.sources.synthetic_truth FILE [the options of the synthetic log]`. One safetensors file with a row per
click, in no order: `users` (text), `times` (int64, ms, of the click), `shown` (int64 [n, 11]: what the request showed
and the user did not click), `likes` (int64 [n, 20]: what the user was most likely to pick at that moment, best first).
Items are positions in `items` (text). No stage reads it: an item that was shown and not clicked is no negative.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from contracts import durable
from contracts.arrays import Floats, Integers, pack
from contracts.errors import FreshetError
from contracts.events import Click
from streams.sources.options import add_source_arguments, source_options
from streams.sources.synthetic import SHOWN, SyntheticSettings, slots

LIKES = 20


def write_truth(settings: SyntheticSettings, path: Path) -> None:
    """Write the truth behind every click of the log that these settings make."""
    users, times = list[str](), list[int]()
    shown, likes = list[Integers](), list[Integers]()
    for visits, events in slots(settings):
        row_of = {f"u{user:05d}": row for row, user in enumerate(visits.users.tolist())}
        clicks = {event.event_id: event for event in events if isinstance(event, Click)}.values()  # some came twice
        rows = np.array([row_of[click.user_id] for click in clicks], dtype=np.int64)
        users += [click.user_id for click in clicks]
        times += [click.event_time for click in clicks]
        shown.append(visits.ranked[rows, 1:SHOWN])
        likes.append(_best(visits.chances[rows]))
    found = {"shown": np.concatenate(shown), "likes": np.concatenate(likes), "times": np.array(times, dtype=np.int64)}
    items = [f"i{item:05d}" for item in range(settings.items)]
    durable.replace_file(path, pack({"users": users, "items": items, **found}))


def _best(chances: Floats) -> Integers:
    first = np.argpartition(-chances, LIKES, axis=1)[:, :LIKES]
    order = np.argsort(-np.take_along_axis(chances, first, axis=1), axis=1, kind="stable")
    return np.take_along_axis(first, order, axis=1)


def main(argv: Sequence[str]) -> int:
    """Write the file that the words name; return the exit code."""
    made = argparse.ArgumentParser(prog="python -m streams.sources.synthetic_truth", description=__doc__)
    made.add_argument("file", type=Path)
    add_source_arguments(made)
    given, _ = made.parse_known_args(argv)  # options of a replay may stand among them
    try:
        write_truth(source_options(given).synthetic, given.file)
    except FreshetError as error:
        print(f"{error}\n  {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
