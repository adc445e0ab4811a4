"""One field from all echoes: weighted averages.

Wu B, Li W, Avram AV, Gho SM, Liu C. "Fast and tissue-optimized mapping of magnetic susceptibility
and T2* with multi-echo and multi-shot spirals". NeuroImage 59:297 (2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..options import check_choice
from ..quantities import TWO_PI
from ..threads import in_slabs
from ..unwrap.echoes import check_echoes

Weighting = Literal["wu2012", "magnitude"]


@dataclass(frozen=True, kw_only=True)
class CombineOptions:
    """Options of :func:`combine_echoes` and :func:`combine_fields`.

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

    def __post_init__(self) -> None:
        check_choice("echo weighting", self.weighting, Weighting)
        if not self.t2star_s > 0:
            raise InputError("T2* of the echo weighting", f"{self.t2star_s} s", "a positive time")


@dataclass(frozen=True, eq=False)
class FieldFit:
    """Field and how well it explains the echoes.

    Parameters
    ----------
    field_hz : ndarray of float32, shape (I, J, K)
        Hz; above 0 where phase grows; 0 outside the mask.
    residual_rad : ndarray of float32, shape (I, J, K)
        Root mean square over echoes of the phase that the field leaves unexplained, rad; 0 outside the mask.
        The complex fit weights echoes by |S|², and takes the distance of the complex signal from the fit,
        √(Σ |δS|² / Σ |S|²), which is at most 2.
    misfit : ndarray of float32, shape (I, J, K)
        √(Σ |S|² δφ² / ``degrees_of_freedom``), a.u.: about the standard deviation of the noise where the field
        explains the echoes; 0 outside the mask.
    noise_gain : ndarray of float32, shape (I, J, K)
        Standard deviation of the field for a noise of 1 a.u. in the real and the imaginary part, Hz/a.u.; very
        large where there is no signal, 0 outside the mask.
    excess_gain : ndarray of float32, shape (I, J, K)
        Error of the field for a misfit of 1 a.u. beyond noise, Hz/a.u.: for the average that of a phase offset,
        for the complex fit, which has none, that of noise.
    degrees_of_freedom : int
        Echoes less the parameters fitted in each voxel, at least 0.
    """

    field_hz: Array
    residual_rad: Array
    misfit: Array
    noise_gain: Array
    excess_gain: Array
    degrees_of_freedom: int


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
        Field, its misfits and its errors for each.

    Raises
    ------
    InputError
        If the arrays do not belong together.
    """
    check_echoes(unwrapped, magnitude, echo_times_s, mask)
    times = np.asarray(echo_times_s, dtype=np.float64)
    return _average(unwrapped, TWO_PI * times, times, magnitude, times, mask, options)


def combine_fields(
    fields_hz: Array,
    magnitude: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    options: CombineOptions,
) -> Array:
    """Average the fields of single echoes, as after removing each echo's background.

    The weights are those by which :func:`combine_echoes` averages phase, times the echo time: whatever is
    linear and the same for all echoes can be done before or after. Averaging the phases is cheaper.

    Parameters
    ----------
    fields_hz : ndarray, shape (I, J, K, E)
        Hz, one field for each echo.
    magnitude, echo_times_s, mask, options
        As for :func:`combine_echoes`.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        Hz; 0 outside the mask.

    Raises
    ------
    InputError
        If the arrays do not belong together.
    """
    check_echoes(fields_hz, magnitude, echo_times_s, mask)
    times = np.asarray(echo_times_s, dtype=np.float64)
    return _average(fields_hz, np.ones_like(times), times**2, magnitude, times, mask, options).field_hz


def _average(
    values: Array, slopes: Array, factors: Array, magnitude: Array, times: Array, mask: Array, options: CombineOptions
) -> FieldFit:
    """Weighted line through zero and its misfits; ``factors`` weight echoes of equal magnitude."""
    from ._kernels import average

    fixed = factors * np.exp(-times / options.t2star_s) if options.weighting == "wu2012" else np.zeros(0)
    mean, residual, misfit, noise, excess = (np.zeros(mask.shape, np.float32) for _ in range(5))
    in_slabs(average, len(mask), values, slopes, magnitude, mask, fixed, factors, tiny_power(magnitude),
             mean, residual, misfit, noise, excess)  # fmt: skip
    return FieldFit(mean, residual, misfit, noise, excess, len(times) - 1)


def tiny_power(magnitude: Array) -> float:
    """What is added to each |S|², so that voxels without signal keep a field: their echoes count alike."""
    return (float(magnitude.max()) ** 2 or 1.0) * 1e-12
