"""Mono-exponential decay rates from magnitude images: the two closed-form fits and how they fill a volume.

Both fits take samples ``(N, E)`` and echo times and give ``(N,)`` rates in 1/s, NaN where the
samples hold no rate.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array, check_volume
from ..errors import InputError

Floats = NDArray[np.float32]
RateFit = Callable[[Floats, NDArray[np.float64]], Floats]

#: Voxels that one call of a fit takes; the calls run on all cores.
_CHUNK = 32_768


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
    deviation_per_s : ndarray, shape (I, J, K), optional
        Standard deviation of the rate (Cramér-Rao bound, before any smoothing), 1/s; infinite where
        the samples hold no rate, 0 outside the mask.
    noise_sigma : float, optional
        Noise in each channel that the fit assumed, in units of the magnitude.
    """

    rate_per_s: Array
    clamped_fraction: float
    method: str
    deviation_per_s: Array | None = None
    noise_sigma: float | None = None


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
        [span * (2 - second / first) / 6, span**3 / (6 * first * second), span * (2 - first / second) / 6]
    )
    from . import _decay_kernels as kernels

    rate = np.empty(len(samples), dtype=np.float32)
    kernels.arlo(samples, np.ascontiguousarray(weights.T), rate)
    return rate


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
    from . import _decay_kernels as kernels

    rate = np.empty(len(samples), dtype=np.float32)
    kernels.log_linear(samples, echo_times_s, rate)
    return rate


def fit_volume(
    magnitude: Array, echo_times_s: Sequence[float], mask: Array, fit: RateFit, maximum_per_s: float, method: str
) -> DecayFit:
    """Fit every masked voxel, on all cores, and clamp to [0, maximum].

    Raises
    ------
    InputError
        If shapes disagree, times do not increase, values are not finite or the mask is empty.
    """
    times = check_decay(magnitude, echo_times_s, mask, maximum_per_s)
    samples = masked_samples(magnitude, mask)
    raw = np.empty(len(samples), dtype=np.float32)

    def fit_chunk(part: slice) -> None:
        raw[part] = fit(samples[part], times)

    for_each_chunk(fit_chunk, len(samples))
    allowed = np.nan_to_num(np.clip(raw, 0, maximum_per_s))
    return DecayFit(spread(allowed, mask), float(np.mean(allowed != raw)), method)


def for_each_chunk(work: Callable[[slice], None], count: int, chunk: int = _CHUNK) -> None:
    """Call ``work`` with slices that cover ``range(count)``, on all cores; it should release the interpreter."""
    parts = [slice(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, parts))


def masked_samples(magnitude: Array, mask: Array) -> Floats:
    """Samples (N, E) of the masked voxels, in C order of the mask whatever the layout of the volume.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    samples = np.ascontiguousarray(magnitude[mask], dtype=np.float32)
    check_volume("magnitude in the mask", samples, samples.shape)
    return samples


def spread(values: Array, mask: Array) -> Array:
    """Volume with ``values`` in the mask and 0 outside."""
    volume = np.zeros(mask.shape, dtype=np.float32)
    volume[mask] = values
    return volume


def check_decay(
    magnitude: Array, echo_times_s: Sequence[float], mask: Array, maximum_per_s: float
) -> NDArray[np.float64]:
    """Echo times as an array, once everything that a fit takes has been checked.

    Raises
    ------
    InputError
        If shapes disagree, times do not increase, values are not finite or the mask is empty.
    """
    times = np.asarray(echo_times_s, dtype=np.float64)
    if times.ndim != 1 or not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0):
        raise InputError("echo times", f"{times.tolist()} s", "strictly increasing times")
    if magnitude.shape != (*mask.shape, times.size):
        raise InputError("magnitude", f"shape {magnitude.shape}", f"shape {(*mask.shape, times.size)}")
    if mask.dtype != np.bool_ or not mask.any():
        raise InputError("mask", f"dtype {mask.dtype}, {np.count_nonzero(mask)} voxels", "bool with voxels inside")
    if not maximum_per_s > 0:
        raise InputError("largest rate", f"{maximum_per_s} 1/s", "a positive rate")
    return times
