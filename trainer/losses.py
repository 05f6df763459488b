"""The objectives of a full retrain, each a mean loss (nats, or margins) of a batch.

All take the same three: `clicked` float32 [n], the score of the clicked item; `negatives` float32 [n, m], those of its
negatives; `usable` bool [n, m], false where a negative is the clicked item itself, or is none.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def listwise(clicked: Tensor, negatives: Tensor, log_expected: Tensor, hits: Tensor) -> Tensor:
    """Return the sampled softmax over the clicked item and its negatives.

    Bengio and Senecal 2008 ("Adaptive importance sampling"): the sum over all items is estimated from items drawn by a
    known rule, each divided by how often it is expected: `log_expected`, float32 [m] or 0 (Yi et al. 2019 call the log
    of that logQ). The clicked item is there with certainty, so it is not corrected, and drawn copies of it, `hits`, are
    removed.
    """
    corrected = (negatives - log_expected).masked_fill(hits, -torch.inf)
    everything = torch.cat([clicked[:, None], corrected], dim=1)
    return (torch.logsumexp(everything, dim=1) - clicked).mean()


def triplet_hinge(clicked: Tensor, negatives: Tensor, usable: Tensor, margin: float) -> Tensor:
    """Return the hinge of every triplet: how far a negative comes within `margin` (Weston et al. 2011, "WSABIE")."""
    return _mean(functional.relu(margin - clicked[:, None] + negatives), usable)


def triplet_logistic(clicked: Tensor, negatives: Tensor, usable: Tensor) -> Tensor:
    """Return the logistic loss of every triplet (Burges et al. 2005, "Learning to rank using gradient descent")."""
    return _mean(functional.softplus(negatives - clicked[:, None]), usable)


def bpr(clicked: Tensor, negatives: Tensor, usable: Tensor) -> Tensor:
    """Return the logistic loss against one negative per click (Rendle et al. 2009, "BPR", section 4)."""
    one = _some(len(clicked), negatives.shape[1], 1)
    return triplet_logistic(clicked, negatives.gather(1, one), usable.gather(1, one))


def pointwise(clicked: Tensor, negatives: Tensor, usable: Tensor, per_click: int) -> Tensor:
    """Return the binary cross-entropy of each click and `per_click` negatives (He et al. 2017, "NCF", equation 7)."""
    some = _some(len(clicked), negatives.shape[1], min(per_click, negatives.shape[1]))
    drawn, there = negatives.gather(1, some), usable.gather(1, some)
    losses = functional.softplus(-clicked).sum() + torch.where(there, functional.softplus(drawn), 0.0).sum()
    found: Tensor = losses / (len(clicked) + there.sum())
    return found


def _some(rows: int, columns: int, each: int) -> Tensor:
    """Return int64 [rows, each]: other columns for every row, the same for the same shape; what was drawn is shared."""
    return (torch.arange(rows)[:, None] * each + torch.arange(each)) % columns


def _mean(losses: Tensor, usable: Tensor) -> Tensor:
    found: Tensor = torch.where(usable, losses, 0.0).sum() / usable.sum().clamp_min(1)
    return found
