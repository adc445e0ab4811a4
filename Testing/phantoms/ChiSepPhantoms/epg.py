"""Extended phase graph of a multi-echo spin echo train (Hennig 1988; Weigel, J Magn Reson Imaging 41, 2015)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .geometry import Volume


def spin_echo_train(
    r2: ArrayLike, b1: ArrayLike, r1: float, echo_spacing_s: float, echoes: int, refocusing_deg: float = 180.0
) -> Volume:
    """Echo amplitudes of a CPMG train with non-selective pulses, per unit of magnetisation.

    Parameters
    ----------
    r2 : array_like
        1/s.
    b1 : array_like
        Actual over nominal angle of every pulse; broadcast against ``r2``.
    r1 : float
        1/s; one value, since it hardly matters.
    echo_spacing_s : float
        s.
    echoes : int
        Length of the train.
    refocusing_deg : float
        Nominal refocusing angle, degrees.

    Returns
    -------
    ndarray, shape (echoes, ...)
        Amplitudes; exp(−n·spacing·R2) if every pulse is exact.
    """
    r2, b1 = np.broadcast_arrays(np.asarray(r2, dtype=float), np.asarray(b1, dtype=float))
    decay, recovery = np.exp(-echo_spacing_s / 2 * r2), np.exp(-echo_spacing_s / 2 * r1)
    states = np.zeros((3, 2 * echoes + 2, *r2.shape))
    states[:2, 0] = np.sin(np.pi / 2 * b1)
    angle = np.deg2rad(refocusing_deg) * b1
    amplitudes = []
    for _ in range(echoes):
        states = _dephase(_pulse(_dephase(states, decay, recovery), angle), decay, recovery)
        amplitudes.append(np.abs(states[0, 0]))
    return np.asarray(amplitudes)


def _dephase(states: Volume, decay: Volume, recovery: float) -> Volume:
    """Half an echo spacing: relaxation, and a shift of the transverse states by one order."""
    plus, minus, along = states[0] * decay, states[1] * decay, states[2] * recovery
    minus = np.concatenate([minus[1:], np.zeros_like(minus[:1])])
    plus = np.concatenate([minus[:1], plus[:-1]])
    return np.stack([plus, minus, along])


def _pulse(states: Volume, angle: Volume) -> Volume:
    """Refocusing pulse about the axis of the excited magnetisation; all states stay real."""
    plus, minus, along = states
    keep, swap, sine = np.cos(angle / 2) ** 2, np.sin(angle / 2) ** 2, np.sin(angle)
    return np.stack([
        keep * plus + swap * minus + sine * along,
        swap * plus + keep * minus - sine * along,
        sine / 2 * (minus - plus) + np.cos(angle) * along,
    ])  # fmt: skip
