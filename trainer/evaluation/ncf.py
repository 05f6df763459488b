"""Neural collaborative filtering, frozen over the day.

He et al. 2017 (WWW, "Neural collaborative filtering"), NeuMF: a generalised matrix factorisation and a perceptron over
the two embeddings, added; binary cross-entropy with four negatives a click, drawn uniformly.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.arrays import Floats
from trainer.evaluation.clicks import NOT_A_CANDIDATE, Asked, Clicks, History

WIDTH, HIDDEN, NEGATIVES = 16, 16, 4
BATCH, STEP, DRAWN_SEED = 4096, 5e-3, 7


class NeuralCF:
    """Fitted for one epoch over the history when it is made."""

    def __init__(self, history: History, seed: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._model = _NeuMF(history.users, history.candidates)
        known = [np.flatnonzero(day.items != NOT_A_CANDIDATE) for day in history.days]
        users = np.concatenate([day.users[at] for day, at in zip(history.days, known, strict=True)])
        items = np.concatenate([day.items[at] for day, at in zip(history.days, known, strict=True)])
        _fit(self._model, torch.from_numpy(users), torch.from_numpy(items), seed)
        self._model.eval()

    def scores(self, asked: Asked) -> Floats:
        """Return float32 [n, candidates]."""
        with torch.no_grad():
            found: Tensor = self._model.everything(torch.from_numpy(asked.users))
        return found.numpy()

    def learn(self, clicks: Clicks) -> None:
        """Nothing is learned."""


class _NeuMF(nn.Module):
    def __init__(self, users: int, items: int) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(users, 2 * WIDTH, sparse=True), nn.Embedding(items, 2 * WIDTH)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.05)
        self.from_user, self.from_item = nn.Linear(WIDTH, HIDDEN), nn.Linear(WIDTH, HIDDEN, bias=False)
        self.product, self.output = nn.Linear(WIDTH, 1, bias=False), nn.Linear(HIDDEN, 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """users, items: int64 [n] → float32 [n]."""
        u, i = self.users(users), self.items(items)
        hidden = functional.relu(self.from_user(u[:, :WIDTH]) + self.from_item(i[:, :WIDTH]))
        score: Tensor = self.product(u[:, WIDTH:] * i[:, WIDTH:]) + self.output(hidden)
        return score[:, 0]

    def everything(self, users: Tensor) -> Tensor:
        """users: int64 [n] → float32 [n, items]; the halves of the hidden layer are made once for each side."""
        u, i = self.users(users), self.items.weight
        product = (u[:, WIDTH:] * self.product.weight) @ i[:, WIDTH:].T
        of_users, of_items = self.from_user(u[:, :WIDTH]), self.from_item(i[:, :WIDTH])
        rows = [functional.relu(row + of_items) @ self.output.weight[0] for row in of_users]
        found: Tensor = product + torch.stack(rows) if rows else product
        return found


def _fit(model: _NeuMF, users: Tensor, items: Tensor, seed: int) -> None:
    dice = torch.Generator().manual_seed(seed * 1000 + DRAWN_SEED)
    tables = [model.users.weight]
    dense = [value for name, value in model.named_parameters() if name != "users.weight"]
    optimisers = torch.optim.SparseAdam(tables, lr=STEP), torch.optim.Adam(dense, lr=STEP)
    order = torch.randperm(len(users), generator=dice)
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        whose, clicked = users[batch], items[batch]
        drawn = torch.randint(model.items.num_embeddings, (len(batch) * NEGATIVES,), generator=dice)
        labels = torch.cat([torch.ones(len(batch)), torch.zeros(len(drawn))])
        scores = model(torch.cat([whose, whose.repeat_interleave(NEGATIVES)]), torch.cat([clicked, drawn]))
        for optimiser in optimisers:
            optimiser.zero_grad()
        torch.autograd.backward(functional.binary_cross_entropy_with_logits(scores, labels))
        for optimiser in optimisers:
            optimiser.step()  # type: ignore[no-untyped-call,unused-ignore]
