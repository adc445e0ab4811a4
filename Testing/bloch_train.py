"""Spin-echo trains by rotating magnetisation vectors: the reference for extended phase graphs.

Isochromats spread evenly over one turn per half echo spacing stand for the spoiling gradient. Their mean
is exact as long as there are more of them than orders of dephasing in the train.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def bloch_train(
    rate_per_s: float, b1: float, angles_deg: Sequence[float], spacing_s: float, *, t1_s: float = 1.2,
    excitation_deg: float = 90.0, excitation_scale: float = 1.0, refocusing_scale: float = 1.0,
) -> NDArray[np.float64]:  # fmt: skip
    """Echo amplitudes, shape (echo,), with relaxation and recovery towards equilibrium."""
    count = 4 * len(angles_deg) + 8
    turn = np.exp(2j * np.pi * (np.arange(count) + 0.5) / count)
    tip = np.radians(excitation_deg) * b1 * excitation_scale
    across, along = np.full(count, np.sin(tip), dtype=complex), np.full(count, np.cos(tip))
    decay, recovery = np.exp(-spacing_s / 2 * rate_per_s), np.exp(-spacing_s / 2 / t1_s)
    echoes = []
    for angle in np.radians(angles_deg) * b1 * refocusing_scale:
        across, along = across * turn * decay, 1 + (along - 1) * recovery
        y = across.imag * np.cos(angle) - along * np.sin(angle)
        along = across.imag * np.sin(angle) + along * np.cos(angle)
        across, along = (across.real + 1j * y) * turn * decay, 1 + (along - 1) * recovery
        echoes.append(float(across.mean().real))
    return np.array(echoes)
