"""Numbers that tell the quality of an acquisition and its maps; each is a plain function of arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..artifacts import Array
from ..box import bounding_box
from ..coils.smoothing import smooth_phase
from ..quantities import TWO_PI
from ..unwrap.echoes import wrap

#: Standard deviation of the Gaussian that takes the phase offset for smooth, mm.
_OFFSET_SMOOTHING_MM = 6.0
#: Median of |x| over the standard deviation of a normal distribution.
_MEDIAN_TO_SIGMA = 0.6745


def phase_residuals(
    phase: Array, magnitude: Array, echo_times_s: Sequence[float], field_hz: Array, mask: Array,
    voxel_size_mm: tuple[float, float, float],
) -> Array:  # fmt: skip
    """Phase that the field does not explain: ``wrap(φ_e − 2π f TE_e − φ₀)``.

    The offset ``φ₀`` is smooth and the same for all echoes: the angle of the Gaussian mean (σ = 6 mm) of
    ``Σ_e m_e exp(i(φ_e − 2π f TE_e))``. What is left is noise of the order of 1/SNR; wrong echo times and alternating
    readouts leave more, and differently in each echo. Unwrapping does not matter to it; see :func:`jump_fraction`.

    Parameters
    ----------
    phase, magnitude : ndarray, shape (I, J, K, E)
        rad, as measured, and a.u.
    echo_times_s : sequence of float
        E times, s.
    field_hz : ndarray, shape (I, J, K)
        Total field, Hz.
    mask : ndarray of bool, shape (I, J, K)
        N voxels inside.
    voxel_size_mm : tuple of float
        mm.

    Returns
    -------
    ndarray of float32, shape (N, E)
        rad.
    """
    times = np.asarray(echo_times_s, np.float32)
    rest = phase[mask].astype(np.float32)
    rest -= np.float32(TWO_PI) * field_hz[mask].astype(np.float32)[:, None] * times
    common = np.einsum("ne,ne->n", magnitude[mask], np.exp(1j * rest))
    rest -= _smooth_angle(common, mask, voxel_size_mm)[:, None]
    return wrap(rest)


def _smooth_angle(phasor: Array, mask: Array, voxel_size_mm: tuple[float, float, float]) -> Array:
    """Angle of the Gaussian mean of a phasor of the mask's voxels, rad, float32."""
    box = bounding_box(mask)
    inside = mask[box]
    angle, weight = np.zeros(inside.shape, np.float32), np.zeros(inside.shape, np.float32)
    angle[inside], weight[inside] = np.angle(phasor), np.abs(phasor)
    return smooth_phase(angle, inside, [_OFFSET_SMOOTHING_MM / length for length in voxel_size_mm], weight)[inside]


def jump_fraction(field_hz: Array, mask: Array, echo_spacing_s: float) -> float | None:
    """Share of neighbouring voxels of the mask between which the field jumps by more than half a turn per spacing.

    Such a step, ``|Δf| > 1/(2 ΔTE)``, cannot be told from a wrap: a wrong turn that unwrapping left makes one along
    its whole border. Air makes some, too.
    """
    limit_hz, jumps, pairs = 0.5 / echo_spacing_s, 0, 0
    box = bounding_box(mask)
    field, inside = field_hz[box], mask[box]
    for axis in range(3):
        both = np.take(inside, range(1, inside.shape[axis]), axis) & np.take(
            inside, range(inside.shape[axis] - 1), axis
        )
        pairs += int(both.sum())
        jumps += int((np.abs(np.diff(field, axis=axis)[both]) > limit_hz).sum())
    return jumps / pairs if pairs else None


def noise_from_phase(residuals: Array, magnitude: Array, echo_times_s: Sequence[float]) -> float | None:
    """Standard deviation of the noise of the real or imaginary part from phase residuals, a.u.: ``σ = m σ_φ``.

    It holds for combined channels, too, whose magnitude in air is far above ``σ``.

    What all echoes of a voxel share, which is the offset's fine structure, is taken out. Of E parts of the variance
    ``E − 2 + c²`` are left after that and after the fit of the field, with ``c`` the cosine between the two as seen
    by the noise, ``m_e`` and ``m_e TE_e``.

    Parameters
    ----------
    residuals, magnitude : ndarray, shape (N, E)
        rad and a.u.
    echo_times_s : sequence of float
        E times, s.

    Returns
    -------
    float or None
        ``None`` for fewer than three echoes.
    """
    echoes = residuals.shape[1]
    if echoes < 3:
        return None
    power = np.einsum("ne,ne->n", magnitude, magnitude)
    shared = np.einsum("ne,ne,ne->n", magnitude, magnitude, residuals) / np.where(power > 0, power, 1.0)
    spread = float(np.median(np.abs((residuals - shared[:, None]) * magnitude))) / _MEDIAN_TO_SIGMA
    typical = np.median(magnitude, axis=0)
    timed = typical * np.asarray(echo_times_s)
    cosine_squared = float(typical @ timed) ** 2 / max(float((typical @ typical) * (timed @ timed)), 1e-30)
    return spread / float(np.sqrt((echoes - 2 + cosine_squared) / echoes))
