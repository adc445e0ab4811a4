"""How phase bends from block to block of voxels: the field's share of it, without that of coils and gradients.

Phase of echo e is φₑ = φ₀ + 2π f TEₑ. The offset φ₀ of receive coils and of alternating readouts is smooth, whereas the
field f follows the anatomy. Second differences of phase, which leave out constants and ramps, are therefore those of
the field: the same pattern in every echo, in proportion to the echo time. Their sum over the axes leaves out the field
of sources elsewhere too, which is harmonic, so that it is the same for the total and for the local field. Averages over
blocks of some millimetres keep all that above the noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from ..quantities import TWO_PI

#: Edge of a block, mm.
_BLOCK_MM = 4.0
#: The middle of the image suffices, so many mm of each axis.
_MIDDLE_MM = 96.0
#: A block's mean phasor over its mean magnitude, below which phase varies too much within the block.
_COHERENT = 0.8
#: Share of the brightest blocks' magnitude (99th percentile) above which a block holds tissue.
_BRIGHT = 0.2
#: Of fewer blocks nothing is said.
_FEWEST = 50
#: Mean correlation between echoes above which they show one pattern.
_ONE_PATTERN = 0.3


@dataclass(frozen=True)
class Likeness:
    """How the bends of measured phase follow those that a field predicts.

    Parameters
    ----------
    correlation : float
        1 for the field of this phase, −1 for its opposite, near 0 for another field.
    factor : float
        Measured over predicted bends: 1 for a field in the right unit.
    """

    correlation: float
    factor: float


def growth_exponent(
    magnitude: Array, phase: Array, echo_times_s: Sequence[float], voxel_size_mm: Sequence[float]
) -> float | None:
    """Exponent p with which the bends of phase grow with the echo time, as TEᵖ.

    The pattern that the echoes share is the first principal component of the second differences along the axes; p is
    the slope of its logarithm over that of the echo time. It is 1 for phase and 0 for phase differences between
    equally spaced echoes, whatever the offset.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E)
        a.u. and rad.
    echo_times_s : sequence of float
        E times, s.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.

    Returns
    -------
    float or None
        ``None`` where the echoes show no common pattern: noise, a single slice, one echo.
    """
    middle = _middle(phase.shape, voxel_size_mm)
    angles, reliable = _blocks(magnitude[middle], np.moveaxis(phase[middle], 3, 0), voxel_size_mm)
    loads = _shared_pattern(_second_differences(angles, reliable))
    return None if loads is None else float(np.polyfit(np.log(echo_times_s), np.log(loads), 1)[0])


def likeness(
    magnitude: Array, phase: Array, echo_times_s: Sequence[float], voxel_size_mm: Sequence[float], field_hz: Array
) -> Likeness | None:
    """Compare measured phase with what a field predicts, by the Laplacian of both.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E)
        a.u. and rad.
    echo_times_s : sequence of float
        E times, s.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    field_hz : ndarray, shape (I, J, K)
        Total or local field, Hz; 0 where it is not known.

    Returns
    -------
    Likeness or None
        ``None`` where the phase is too noisy, or the field too small, to tell.
    """
    middle = _middle(phase.shape, voxel_size_mm)
    strength, field_hz = magnitude[middle], field_hz[middle]
    predicted = (field_hz * np.float32(TWO_PI * time_s) for time_s in echo_times_s)
    angles, reliable = _blocks(strength, np.moveaxis(phase[middle], 3, 0), voxel_size_mm)
    expected, known = _blocks(strength * (field_hz != 0)[..., None], predicted, voxel_size_mm)
    both = reliable & known
    measured, expected = _second_differences(angles, both), _second_differences(expected, both)
    if _shared_pattern(measured) is None:
        return None
    edges_mm = np.multiply(_counts(voxel_size_mm), voxel_size_mm)
    weights = np.mean(edges_mm) ** 2 / edges_mm**2
    one, other = np.ravel(measured @ weights), np.ravel(expected @ weights)
    norms = float(one @ one), float(other @ other)
    if not min(norms) > 0:
        return None
    return Likeness(float(one @ other) / (norms[0] * norms[1]) ** 0.5, float(one @ other) / norms[1])


def _middle(shape: Sequence[int], voxel_size_mm: Sequence[float]) -> tuple[slice, ...]:
    """Whole blocks in the middle of a volume."""
    parts = []
    for length, size, count in zip(shape, voxel_size_mm, _counts(voxel_size_mm), strict=False):
        kept = min(length, round(_MIDDLE_MM / size)) // count * count
        parts.append(slice((length - kept) // 2, (length + kept) // 2))
    return tuple(parts)


def _counts(voxel_size_mm: Sequence[float]) -> list[int]:
    """Voxels along each edge of a block."""
    return [max(1, round(_BLOCK_MM / size)) for size in voxel_size_mm]


def _blocks(magnitude: Array, phase: Iterable[Array], voxel_size_mm: Sequence[float]) -> tuple[Array, Array]:
    """Mean angle (I', J', K', E) of blocks, and which are reliable in all echoes; echo by echo, to save memory."""
    counts, angles, trusted = _counts(voxel_size_mm), [], []
    for strength, angle in zip(np.moveaxis(magnitude, 3, 0), phase, strict=True):
        total = _summed(strength.astype(np.float32, copy=False) * np.exp(1j * angle), counts)
        strengths = _summed(strength, counts)
        bright = _BRIGHT * np.percentile(strengths, 99) if strengths.size else 0.0
        trusted.append((np.abs(total) > _COHERENT * strengths) & (strengths > bright))
        angles.append(np.angle(total))
    return np.stack(angles, axis=3), np.all(trusted, axis=0)


def _summed(values: Array, counts: Sequence[int]) -> Array:
    for axis, count in enumerate(counts):
        shape = values.shape
        values = values.reshape(*shape[:axis], shape[axis] // count, count, *shape[axis + 1 :]).sum(axis=axis + 1)
    return values


def _second_differences(angles: Array, reliable: Array) -> Array:
    """Along i, j, k, wrapped, (n, E, 3), of the n reliable blocks whose six neighbours are reliable."""
    core = (slice(1, -1),) * 3
    chosen, found = reliable[core].copy(), []
    for axis in range(3):
        after = tuple(slice(2, None) if other == axis else slice(1, -1) for other in range(3))
        before = tuple(slice(None, -2) if other == axis else slice(1, -1) for other in range(3))
        chosen &= reliable[after] & reliable[before]
        found.append(np.angle(np.exp(1j * (angles[after] + angles[before] - 2 * angles[core]))))
    return np.stack([values[chosen] for values in found], axis=-1)


def _shared_pattern(differences: Array) -> Array | None:
    """Size in each echo (E,) of the pattern that all echoes share; ``None`` without one."""
    count, echoes, _ = differences.shape
    if count < _FEWEST or echoes < 2:
        return None
    values = differences.transpose(1, 0, 2).reshape(echoes, -1)
    products = values @ values.T
    sizes = np.sqrt(np.diag(products))
    if not sizes.min() > 0:
        return None
    mean = (np.sum(products / np.outer(sizes, sizes)) - echoes) / (echoes * (echoes - 1))
    return np.abs(np.linalg.eigh(products)[1][:, -1]) if mean > _ONE_PATTERN else None
