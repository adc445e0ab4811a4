"""Frequency and phase offset of every voxel from the complex signal of all echoes.

Liu T, Wisnieff C, Lou M, Chen W, Spincemaille P, Wang Y. "Nonlinear formulation of the magnetic field to
source relationship for robust quantitative susceptibility mapping". Magn Reson Med 69:467 (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..progress import Reporter
from ..quantities import TWO_PI
from ..threads import in_slabs
from ..unwrap.echoes import check_echoes, wrap
from ..unwrap.romeo import RomeoOptions, unwrap
from .combine import tiny_power

#: An echo further than this from a whole number of spacings tells the number of turns.
_EVEN = 0.02
#: Turns between the first two echoes that uneven echo times are searched for.
_MOST_TURNS = 2


@dataclass(frozen=True, kw_only=True)
class ComplexFitOptions:
    """Options of :func:`fit_complex` and :func:`complex_fit_field`.

    Parameters
    ----------
    iterations : int
        Most Gauss-Newton steps.
    tolerance_rad : float
        Change of the fitted phase, rad, at which the steps end.
    """

    iterations: int = 30
    tolerance_rad: float = 1e-4

    def __post_init__(self) -> None:
        if self.iterations < 1 or not self.tolerance_rad > 0:
            raise InputError("complex fit", self, "at least one iteration and a positive tolerance")


@dataclass(frozen=True, eq=False)
class ComplexFit:
    """What the complex signal of each voxel tells; everything is 0 outside the mask.

    Parameters
    ----------
    frequency_hz : ndarray of float32, shape (I, J, K)
        Hz; with evenly spaced echoes only up to multiples of 1/(TE₂ − TE₁).
    offset_rad : ndarray of float32, shape (I, J, K)
        Phase at echo time zero, rad, within ±π.
    noise_gain : ndarray of float32, shape (I, J, K)
        Standard deviation of the frequency for a noise of 1 a.u. in the real and the imaginary part:
        √[A⁻¹]₂₂/2π, Hz/a.u.
    relative_residual : ndarray of float32, shape (I, J, K)
        Root of Σ |S − fit|² / Σ |S|².
    """

    frequency_hz: Array
    offset_rad: Array
    noise_gain: Array
    relative_residual: Array


def fit_complex(
    phase: Array, magnitude: Array, echo_times_s: Sequence[float], mask: Array, options: ComplexFitOptions
) -> ComplexFit:
    """Minimise Σ |S_e − |S_e| exp(i(φ₀ + 2π f TE_e))|² over φ₀ and f in every voxel.

    Gauss-Newton starts from the line through phases unwrapped in time. The residual of an echo is bounded by
    its magnitude, so that one wrong echo does less harm than in a linear fit.

    Parameters
    ----------
    phase, magnitude : ndarray, shape (I, J, K, E)
        rad, wrapped or not, and a.u.
    echo_times_s : sequence of float
        At least two, s.
    mask : ndarray of bool, shape (I, J, K)
        Where to fit.
    options : ComplexFitOptions
        See there.

    Returns
    -------
    ComplexFit
        Frequency, offset, noise and residual.

    Raises
    ------
    InputError
        If there is one echo only, or the arrays do not belong together.
    """
    from ._kernels import fit_complex as fit_slab

    check_echoes(phase, magnitude, echo_times_s, mask)
    if len(echo_times_s) < 2:
        raise InputError("echo times", "1 echo", "at least two for the complex fit", "Use the weighted average.")
    times = np.asarray(echo_times_s, dtype=np.float64)
    most_turns = 0 if _evenly_spaced(times) else _MOST_TURNS
    offset, slope, spread, residual = (np.zeros(mask.shape, np.float32) for _ in range(4))
    in_slabs(fit_slab, len(mask), phase, magnitude, mask, times, tiny_power(magnitude), most_turns,
             options.iterations, options.tolerance_rad, offset, slope, spread, residual)  # fmt: skip
    slope /= np.float32(TWO_PI)
    gain = np.divide(1 / TWO_PI, spread, out=np.zeros_like(spread), where=spread > 0)
    return ComplexFit(slope, offset, gain, residual)


def complex_fit_field(
    phase: Array, magnitude: Array, echo_times_s: Sequence[float], mask: Array, options: ComplexFitOptions,
    report: Reporter,
) -> ComplexFit:  # fmt: skip
    """Fit every voxel, then unwrap the result once in space.

    Parameters
    ----------
    phase, magnitude, echo_times_s, mask, options
        As for :func:`fit_complex`.
    report : Reporter
        Progress.

    Returns
    -------
    ComplexFit
        With evenly spaced echoes one multiple of 1/(TE₂ − TE₁) is left open for each connected part of the mask.

    Raises
    ------
    InputError
        As for :func:`fit_complex`.
    CancelledError
        If the caller asked to stop.
    """
    fit = fit_complex(phase, magnitude, echo_times_s, mask, options)
    report("complex fit", 0.5)
    spacing_s = float(echo_times_s[1] - echo_times_s[0])
    turned = np.float32(TWO_PI * spacing_s) * fit.frequency_hz
    even = _evenly_spaced(np.asarray(echo_times_s))
    # Uneven echo times leave few voxels on a wrong turn, and the rest where they are.
    wrapped = wrap(turned) if even else turned
    strength = np.sqrt(magnitude[..., 0] * magnitude[..., 1])
    unwrapped = unwrap(wrapped[..., None], strength[..., None], (spacing_s,), mask,
                       RomeoOptions(correct_global=even), report.span(0.5, 1.0))[..., 0]  # fmt: skip
    turns = unwrapped - turned
    offset = wrap(fit.offset_rad - np.float32(echo_times_s[0] / spacing_s) * turns)
    return replace(fit, frequency_hz=fit.frequency_hz + turns / np.float32(TWO_PI * spacing_s), offset_rad=offset)


def _evenly_spaced(times: Array) -> bool:
    ratios = (times - times[0]) / (times[1] - times[0])
    return bool(np.all(np.abs(ratios - np.rint(ratios)) <= _EVEN))
