"""One field from all echoes: weighted averages of unwrapped phase.

Wu B, Li W, Avram AV, Gho SM, Liu C. "Fast and tissue-optimized mapping of magnetic susceptibility
and T2* with multi-echo and multi-shot spirals". NeuroImage 59:297 (2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..quantities import TWO_PI
from ..unwrap.echoes import check_echoes

Weighting = Literal["wu2012", "magnitude"]


@dataclass(frozen=True, kw_only=True)
class CombineOptions:
    """Options of :func:`combine_echoes`.

    Parameters
    ----------
    weighting : {"magnitude", "wu2012"}
        ``"magnitude"``: W = TE |S|², which has the least variance of all unbiased averages,
        since phase noise is inverse to the magnitude.
        ``"wu2012"``: W = TE exp(−TE/T2*), the same in every voxel, as the paper has it.
    t2star_s : float
        T2* of ``"wu2012"``, s.
    """

    weighting: Weighting = "magnitude"
    t2star_s: float = 0.040


@dataclass(frozen=True, eq=False)
class FieldFit:
    """Field and how well it explains the echoes.

    Parameters
    ----------
    field_hz : ndarray of float32, shape (I, J, K)
        Hz; above 0 where phase grows; 0 outside the mask.
    residual_rad : ndarray of float32, shape (I, J, K)
        Root mean square over echoes of φ − 2π f TE, rad; 0 outside the mask.
    """

    field_hz: Array
    residual_rad: Array


def combine_echoes(
    unwrapped: Array,
    magnitude: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    options: CombineOptions,
) -> FieldFit:
    """Average echoes into a field: f = Σ W φ / (2π Σ W TE).

    Parameters
    ----------
    unwrapped : ndarray, shape (I, J, K, E)
        rad, without offset at echo time zero.
    magnitude : ndarray, shape (I, J, K, E)
        a.u.; used by the weighting ``"magnitude"``.
    echo_times_s : sequence of float
        E times, s.
    mask : ndarray of bool, shape (I, J, K)
        Where to compute.
    options : CombineOptions
        See there.

    Returns
    -------
    FieldFit
        Field in Hz and misfit in rad.

    Raises
    ------
    InputError
        If the arrays do not belong together, the weighting is unknown or T2* is not positive.
    """
    check_echoes(unwrapped, magnitude, echo_times_s, mask)
    if options.weighting not in get_args(Weighting):
        raise InputError("echo weighting", options.weighting, f"one of {', '.join(get_args(Weighting))}")
    if not options.t2star_s > 0:
        raise InputError("T2* of the echo weighting", f"{options.t2star_s} s", "a positive time")
    times = np.asarray(echo_times_s, dtype=np.float32)
    phase = np.asarray(unwrapped[mask], dtype=np.float32)
    weights = _weights(magnitude, mask, times, options)
    radians_per_s = np.sum(weights * phase, axis=1) / (weights @ times)
    misfit = phase - radians_per_s[:, None] * times
    return FieldFit(
        field_hz=_filled(radians_per_s / TWO_PI, mask),
        residual_rad=_filled(np.sqrt(np.mean(misfit**2, axis=1)), mask),
    )


def _weights(magnitude: Array, mask: Array, times: Array, options: CombineOptions) -> Array:
    """Echo weights inside the mask, shape (N, E), or (1, E) where they are the same everywhere."""
    if options.weighting == "wu2012":
        return (times * np.exp(-times / np.float32(options.t2star_s)))[None]
    power = np.asarray(magnitude[mask], dtype=np.float32) ** 2
    # Voxels without signal keep a field: their echoes count alike.
    power += max(float(power.max()), 1.0) * np.float32(1e-12)
    return times * power


def _filled(values: Array, mask: Array) -> Array:
    volume = np.zeros(mask.shape, np.float32)
    volume[mask] = values
    return volume
