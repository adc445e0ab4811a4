"""Optimisers, and the learning rate as a function of the step alone, so that nothing of it needs to be saved."""

from __future__ import annotations

from collections.abc import Iterable
from math import cos, pi
from typing import TYPE_CHECKING

from .options import OptimiserOptions

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

#: One-cycle: share of the steps in which the rate rises, and its first and last value over the largest
#: (Smith & Topin, arXiv 1708.07120, with PyTorch's customary figures).
_RISE, _FIRST, _LAST = 0.3, 1 / 25, 1e-5


def make_optimiser(parameters: Iterable[nn.Parameter], options: OptimiserOptions) -> Optimizer:
    """Optimiser of the weights."""
    import torch

    if options.name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=options.learning_rate)
    return torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=options.weight_decay)


def learning_rate(options: OptimiserOptions, step: int, steps: int) -> float:
    """Learning rate of a step, counted from 0, of a training of ``steps``."""
    share = step / max(steps, 1)
    if options.schedule == "step":
        return float(options.learning_rate * options.decay ** (step // options.decay_steps))
    if options.schedule == "cosine":
        return options.learning_rate * _eased(1.0, 0.0, share)
    if options.schedule == "one-cycle" and share < _RISE:
        return options.learning_rate * _eased(_FIRST, 1.0, share / _RISE)
    if options.schedule == "one-cycle":
        return options.learning_rate * _eased(1.0, _LAST, (share - _RISE) / (1 - _RISE))
    return options.learning_rate


def _eased(first: float, last: float, share: float) -> float:
    """Go from one value to another along half a cosine."""
    return last + (first - last) * (1 + cos(pi * min(share, 1.0))) / 2
