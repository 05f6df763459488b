"""What a batch is trained for: one of the losses, on easy negatives and on those that ranking rejected."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer import losses
from trainer.settings import FullRetrain


def batch_loss(easy: Tensor, hard: Tensor, settings: FullRetrain) -> Tensor:
    """Mix the losses on easy and on hard negatives: `hard_share` of it is the hard one, where a batch has any.

    Half and half is the usual start (Huang et al. 2020, "Embedding-based retrieval in Facebook search", section 6).
    """
    return (1 - settings.hard_share) * easy + settings.hard_share * hard


def loss_of(clicked: Tensor, negatives: Tensor, log_expected: Tensor, usable: Tensor, settings: FullRetrain) -> Tensor:
    """Return the objective's loss; see `trainer.losses` for the shapes."""
    if settings.objective == "listwise":
        return losses.listwise(clicked, negatives, log_expected, ~usable)
    if settings.objective == "triplet_hinge":
        return losses.triplet_hinge(clicked, negatives, usable, settings.margin)
    if settings.objective == "triplet_logistic":
        return losses.triplet_logistic(clicked, negatives, usable)
    if settings.objective == "bpr":
        return losses.bpr(clicked, negatives, usable)
    return losses.pointwise(clicked, negatives, usable, settings.negatives_per_click)


def hard_loss(clicked: Tensor, negatives: Tensor, usable: Tensor, settings: FullRetrain) -> Tensor:
    """Return the loss on a batch's hard negatives, of the clicks that have any: they are not drawn, so no logQ."""
    has = usable.any(dim=1)
    return loss_of(clicked[has], negatives[has], torch.zeros(negatives.shape[1]), usable[has], settings)
