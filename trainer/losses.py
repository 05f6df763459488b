"""The listwise loss: sampled softmax over the clicked item and shared negatives.

Bengio and Senecal 2008 ("Adaptive importance sampling"): the sum over all items is estimated from items drawn by a
known rule, each divided by how often it is expected (Yi et al. 2019 call the log of that logQ). The clicked item is
there with certainty, so it is not corrected, and drawn copies of it are removed.
"""

from __future__ import annotations

import torch
from torch import Tensor


def listwise(clicked: Tensor, negatives: Tensor, log_expected: Tensor, hits: Tensor) -> Tensor:
    """Return the mean loss (nats) of a batch.

    clicked: float32 [n], score of the clicked item. negatives: float32 [n, m], scores of the shared negatives.
    log_expected: float32 [m]. hits: bool [n, m], true where the negative is the clicked item.
    """
    corrected = (negatives - log_expected).masked_fill(hits, -torch.inf)
    everything = torch.cat([clicked[:, None], corrected], dim=1)
    return (torch.logsumexp(everything, dim=1) - clicked).mean()
