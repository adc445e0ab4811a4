"""MCPC-3D-S: the phase that is there before any time has passed.

Eckstein K, Dymerska B, Bachrata B, et al. "Computationally efficient combination of multi-channel
phase data from multi-echo acquisitions (ASPIRE)". Magn Reson Med 79:2996 (2018).
Combined data are the case of one channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..progress import Reporter
from ..unwrap.echoes import check_echoes, wrap
from ..unwrap.romeo import RomeoOptions, unwrap

#: A later echo further than this from a whole number of spacings tells the number of turns.
_EVEN = 0.02
#: Largest median field, in multiples of 1/(TE₂ − TE₁), that is looked for.
_MOST_TURNS = 4


@dataclass(frozen=True, kw_only=True)
class PhaseOffsetOptions:
    """Options of :func:`remove_phase_offset`.

    Parameters
    ----------
    sigma_mm : tuple of float
        Standard deviation of the Gaussian that smooths the offset along i, j, k, mm.
    """

    sigma_mm: tuple[float, float, float] = (7.0, 7.0, 7.0)


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
    φ₀ = φ₁ − TE₁/(TE₂ − TE₁) unwrap(φ₂ − φ₁), then smoothed as exp(iφ₀) inside the mask.
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
        rad, within ±π.
    phase_offset : ndarray of float32, shape (I, J, K)
        rad, within ±π; 0 far outside the mask.

    Raises
    ------
    InputError
        If there is one echo only, or the arrays do not belong together.
    """
    check_echoes(phase, magnitude, echo_times_s, mask)
    if len(echo_times_s) < 2:
        raise InputError("echo times", f"{len(echo_times_s)} echo", "at least two to find the phase offset",
                         "Leave the offset correction out for a single echo.")  # fmt: skip
    first, second = phase[..., 0], phase[..., 1]
    spacing_s = echo_times_s[1] - echo_times_s[0]
    difference = unwrap(
        wrap(np.asarray(second - first, dtype=np.float32))[..., None],
        np.sqrt(magnitude[..., 0] * magnitude[..., 1])[..., None],
        (spacing_s,),
        mask,
        RomeoOptions(correct_global=True),
        report.span(0.0, 0.6),
    )[..., 0]
    difference += np.float32(2 * np.pi * _turns(magnitude, phase, difference, echo_times_s, mask))
    report("phase offset", 0.6, "smooth")
    offset = first - np.float32(echo_times_s[0] / spacing_s) * difference
    sigma_voxels = [sigma / size for sigma, size in zip(options.sigma_mm, voxel_size_mm, strict=True)]
    offset = smooth_phase(offset, mask & np.isfinite(offset), sigma_voxels)
    corrected = wrap(np.asarray(phase - offset[..., None], dtype=np.float32))
    report("phase offset", 1.0)
    return corrected, offset


def _turns(magnitude: Array, phase: Array, difference: Array, echo_times_s: Sequence[float], mask: Array) -> int:
    """Turns to add to the phase difference so that the later echoes lie on the line of the first two."""
    spacing_s = echo_times_s[1] - echo_times_s[0]
    ratios = [(time - echo_times_s[0]) / spacing_s for time in echo_times_s]
    uneven = [echo for echo, ratio in enumerate(ratios) if abs(ratio - round(ratio)) > _EVEN]
    if not uneven:
        return 0
    first, slope = phase[..., 0][mask], difference[mask]

    def agreement(turns: int) -> float:
        expected = [first + np.float32(ratios[echo]) * (slope + np.float32(2 * np.pi * turns)) for echo in uneven]
        return sum(
            float(np.vdot(magnitude[..., echo][mask], np.cos(phase[..., echo][mask] - line)))
            for echo, line in zip(uneven, expected, strict=True)
        )

    return max(sorted(range(-_MOST_TURNS, _MOST_TURNS + 1), key=abs), key=agreement)


def smooth_phase(phase: Array, mask: Array, sigma_voxels: Sequence[float]) -> Array:
    """Angle of the Gaussian-smoothed exp(i ``phase``), taken from inside the mask.

    Parameters
    ----------
    phase : ndarray, shape (I, J, K)
        rad; wraps do not matter.
    mask : ndarray of bool, shape (I, J, K)
        Voxels that count.
    sigma_voxels : sequence of float
        Standard deviation along i, j, k, voxels.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        rad, within ±π; continued outside the mask as far as the Gaussian reaches, 0 beyond.
    """
    from scipy.ndimage import gaussian_filter

    angle = np.where(mask, phase, 0).astype(np.float32)
    parts = (np.cos(angle) * mask, np.sin(angle) * mask)
    real, imaginary = (gaussian_filter(part, sigma_voxels, mode="constant", truncate=3.0) for part in parts)
    return np.arctan2(imaginary, real)
