"""Who clicked which candidates, as a sparse matrix that grows by the window: what collaborative filtering looks at."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from contracts.arrays import Integers
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Clicks, History

LATEST = 64


def matrix(days: tuple[Clicks, ...], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Return float32 [users, candidates]: how often each user clicked each candidate."""
    users, items = (np.concatenate([getattr(day, name) for day in days]) for name in ("users", "items"))
    known = items != NOT_A_CANDIDATE
    ones = np.ones(int(known.sum()), np.float32)
    return sparse.coo_matrix((ones, (users[known], items[known])), shape=shape).tocsr()


class Profiles:
    """The last `LATEST` distinct candidates of each user, history and learned windows together."""

    def __init__(self, history: History) -> None:
        self._candidates = history.candidates
        self._clicked: dict[int, dict[int, None]] = {}
        for day in history.days:
            self._add(day)

    def learn(self, clicks: Clicks) -> None:
        """Remember the window's clicks."""
        self._add(clicks)

    def of(self, users: Integers) -> sparse.csr_matrix:
        """Return float32 [n, candidates], 1 where the user clicked."""
        found = [list(self._clicked.get(user, ())) for user in users.tolist()]
        ends = np.cumsum([0, *map(len, found)])
        items = np.array([item for each in found for item in each], dtype=np.int64)
        ones = np.ones(len(items), np.float32)
        return sparse.csr_matrix((ones, items, ends), shape=(len(users), self._candidates))

    def _add(self, clicks: Clicks) -> None:
        for user, item in zip(clicks.users.tolist(), clicks.items.tolist(), strict=True):
            if item == NOT_A_CANDIDATE:
                continue
            kept = self._clicked.setdefault(user, {})
            kept.pop(item, None)
            kept[item] = None
            if len(kept) > LATEST:
                del kept[next(iter(kept))]
