"""MCPC-3D-S: the phase that is there before any time has passed.

Eckstein K, Dymerska B, Bachrata B, et al. "Computationally efficient combination of multi-channel
phase data from multi-echo acquisitions (ASPIRE)". Magn Reson Med 79:2996 (2018).
Here for data whose channels are combined; :mod:`.combine` does it channel by channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from ..box import bounding_box
from ..errors import InputError
from ..progress import Reporter
from ..quantities import TWO_PI
from ..threads import in_slabs
from ..unwrap.echoes import check_echoes
from ..unwrap.romeo import RomeoOptions, unwrap
from .smoothing import check_sigma_mm, smooth_phase
from .turns import aligned, best_turns, tells_turns

#: Later steps look this many voxels beyond the mask.
_MARGIN = 2


@dataclass(frozen=True, kw_only=True)
class PhaseOffsetOptions:
    """Options of :func:`remove_phase_offset`.

    Parameters
    ----------
    sigma_mm : tuple of float
        Standard deviation of the Gaussian that smooths the offset along i, j, k, mm.
    """

    sigma_mm: tuple[float, float, float] = (7.0, 7.0, 7.0)

    def __post_init__(self) -> None:
        check_sigma_mm(self.sigma_mm)


def remove_phase_offset(
    magnitude: Array,
    phase: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    voxel_size_mm: Sequence[float],
    options: PhaseOffsetOptions,
    report: Reporter,
) -> tuple[Array, Array]:
    """Subtract the phase at echo time zero, so that phase is proportional to the echo time.

    The phase difference of the first two echoes is unwrapped and extrapolated to the first:
    φ₀ = φ₁ − TE₁/(TE₂ − TE₁) unwrap(φ₂ − φ₁), then smoothed as exp(iφ₀) inside the mask, its mean
    slope set aside meanwhile, which the paper does not do (:func:`.smooth_phase`).
    The multiple of 2π in the difference is the one with which later echoes agree best. If they
    are evenly spaced all multiples agree: the wrong one adds a constant field of a multiple of
    1/(TE₂ − TE₁), which background removal takes away. Both echoes need the same readout polarity.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E)
        a.u. and rad.
    echo_times_s : sequence of float
        At least two, s.
    mask : ndarray of bool, shape (I, J, K)
        Where the phase is reliable.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : PhaseOffsetOptions
        See there.
    report : Reporter
        Progress.

    Returns
    -------
    corrected_phase : ndarray of float32, shape (I, J, K, E)
        rad, within ±π; 0 outside the box around the mask and two voxels more.
    phase_offset : ndarray of float32, shape (I, J, K)
        rad, within ±π; 0 outside that box.

    Raises
    ------
    InputError
        If there is one echo only, or the arrays do not belong together.
    """
    from ._kernels import subtract_offset

    check_echoes(phase, magnitude, echo_times_s, mask)
    check_two_echoes(echo_times_s)
    box = bounding_box(mask, _MARGIN)
    inside, boxed = mask[box], np.asarray(phase[box], np.float32)
    difference = _difference(np.asarray(magnitude[box], np.float32), boxed, echo_times_s, inside, report)
    report("phase offset", 0.6, "smooth")
    corrected, offset = np.zeros(phase.shape, np.float32), np.zeros(mask.shape, np.float32)
    first = boxed[..., 0] - np.float32(extrapolation(echo_times_s)) * difference
    offset[box] = smooth_phase(first, inside, sigma_voxels(options.sigma_mm, voxel_size_mm))
    scales = np.ones(len(echo_times_s), np.float32)
    in_slabs(subtract_offset, inside.shape[0], boxed, offset[box], scales, corrected[box])
    report("phase offset", 1.0)
    return corrected, offset


def check_two_echoes(echo_times_s: Sequence[float]) -> None:
    """Raise an InputError for a single echo."""
    if len(echo_times_s) < 2:
        raise InputError("echo times", f"{len(echo_times_s)} echo", "at least two to find the phase offset",
                         "Leave the offset correction out for a single echo.")  # fmt: skip


def extrapolation(echo_times_s: Sequence[float]) -> float:
    """TE₁/(TE₂ − TE₁), by which the phase difference is carried to the first echo."""
    return echo_times_s[0] / (echo_times_s[1] - echo_times_s[0])


def sigma_voxels(sigma_mm: Sequence[float], voxel_size_mm: Sequence[float]) -> list[float]:
    """Standard deviation along i, j, k from mm to voxels."""
    return [sigma / size for sigma, size in zip(sigma_mm, voxel_size_mm, strict=True)]


def unwrap_products(product: Array, mask: Array, spacing_s: float, report: Reporter) -> Array:
    """Unwrapped angle (rad) of Hermitian products of two echoes, its median near zero; 0 outside the mask."""
    from ._kernels import polar

    amplitude, angle = np.empty(mask.shape, np.float32), np.empty(mask.shape, np.float32)
    in_slabs(polar, mask.shape[0], product, amplitude, angle)
    options = RomeoOptions(correct_global=True)
    return unwrap(angle[..., None], amplitude[..., None], (spacing_s,), mask, options, report)[..., 0]


def _difference(magnitude: Array, phase: Array, echo_times_s: Sequence[float], mask: Array, report: Reporter) -> Array:
    """Unwrapped phase difference (rad) of the first two echoes, with the turns that later echoes tell."""
    from ._kernels import add_echo_products

    product = np.zeros(mask.shape, np.complex64)
    in_slabs(add_echo_products, mask.shape[0], magnitude, phase, 0, 1, product)
    difference = unwrap_products(product, mask, echo_times_s[1] - echo_times_s[0], report.span(0.0, 0.6))
    difference += np.float32(TWO_PI * _turns(magnitude, phase, difference, echo_times_s, mask))
    return difference


def _turns(magnitude: Array, phase: Array, difference: Array, echo_times_s: Sequence[float], mask: Array) -> int:
    """Turns to add to the phase difference so that the later echoes lie on the line of the first two.

    Echo e, r spacings after the first, is φₑ − φ₁ − r Δ off the line; each turn in the difference Δ
    takes 2π r away.
    """
    spacing_s = echo_times_s[1] - echo_times_s[0]
    ratios = [(time - echo_times_s[0]) / spacing_s for time in echo_times_s]
    uneven = [echo for echo, ratio in enumerate(ratios) if tells_turns(ratio)]
    sums = []
    for echo in uneven:
        misfit = phase[..., echo] - phase[..., 0] - np.float32(ratios[echo]) * difference
        sums.append(aligned(magnitude[..., echo], misfit, mask))
    return best_turns(sums, [ratios[echo] for echo in uneven], abs)
