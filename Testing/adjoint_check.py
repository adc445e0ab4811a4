"""Dot-product test of a linear operator and its adjoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Operation = Callable[[NDArray[Any]], NDArray[Any]]


def adjoint_mismatch(
    apply: Operation, adjoint: Operation, shape_in: tuple[int, ...], shape_out: tuple[int, ...], seed: int = 0
) -> float:
    """``|⟨A x, y⟩ − ⟨x, Aᵀ y⟩| / (‖A x‖ ‖y‖)`` for random x and y: rounding error if both belong together."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape_in).astype(np.float32)
    y = rng.standard_normal(shape_out).astype(np.float32)
    forward, backward = apply(x).astype(np.float64), adjoint(y).astype(np.float64)
    difference = np.vdot(forward, y.astype(np.float64)) - np.vdot(x.astype(np.float64), backward)
    return float(abs(difference) / (np.linalg.norm(forward) * np.linalg.norm(y)))
