"""Matrix factorisation of clicks by alternating least squares, of the `implicit` package.

Hu, Koren and Volinsky 2008 (ICDM, "Collaborative filtering for implicit feedback datasets").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares

from contracts.arrays import Floats
from trainer.evaluation.clicks import Asked, Clicks, History
from trainer.evaluation.profiles import Profiles, matrix

FACTORS, REGULARIZATION, ALPHA, ITERATIONS = 64, 50.0, 10.0, 10


@dataclass(frozen=True)
class Factors:
    """A fitted model: `users` float32 [users, FACTORS], `items` float32 [candidates, FACTORS]."""

    model: AlternatingLeastSquares
    users: Floats
    items: Floats


def fitted(history: History, seed: int) -> Factors:
    """Factorise all clicks of the history; users without any get zeros."""
    clicks = matrix(history.days, (history.users, history.candidates))
    model = AlternatingLeastSquares(
        factors=FACTORS,
        regularization=REGULARIZATION,
        alpha=ALPHA,
        iterations=ITERATIONS,
        random_state=seed,
        num_threads=1,
    )
    model.fit(clicks, show_progress=False)
    users = model.user_factors.copy()
    users[np.diff(clicks.indptr) == 0] = 0
    return Factors(model, users, model.item_factors.copy())


class FrozenALS:
    """The factors as the history left them."""

    def __init__(self, history: History, factors: Factors) -> None:
        self._users, self._turned = factors.users, np.ascontiguousarray(factors.items.T)

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        return np.asarray(self._users[asked.users] @ self._turned)

    def learn(self, clicks: Clicks) -> None:
        """Nothing is learned."""


class FoldedInALS:
    """Item factors frozen; the factors of who clicked today are solved anew from the last distinct clicks."""

    def __init__(self, history: History, factors: Factors) -> None:
        self._model, self._users = factors.model, factors.users.copy()
        self._turned = np.ascontiguousarray(factors.items.T)
        self._profiles = Profiles(history)

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        return np.asarray(self._users[asked.users] @ self._turned)

    def learn(self, clicks: Clicks) -> None:
        """Fold the window's users in."""
        self._profiles.learn(clicks)
        users = np.unique(clicks.users)
        profiles = self._profiles.of(users)
        users, profiles = users[np.diff(profiles.indptr) > 0], profiles[np.diff(profiles.indptr) > 0]
        if len(users):
            self._users[users] = self._model.recalculate_user(users, profiles)
