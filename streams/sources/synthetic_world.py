"""The truth behind the synthetic log: what users like at a time, what everybody looks at, and which items exist.

A click's item is drawn from `(1 - mix) * taste + mix * trend`. Tastes and items are unit vectors around a few topics,
so that a model of two towers can learn them. Within a day a user's taste moves, over about an hour, from one topic to
the next, half of the time to one that this user had liked before: what was learned yesterday fades, what was learned
this morning helps. Trends are bursts: an item rises within half an hour and fades with a half-life of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from contracts.arrays import Doubles, Floats, Integers

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NEVER = 1 << 62

TOPICS, DIMENSIONS, REGIONS = 24, 16, 6
_ITEM_SPREAD = 0.45  # of an item around its topic
_SHARPNESS = 9.0  # of the choice among items by taste
_LASTING = 0.35  # share of a taste that never moves
_MOVES_A_DAY = 2.5
_MOVE_HOURS = 1.0
_BURSTS_A_DAY = 60
_TINY = np.float32(1e-30)
_UNNOTICED = 1e-6  # how strongly an item is looked at that no burst lifts
_NEW_USERS = 0.3  # share of users who come after the first day


@dataclass(frozen=True)
class Items:
    """`vectors` float32 [items, DIMENSIONS]; `topics` int64 [items]; `born`, `gone` in ms since the log's start."""

    vectors: Floats
    topics: Integers
    born: Integers
    gone: Integers
    popularity: Floats


@dataclass(frozen=True)
class Users:
    """`lasting` float32 [users, DIMENSIONS]; `favourites` int64 [users, 3] topics; `since` in ms since the start."""

    lasting: Floats
    favourites: Integers
    activity: Doubles
    since: Integers
    regions: Integers


@dataclass(frozen=True)
class Bursts:
    """Each burst lifts `item` from `start` (ms) on: up within half an hour, then down by `half_life` (ms)."""

    item: Integers
    start: Integers
    strength: Doubles
    half_life: Doubles

    def strengths(self, items: int, time: int) -> Doubles:
        """Return float64 [items]: how strongly each item is looked at at `time`."""
        age = time - self.start
        rise = np.clip(age / (HOUR_MS / 2), 0.0, 1.0)
        now = self.strength * rise * np.exp2(-np.clip(age, 0, None) / self.half_life)
        return np.asarray(np.bincount(self.item, weights=now, minlength=items), dtype=np.float64)


class World:
    """Users, items and bursts, and the users' tastes as they move; `advance` goes forward in time only."""

    def __init__(self, rng: Generator, users: int, items: int, days: int) -> None:
        self._rng = rng
        self.centres = _unit(rng.standard_normal((TOPICS, DIMENSIONS), dtype=np.float32))
        self.items = _items(rng, self.centres, items, days)
        self.users = _users(rng, self.centres, users, days)
        self.bursts = _bursts(rng, self.items, days)
        self.goals = self.users.favourites[:, 0].copy()
        self.tastes = self._blended(self.centres[self.goals])
        self.clicked = np.zeros((users, items), dtype=bool)

    def advance(self, hours: float) -> None:
        """Let `hours` pass: some users set out for another topic, all tastes move towards their topic."""
        rng, users = self._rng, len(self.goals)
        moves = rng.random(users) < _MOVES_A_DAY * hours / 24
        known = self.users.favourites[np.arange(users), rng.integers(0, 3, users)]
        goals = np.where(rng.random(users) < 0.5, known, rng.integers(0, TOPICS, users))
        self.goals = np.where(moves, goals, self.goals)
        step = np.float32(1.0 - np.exp(-hours / _MOVE_HOURS))
        self.tastes = _unit(self.tastes + step * (self._blended(self.centres[self.goals]) - self.tastes))

    def preferences(self, users: Integers, time: int, mix: float) -> Floats:
        """Return float32 [users, items]: the chance that each of `users` picks each item at `time`; rows sum to 1.

        Items that do not exist then, or that the user has clicked before, have none.
        """
        exists = (self.items.born <= time) & (time < self.items.gone)
        free = exists & ~self.clicked[users]
        # einsum, not a BLAS: the same sums on every machine, and no threads for so little.
        liking = np.einsum("ud,di->ui", self.tastes[users], np.ascontiguousarray(self.items.vectors.T))
        taste: Floats = np.exp(_SHARPNESS * liking, dtype=np.float32)
        taste *= self.items.popularity
        taste *= free
        trend: Floats = (self.bursts.strengths(len(exists), time) + _UNNOTICED).astype(np.float32) * free
        taste *= (1.0 - mix) / _totals(taste)
        trend *= mix / _totals(trend)
        taste += trend
        return taste

    def _blended(self, topics: Floats) -> Floats:
        return _unit(_LASTING * self.users.lasting + (1.0 - _LASTING) * topics)


def _items(rng: Generator, centres: Floats, count: int, days: int) -> Items:
    topics = rng.integers(0, TOPICS, count)
    around = rng.standard_normal((count, DIMENSIONS), dtype=np.float32) / np.float32(np.sqrt(DIMENSIONS))
    passing = rng.random(count) < 0.4
    born = rng.integers(-DAY_MS, days * DAY_MS, count)
    life = (rng.lognormal(np.log(20.0), 0.6, count) * HOUR_MS).astype(np.int64)
    return Items(
        vectors=_unit(centres[topics] + _ITEM_SPREAD * around),
        topics=topics,
        born=np.where(passing, born, -NEVER),
        gone=np.where(passing, born + life, NEVER),
        popularity=rng.lognormal(0.0, 0.7, count).astype(np.float32),
    )


def _users(rng: Generator, centres: Floats, count: int, days: int) -> Users:
    regions = rng.integers(0, REGIONS, count)
    # A region has topics of its own: the context says something about users whom the model does not know.
    local = rng.integers(0, TOPICS, (REGIONS, 3))[regions]
    favourites = np.where(rng.random((count, 3)) < 0.5, local, rng.integers(0, TOPICS, (count, 3)))
    late = rng.random(count) < _NEW_USERS
    return Users(
        lasting=_unit(centres[favourites].sum(axis=1) + rng.standard_normal((count, DIMENSIONS), dtype=np.float32) / 4),
        favourites=favourites,
        activity=rng.lognormal(0.0, 0.9, count),
        since=np.where(late, rng.integers(0, days * DAY_MS, count), -NEVER),
        regions=regions,
    )


def _bursts(rng: Generator, items: Items, days: int) -> Bursts:
    count = _BURSTS_A_DAY * (days + 1)
    item = rng.integers(0, len(items.topics), count)
    # An item that has a birth bursts soon after it; a lasting one, at any time from the day before the log on.
    anytime = rng.integers(-DAY_MS, days * DAY_MS, count)
    soon = items.born[item] + (rng.exponential(2.0, count) * HOUR_MS).astype(np.int64)
    return Bursts(
        item=item,
        start=np.where(items.born[item] == -NEVER, anytime, soon),
        strength=rng.lognormal(0.0, 0.8, count),
        half_life=rng.uniform(0.7, 2.5, count) * HOUR_MS,
    )


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _totals(weights: Floats) -> Floats:
    return np.asarray(np.maximum(weights.sum(axis=1, keepdims=True), _TINY), dtype=np.float32)
