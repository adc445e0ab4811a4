"""Mono-exponential decay rates from magnitude images: the two closed-form fits and how they walk a volume.

Both fits take samples ``(N, E)`` and echo times and give ``(N,)`` rates in 1/s, NaN where the
samples hold no rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, check_volume
from ..errors import InputError

Floats = NDArray[np.float32]
RateFit = Callable[[Floats, NDArray[np.float64]], Floats]


@dataclass(frozen=True, eq=False)
class DecayFit:
    """A map of decay rates and how it was made.

    Parameters
    ----------
    rate_per_s : ndarray, shape (I, J, K)
        1/s; 0 outside the mask.
    clamped_fraction : float
        Share of the mask where the rate lay outside the allowed range, or could not be computed.
    method : str
        Name of the fit.
    """

    rate_per_s: Array
    clamped_fraction: float
    method: str


def arlo(samples: Floats, echo_times_s: NDArray[np.float64]) -> Floats:
    """Auto-regression on linear operations (Pei et al., MRM 2015;73:843-850), for any echo spacing.

    A decay obeys ∫s dt = T2*·(s(t₀) − s(t₂)) over each triple of neighbouring echoes. With S the integral of
    the parabola through the triple (Simpson's rule for even spacing) and d = s₀ − s₂, the paper's
    minimum (its eq. 7) is R2* = Σ Z·d / Σ Z·S with Z = S + β·d, where β is the quadrature weight of the last
    echo, so that Z leaves this noisiest echo out.

    Parameters
    ----------
    samples : ndarray, shape (N, E)
        Magnitude, E ≥ 3.
    echo_times_s : ndarray, shape (E,)
        s, strictly increasing.

    Returns
    -------
    ndarray, shape (N,)
        Rates in 1/s, not clamped.
    """
    first, second = np.diff(echo_times_s)[:-1], np.diff(echo_times_s)[1:]
    span = first + second
    weights = np.array(
        [span * (2 - second / first) / 6, span**3 / (6 * first * second), span * (2 - first / second) / 6],
        dtype=np.float32,
    )
    early, middle, late = samples[:, :-2], samples[:, 1:-1], samples[:, 2:]
    drop = early - late
    instrument = (weights[0] + weights[2]) * early + weights[1] * middle
    integral = instrument - weights[2] * drop
    return _ratio(np.einsum("nt,nt->n", instrument, drop), np.einsum("nt,nt->n", instrument, integral))


def log_linear(samples: Floats, echo_times_s: NDArray[np.float64]) -> Floats:
    """Straight line through the logarithm of the signal, weighted by the signal squared.

    The variance of ln s is σ²/s², so these weights make it the best linear fit. Two echoes
    give ln(s₁/s₂)/(t₂ − t₁) exactly. Samples that are not positive are left out.

    Parameters
    ----------
    samples : ndarray, shape (N, E)
        Magnitude, E ≥ 2.
    echo_times_s : ndarray, shape (E,)
        s.

    Returns
    -------
    ndarray, shape (N,)
        Rates in 1/s, not clamped.
    """
    positive = np.maximum(samples, 0)
    scaled = positive / np.maximum(positive.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    weights = scaled**2
    logarithms = np.log(scaled, out=np.zeros_like(scaled), where=weights > 0)
    times = echo_times_s.astype(np.float32)
    total = weights.sum(axis=1, keepdims=True)
    centred = times - (weights @ times)[:, None] / np.maximum(total, np.finfo(np.float32).tiny)
    moments = weights * centred
    return _ratio(-np.einsum("ne,ne->n", moments, logarithms), np.einsum("ne,ne->n", moments, centred))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)


def fit_volume(
    magnitude: Array, echo_times_s: Sequence[float], mask: Array, fit: RateFit, maximum_per_s: float, method: str
) -> DecayFit:
    """Fit every masked voxel, one slab at a time, and clamp to [0, maximum].

    Raises
    ------
    InputError
        If shapes disagree, times do not increase, values are not finite or the mask is empty.
    """
    times = np.asarray(echo_times_s, dtype=np.float64)
    _check(magnitude, times, mask, maximum_per_s)
    rate = np.zeros(mask.shape, dtype=np.float32)
    slowest = int(np.argmax(magnitude.strides[:3]))
    clamped = 0
    for slab, inside, out in zip(*(np.moveaxis(a, slowest, 0) for a in (magnitude, mask, rate)), strict=True):
        raw = fit(np.asarray(slab[inside], dtype=np.float32), times)
        allowed = np.nan_to_num(np.clip(raw, 0, maximum_per_s))
        clamped += int(np.count_nonzero(allowed != raw))
        out[inside] = allowed
    return DecayFit(rate, clamped / int(np.count_nonzero(mask)), method)


def _check(magnitude: Array, times: NDArray[np.float64], mask: Array, maximum_per_s: float) -> None:
    if times.ndim != 1 or not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
        raise InputError("echo times", f"{times.tolist()} s", "strictly increasing times")
    check_volume("magnitude", magnitude, (*mask.shape, times.size))
    if mask.dtype != np.bool_ or not mask.any():
        raise InputError("mask", f"dtype {mask.dtype}, {np.count_nonzero(mask)} voxels", "bool with voxels inside")
    if not maximum_per_s > 0:
        raise InputError("largest rate", f"{maximum_per_s} 1/s", "a positive rate")
