"""A synthetic day of clicks in the format of a published log, for the replay: seeded, with the rhythm of a day."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np

from benchmarks.click_log import ClickLog
from contracts.arrays import Integers
from contracts.days import bounds
from streams.sources.globo import COLUMNS, DAY_ZONE

DAY = "2017-10-05"
_CODES = {"environment": 4, "deviceGroup": 5, "os": 20, "country": 11, "region": 28, "referrer_type": 7}


def write_day(path: Path, clicks: int, seed: int = 1) -> None:
    """Write a gzipped csv of `clicks` clicks of one day, sorted by time; items by Zipf's law, users evenly."""
    dice, log = np.random.default_rng(seed), ClickLog(clicks, 1)
    table = {
        COLUMNS.user: dice.integers(clicks // 4 + 1, size=clicks),
        COLUMNS.item: dice.choice(log.items, size=clicks, p=log.shares()),
        COLUMNS.time: _times(dice, clicks),
    } | {column: dice.integers(1, _CODES[name] + 1, size=clicks) for name, column in COLUMNS.discrete}
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))


def _times(dice: np.random.Generator, clicks: int) -> Integers:
    """Draw times in ms: traffic swings between a fifth and nine fifths of its mean, its height in the evening."""
    start, end = bounds(DAY, DAY_ZONE)
    day = end - start
    at = np.arange(0, day, 60_000)
    weights = 1.0 + 0.8 * np.cos(2 * np.pi * (at / day - 20 / 24))
    minutes = dice.choice(at, size=clicks, p=weights / weights.sum())
    return np.sort(start + minutes + dice.integers(60_000, size=clicks))
