"""The mean of the item vectors that a user clicked today: the simplest model of a session."""

from __future__ import annotations

import numpy as np

from contracts.arrays import Floats
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Asked, Clicks, History

LATEST = 20


class SessionMean:
    """Scores by the mean vector of the user's last `LATEST` clicks of the day; without any, of yesterday's clicks."""

    def __init__(self, history: History, vectors: Floats) -> None:
        items = history.days[-1].items
        self._turned = np.ascontiguousarray(vectors.T)
        self._vectors = vectors
        self._everybody = vectors[items[items != NOT_A_CANDIDATE]].mean(axis=0)
        self._clicked: dict[int, list[int]] = {}

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        found = [self._clicked.get(user) for user in asked.users.tolist()]
        means = [self._everybody if items is None else self._vectors[items].mean(axis=0) for items in found]
        return np.asarray(np.array(means, dtype=np.float32).reshape(-1, len(self._turned)) @ self._turned)

    def learn(self, clicks: Clicks) -> None:
        """Remember the window's clicks."""
        for user, item in zip(clicks.users.tolist(), clicks.items.tolist(), strict=True):
            if item != NOT_A_CANDIDATE:
                kept = self._clicked.setdefault(user, [])
                kept.append(item)
                del kept[:-LATEST]
