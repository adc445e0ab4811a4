"""Readouts of alternating polarity: the phase that every second echo has in addition.

Gradient delays and eddy currents shift the centre of k-space in opposite directions in forward and
backward readouts, which is a phase g(r), mostly linear along the readout direction, between them
(Li J, Chang S, Liu T, et al. "Phase-corrected bipolar gradients in multi-echo gradient-echo
sequences for quantitative susceptibility mapping". MAGMA 28:347 (2015)). Echoes 1, 3, 5, … are
taken as the truth:

    φₑ = φ₀ + ω TEₑ + sₑ g,   s = 0, 1, 0, 1, …

Three echoes determine the three unknowns. With a = (TE₂ − TE₁)/(TE₃ − TE₁), the odd echoes predict
φ₁ + a (φ₃ − φ₁) at TE₂, and what is left over is

    g = φ₂ − φ₁ − a unwrap(φ₃ − φ₁)   (mod 2π).

The offset φ₀ drops out whatever the spacing. The difference of the odd echoes is unwrapped in
space, since a is no whole number; one turn too many in all of it changes g by the constant 2π a.
The turns are those with which the fourth and later echoes agree best: with
rₑ = (TEₑ − TE₁)/(TE₃ − TE₁), each turn takes 2π (rₑ − sₑ a) from echo e's misfit. For even spacing,
for spacings that repeat in pairs, and for three echoes of any spacing, no echo tells: the constant
is open, and the mean of g nearest zero is chosen. Other choices differ by multiples of 2π a in g
and of 1/(TE₃ − TE₁) in the field, a constant that background removal takes away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from ..box import Box, bounding_box
from ..errors import InputError
from ..progress import Reporter
from ..quantities import TWO_PI
from ..threads import in_slabs
from ..unwrap.echoes import check_echoes, wrap
from .mcpc3ds import sigma_voxels, unwrap_products
from .smoothing import check_sigma_mm, masked_phasors, mean_slopes, smooth_phase
from .turns import aligned, best_turns, tells_turns

_MARGIN = 2
#: Offset, field and the phase between polarities are three unknowns.
_FEWEST_ECHOES = 3


@dataclass(frozen=True, kw_only=True)
class BipolarOptions:
    """Options of :func:`correct_bipolar`.

    Parameters
    ----------
    sigma_mm : tuple of float
        Standard deviation of the Gaussian that smooths g along i, j, k, mm.
    threshold_rad : float
        Phase is left alone where the score is below: a monopolar readout.
    """

    sigma_mm: tuple[float, float, float] = (7.0, 7.0, 7.0)
    threshold_rad: float = 0.05

    def __post_init__(self) -> None:
        check_sigma_mm(self.sigma_mm)
        if not self.threshold_rad >= 0:
            raise InputError("bipolar threshold_rad", f"{self.threshold_rad} rad", "0 rad or more")


@dataclass(frozen=True, eq=False)
class BipolarFit:
    """What every second echo has in addition.

    Parameters
    ----------
    phase_rad : ndarray of float32, shape (I, J, K)
        g, within ±π; 0 outside the box around the mask and two voxels more.
    slope_rad_per_mm : tuple of float
        Mean slope of g along i, j, k; the largest is along the readout direction.
    score_rad : float
        Median of |g| in the mask.
    corrected : bool
        Whether g was subtracted.
    """

    phase_rad: Array
    slope_rad_per_mm: tuple[float, float, float]
    score_rad: float
    corrected: bool


def doubt_two_echoes(echo_count: int, asked_for: bool) -> tuple[str, ...]:
    """Say that a correction is asked for that needs a third echo.

    No header tells how echoes were read out, and in two of them the phase between polarities cannot be told from the
    field; nothing is said of two echoes, therefore, unless the user knows that their polarity alternates.

    Parameters
    ----------
    echo_count : int
        Echoes measured.
    asked_for : bool
        Whether the correction is switched on.

    Returns
    -------
    tuple of str
        One warning, or none.
    """
    if echo_count >= _FEWEST_ECHOES or not asked_for:
        return ()
    return (f"Alternating readout polarity cannot be corrected with {echo_count} echoes: its smooth phase is in the "
            "total field, mostly as a ramp along the readout. Acquire three or more echoes, or one polarity.",
            )  # fmt: skip


def correct_bipolar(
    magnitude: Array,
    phase: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    voxel_size_mm: Sequence[float],
    options: BipolarOptions,
    report: Reporter,
) -> tuple[Array, BipolarFit]:
    """Bring the even echoes (second, fourth, …) to the polarity of the odd ones.

    To be done before the phase offset is removed, which needs echoes of one polarity. With three
    echoes a constant of g, a multiple of 2π a, is open: g nearest zero is taken.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E)
        a.u. and rad.
    echo_times_s : sequence of float
        At least three, s; evenly spaced or not.
    mask : ndarray of bool, shape (I, J, K)
        Where the phase is reliable.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : BipolarOptions
        See there.
    report : Reporter
        Progress.

    Returns
    -------
    corrected_phase : ndarray of float32, shape (I, J, K, E)
        rad. Odd echoes, and all echoes outside the mask's box, are as they were; all of them where
        nothing is corrected.
    fit : BipolarFit
        What was found.

    Raises
    ------
    InputError
        If there are fewer than three echoes, or the arrays do not belong together.
    """
    from ._kernels import subtract_offset

    box, fit = _fit(magnitude, phase, echo_times_s, mask, voxel_size_mm, options, report)
    if not fit.corrected:
        return np.asarray(phase, np.float32), fit
    corrected = np.array(phase, np.float32)
    boxed, extra = corrected[box], fit.phase_rad[box]
    scales = (np.arange(len(echo_times_s)) % 2).astype(np.float32)
    in_slabs(subtract_offset, extra.shape[0], np.asarray(phase[box], np.float32), extra, scales, boxed)
    return corrected, fit


def bipolar_score(
    magnitude: Array,
    phase: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    voxel_size_mm: Sequence[float],
    options: BipolarOptions,
    report: Reporter,
) -> float:
    """Median size (rad) of the smooth phase between even and odd echoes; near 0 for monopolar readouts.

    Parameters and errors are those of :func:`correct_bipolar`.
    """
    return _fit(magnitude, phase, echo_times_s, mask, voxel_size_mm, options, report)[1].score_rad


def _fit(
    magnitude: Array,
    phase: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    voxel_size_mm: Sequence[float],
    options: BipolarOptions,
    report: Reporter,
) -> tuple[Box, BipolarFit]:
    """Box around the mask, and what every second echo has in addition."""
    check_echoes(phase, magnitude, echo_times_s, mask)
    if len(echo_times_s) < _FEWEST_ECHOES:
        raise InputError("echo times", f"{len(echo_times_s)} echoes", "at least three to compare readout polarities")
    box = bounding_box(mask, _MARGIN)
    inside, amplitude, boxed = mask[box], magnitude[box], phase[box]
    sigma = sigma_voxels(options.sigma_mm, voxel_size_mm)
    extra = _extra_phase(amplitude, boxed, echo_times_s, inside, sigma, report)
    score = float(np.median(np.abs(extra[inside])))
    steps = mean_slopes(masked_phasors(extra, inside))
    i, j, k = (float(step / size) for step, size in zip(steps, voxel_size_mm, strict=True))
    whole = np.zeros(mask.shape, np.float32)
    whole[box] = extra
    report("bipolar readout", 1.0)
    return box, BipolarFit(whole, (i, j, k), score, score >= options.threshold_rad)


def _extra_phase(
    magnitude: Array, phase: Array, echo_times_s: Sequence[float], mask: Array, sigma: Sequence[float], report: Reporter
) -> Array:
    """Smooth g in rad, (I, J, K)."""
    from ._kernels import add_echo_products

    magnitude, phase = np.asarray(magnitude, np.float32), np.asarray(phase, np.float32)
    product = np.zeros(mask.shape, np.complex64)
    in_slabs(add_echo_products, mask.shape[0], magnitude, phase, 0, 2, product)
    first, second, third = echo_times_s[:3]
    odd = unwrap_products(product, mask, third - first, report.span(0.0, 0.6))
    report("bipolar readout", 0.6, "smooth")
    share = (second - first) / (third - first)
    extra = smooth_phase(phase[..., 1] - phase[..., 0] - np.float32(share) * odd, mask, sigma)
    turns = _turns(magnitude, phase, odd, extra, echo_times_s, mask)
    if turns:
        extra[extra != 0] -= np.float32(TWO_PI * share * turns)
        extra = wrap(extra)
    return extra


def _turns(magnitude: Array, phase: Array, odd: Array, extra: Array, times_s: Sequence[float], mask: Array) -> int:
    """Turns to add to the odd echoes' difference, found with ``extra`` for none, so that all echoes lie on a line."""
    ratios = [(time - times_s[0]) / (times_s[2] - times_s[0]) for time in times_s]
    mean = float(np.angle(masked_phasors(extra, mask).sum(dtype=np.complex128)))

    def distance(turns: int) -> float:
        return round(abs(math.remainder(mean - TWO_PI * ratios[1] * turns, TWO_PI)), 6)

    shifts = {echo: ratios[echo] - echo % 2 * ratios[1] for echo in range(3, len(times_s))}
    telling = [echo for echo, shift in shifts.items() if tells_turns(shift)]
    if not telling:
        return min((0, 1, -1), key=distance)
    sums = []
    for echo in telling:
        line = np.float32(ratios[echo]) * odd + (extra if echo % 2 else 0)
        sums.append(aligned(magnitude[..., echo], phase[..., echo] - phase[..., 0] - line, mask))
    return best_turns(sums, [shifts[echo] for echo in telling], distance)
