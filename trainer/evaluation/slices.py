"""Which clicks a figure is about. A slice is told by what was known when the click's window began, and by its item."""

from __future__ import annotations

import numpy as np

from contracts.arrays import Flags, Integers
from trainer.evaluation.judge import JudgedDay

HOUR_MS = 3_600_000
MEANING = {
    "all": "all clicks",
    "active": "of users who had clicked earlier that day, before the window",
    "active_new": "of active users whom the base does not know",
    "active_known": "of active users whom the base knows",
    "first_known": "the first of the day of users whom the base knows",
    "first_new": "the first of the day of users whom the base does not know",
    "tail": "on items outside the fifth that had the most clicks before the day",
}


def slices(day: JudgedDay, known_users: Flags) -> dict[str, Flags]:
    """Return bool [n] by slice; `known_users`: bool [users], by code, whether the base has a row."""
    active, known = active_clicks(day), known_users[day.clicks.users]
    items = day.clicks.items
    return {
        "all": np.ones(len(active), dtype=np.bool_),
        "active": active,
        "active_new": active & ~known,
        "active_known": active & known,
        "first_known": ~active & known,
        "first_new": ~active & ~known,
        "tail": np.where(items >= 0, day.tail[items], True),
    }


def active_clicks(day: JudgedDay) -> Flags:
    """Return bool [n]: the user had clicked in an earlier window of the day."""
    users = day.clicks.users
    first_window = np.full(int(users.max(initial=-1)) + 1, len(day.window_ends), np.int64)
    windows = window_numbers(day)
    np.minimum.at(first_window, users, windows)
    return np.asarray(windows > first_window[users], dtype=np.bool_)


def window_numbers(day: JudgedDay) -> Integers:
    """Return int64 [n], the window of each click."""
    return np.searchsorted(day.window_ends, np.arange(len(day.clicks)), side="right").astype(np.int64)


def hours(day: JudgedDay) -> Integers:
    """Return int64 [n], how many hours after the day's start the window of each click began."""
    return window_numbers(day) * day.interval_ms // HOUR_MS


def popular_tail(counts: Integers, share: float = 0.2) -> Flags:
    """Return bool [candidates]: outside the `share` of items with the most clicks, int64 [candidates]."""
    popular = np.argsort(-counts, kind="stable")[: int(len(counts) * share)]
    tail = np.ones(len(counts), dtype=np.bool_)
    tail[popular] = False
    return tail
