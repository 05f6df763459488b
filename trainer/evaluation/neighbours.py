"""Collaborative filtering by neighbours: of items (Sarwar et al. 2001) and of users (Herlocker et al. 1999)."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from contracts.arrays import Floats
from trainer.evaluation.clicks import Asked, Clicks, History
from trainer.evaluation.profiles import Profiles, matrix

NEAREST_ITEMS, NEAREST_USERS = 200, 100
MOST_USERS = 500


class ItemNeighbours:
    """Items like those that the user clicked: cosine of who clicked them in the history, the nearest of each item."""

    def __init__(self, history: History) -> None:
        who = matrix(history.days, (history.users, history.candidates))
        who.data[:] = 1.0
        together = (who.T @ who).tocsr()
        clicks = np.maximum(together.diagonal(), 1.0)
        scale = sparse.diags((1 / np.sqrt(clicks)).astype(np.float32))
        alike = (scale @ together @ scale).tolil()
        alike.setdiag(0.0)
        self._alike = _strongest(alike.tocsr(), NEAREST_ITEMS)
        self._profiles = Profiles(history)

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]: similarities summed over the user's last distinct clicks."""
        return np.asarray((self._profiles.of(asked.users) @ self._alike).toarray(), dtype=np.float32)

    def learn(self, clicks: Clicks) -> None:
        """Remember the window's clicks; similarities stay."""
        self._profiles.learn(clicks)


class UserNeighbours:
    """What users like this one clicked: cosine of their clicks in the history, the nearest users.

    For an item with more than `MOST_USERS` users only the latest of them can be found by it: a popular item tells
    little about taste, and all its users would be everybody.
    """

    def __init__(self, history: History) -> None:
        shape = (history.users, history.candidates)
        who = matrix(history.days, shape)
        who.data[:] = 1.0
        length = np.sqrt(np.maximum(np.asarray(who.sum(axis=1)).ravel(), 1.0))
        self._clicked = who
        self._by_item = _latest(sparse.diags((1 / length).astype(np.float32)) @ who, MOST_USERS)
        self._profiles = Profiles(history)

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]: the clicks of the nearest users, weighted by similarity."""
        alike = _strongest((self._profiles.of(asked.users) @ self._by_item).tocsr(), NEAREST_USERS)
        return np.asarray((alike @ self._clicked).toarray(), dtype=np.float32)

    def learn(self, clicks: Clicks) -> None:
        """Remember the window's clicks; the other users are those of the history."""
        self._profiles.learn(clicks)


def _strongest(rows: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """Keep the `most` largest entries of each row."""
    kept = []
    for start, end in zip(rows.indptr[:-1].tolist(), rows.indptr[1:].tolist(), strict=True):
        inside = np.arange(start, end)
        if len(inside) > most:
            inside = np.sort(start + np.argsort(-rows.data[start:end], kind="stable")[:most])
        kept.append(inside)
    at = np.concatenate(kept) if kept else np.zeros(0, np.int64)
    ends = np.cumsum([0, *map(len, kept)])
    return sparse.csr_matrix((rows.data[at], rows.indices[at], ends), shape=rows.shape)


def _latest(who: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """Return [candidates, users] with the last `most` users of each item: codes are given by first appearance."""
    turned = who.T.tocsr()
    turned.sort_indices()
    starts, ends = turned.indptr[:-1], turned.indptr[1:]
    kept = [np.arange(max(start, end - most), end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    at = np.concatenate(kept)
    indptr = np.cumsum([0, *map(len, kept)])
    return sparse.csr_matrix((turned.data[at], turned.indices[at], indptr), shape=turned.shape)
