"""Mono-exponential decay rates from magnitude images: the two closed-form fits and how they fill a volume.

Each form gives its compiled loop and what this loop needs of the echo times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array
from ..errors import InputError
from ..progress import Reporter
from ..threads import in_slabs

Floats = NDArray[np.float32]
Kernel = Callable[..., None]
ClosedForm = Callable[[NDArray[np.float64]], tuple[Kernel, Array]]

#: Of a volume, or this many voxels of a list, that one call of a kernel takes at most.
PLANES, VOXELS = 8, 32_768


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
    """

    rate_per_s: Array
    clamped_fraction: float
    method: str
    deviation_per_s: Array | None = None


def arlo(echo_times_s: NDArray[np.float64]) -> tuple[Kernel, Array]:
    """Auto-regression on linear operations (Pei et al., MRM 2015;73:843-850), for any echo spacing.

    A decay obeys ∫s dt = T2*·(s(t₀) − s(t₂)) over each triple of neighbouring echoes. With S the integral of
    the parabola through the triple (Simpson's rule for even spacing) and d = s₀ − s₂, the paper's
    minimum (its eq. 7) is R2* = Σ Z·d / Σ Z·S with Z = S + β·d, where β is the quadrature weight of the last
    echo, so that Z leaves this noisiest echo out.

    Parameters
    ----------
    echo_times_s : ndarray, shape (E,)
        s, strictly increasing, E ≥ 3.

    Returns
    -------
    kernel : callable
        Compiled loop over voxels.
    weights : ndarray, shape (E − 2, 3)
        Of the echoes in the integral over each triple, s.
    """
    from . import _decay_kernels as kernels

    first, second = np.diff(echo_times_s)[:-1], np.diff(echo_times_s)[1:]
    span = first + second
    weights = (span * (2 - second / first) / 6, span**3 / (6 * first * second), span * (2 - first / second) / 6)
    return kernels.arlo, np.stack(weights, axis=1)


def log_linear(echo_times_s: NDArray[np.float64]) -> tuple[Kernel, Array]:
    """Straight line through the logarithm of the signal, weighted by the signal squared.

    The variance of ln s is σ²/s², so these weights make it the best linear fit. Two echoes
    give ln(s₁/s₂)/(t₂ − t₁) exactly. Samples that are not positive are left out.

    Parameters
    ----------
    echo_times_s : ndarray, shape (E,)
        s, E ≥ 2.

    Returns
    -------
    kernel : callable
        Compiled loop over voxels.
    echo_times_s : ndarray, shape (E,)
        s.
    """
    from . import _decay_kernels as kernels

    return kernels.log_linear, echo_times_s


def fit_volume(
    magnitude: Array, echo_times_s: Sequence[float], mask: Array, fit: ClosedForm, maximum_per_s: float, method: str,
    report: Reporter | None = None,
) -> DecayFit:  # fmt: skip
    """Fit every masked voxel by a closed form, on all cores, and clamp to [0, maximum].

    Raises
    ------
    InputError
        If shapes disagree, times do not increase, values are not finite or the mask is empty.
    CancelledError
        If the caller asked to stop.
    """
    kernel, coefficients = fit(check_decay(magnitude, echo_times_s, mask, maximum_per_s))
    samples, inside = _by_plane(magnitude, mask)
    rate, counts = np.zeros(inside.shape, np.float32), np.zeros((len(inside), 2), np.int64)
    in_slabs(kernel, len(inside), samples, inside, coefficients, maximum_per_s, rate, counts,
             thickness=PLANES, report=report, step="decay")  # fmt: skip
    clamped, unusable = counts.sum(axis=0)
    _check_usable(unusable)
    return DecayFit(rate.reshape(mask.shape), float(clamped / np.count_nonzero(inside)), method)


def masked_samples(magnitude: Array, mask: Array) -> Floats:
    """Samples (N, E) of the masked voxels, in C order of the mask whatever the layout of the volume.

    Raises
    ------
    InputError
        If a value is not finite.
    """
    from . import _decay_kernels as kernels

    volume, inside = _by_plane(magnitude, mask)
    starts, unusable = plane_starts(inside), np.zeros(len(inside), np.int64)
    samples = np.empty((starts[-1], volume.shape[-1]), np.float32)
    in_slabs(kernels.gather, len(inside), volume, inside, starts, samples, unusable)
    _check_usable(unusable.sum())
    return samples


def _by_plane(magnitude: Array, mask: Array) -> tuple[Floats, Array]:
    """Samples (I, J·K, E) and mask (I, J·K); views where the volume lies in C order."""
    planes = len(mask)
    volume = np.asarray(magnitude, np.float32).reshape(planes, -1, magnitude.shape[-1])
    return volume, np.ascontiguousarray(mask).reshape(planes, -1)


def plane_starts(mask: Array) -> NDArray[np.int64]:
    """Index (I + 1,) of the first masked voxel of each plane among all of them, and their number."""
    return np.concatenate([[0], np.cumsum(np.count_nonzero(mask.reshape(len(mask), -1), axis=1))]).astype(np.int64)


def _check_usable(unusable: int) -> None:
    if unusable:
        raise InputError("magnitude in the mask", f"{unusable} voxels that are NaN or infinite",
                         "finite values everywhere", "Replace them, for example by 0.")  # fmt: skip


def spread(values: Array, mask: Array) -> Floats:
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
