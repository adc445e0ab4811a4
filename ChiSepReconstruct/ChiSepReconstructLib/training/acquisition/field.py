"""Field of the simulated sources: those in the brain on the fine grid, those outside as spheres."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..anatomy.separable import Axes, Volume

Mask = NDArray[np.bool_]

#: Room around the volume, as a share of it, against its periodic images.
_PADDING = 0.3
#: Air against water, ppm.
_AIR_PPM = 9.4


def field_of(chi_ppm: Volume) -> Volume:
    """Field of susceptibilities on cubic voxels, B0 along axis 2.

    Parameters
    ----------
    chi_ppm : ndarray, shape (I, J, K)
        ppm.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        ppm; with a mean of 0 over the padded volume.

    References
    ----------
    Marques & Bowtell, Concepts Magn Reson B 25:65 (2005).
    """
    from scipy.fft import irfftn, next_fast_len, rfftn

    shape = [next_fast_len(int(n * (1 + _PADDING)), real=True) for n in chi_ppm.shape]
    spectrum = rfftn(chi_ppm, shape, workers=1)
    i, j = (np.square(np.fft.fftfreq(n)).astype(np.float32) for n in shape[:2])
    k = np.square(np.fft.rfftfreq(shape[2])).astype(np.float32)
    for plane, square in zip(spectrum, i, strict=True):
        length = square + j[:, None] + k
        length[length == 0] = np.inf  # for which the kernel is made 0 below
        plane *= np.where(np.isinf(length), 0, np.float32(1 / 3) - k / length)
    first, second, third = chi_ppm.shape
    return irfftn(spectrum, shape, workers=1, overwrite_x=True)[:first, :second, :third]


def random_background(axes_mm: Axes, brain: Mask, wanted: Mask, rng: np.random.Generator) -> tuple[Volume, Mask]:
    """Field of air and other sources around the brain, as a shim of second order leaves it.

    Parameters
    ----------
    axes_mm : tuple of ndarray
        Positions along the axes, mm.
    brain : ndarray of bool, shape (I, J, K)
        The sources are outside.
    wanted : ndarray of bool, shape (I, J, K)
        Where the field is needed.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        ppm; 0 where it is not wanted.
    ndarray of bool, shape (I, J, K)
        What of ``wanted`` is no source or right beside one: there the field is harmonic.
    """
    from ..anatomy._kernels import add_sphere_fields

    centres_mm, radii_mm, moments = _random_spheres(axes_mm, brain, rng)
    known = _outside(wanted, axes_mm, centres_mm, radii_mm)
    place = _places(axes_mm, known)
    inside = np.zeros(len(place), np.float32)
    add_sphere_fields(inside, place, centres_mm, moments)
    inside -= _shim(place, inside, float(rng.uniform(0.5, 1.0)))
    field = np.zeros(brain.shape, np.float32)
    field[known] = inside
    return field, known


def _outside(wanted: Mask, axes_mm: Axes, centres_mm: Volume, radii_mm: Volume) -> Mask:
    """Drop what lies in spheres or less than 1 mm away; the brain is farther from all of them."""
    known = wanted.copy()
    for centre, radius in zip(centres_mm, radii_mm + 1, strict=True):
        box = tuple(slice(*np.searchsorted(axis, (at - radius, at + radius)))
                    for axis, at in zip(axes_mm, centre, strict=True))  # fmt: skip
        square = [np.square(axis[one] - at) for axis, one, at in zip(axes_mm, box, centre, strict=True)]
        known[box] &= square[0][:, None, None] + square[1][:, None] + square[2] > radius**2
    return known


def _places(axes_mm: Axes, mask: Mask) -> Volume:
    index = np.nonzero(mask)
    return np.stack([a.astype(np.float32)[i] for a, i in zip(axes_mm, index, strict=True)], axis=1)


def _random_spheres(axes_mm: Axes, brain: Mask, rng: np.random.Generator) -> tuple[Volume, Volume, Volume]:
    """Centres (M, 3) and radii, mm, and moments Δχ r³/3, ppm mm³, of spheres off the brain; most lie below it."""
    from scipy.ndimage import distance_transform_edt

    size_mm, step, around = float(axes_mm[0][1] - axes_mm[0][0]), 6, 8
    outside = np.pad(~brain[::step, ::step, ::step], around, constant_values=True)
    clearance_mm = distance_transform_edt(outside) * (size_mm * step)
    first = np.array([axis[0] for axis in axes_mm]) - around * step * size_mm
    voxels = np.argwhere(clearance_mm > 9.0)
    height = voxels[:, 2] / outside.shape[2]
    odds = np.exp(-5 * height) * np.exp(-clearance_mm[tuple(voxels.T)] / 15)
    count = int(rng.integers(6, 40))
    chosen = voxels[rng.choice(len(voxels), count, p=odds / odds.sum())]
    radii = (clearance_mm[tuple(chosen.T)] - 5.0) * rng.uniform(0.3, 1.0, count)
    shift = -_AIR_PPM * rng.choice([1.0, 0.3, -0.1], count, p=[0.6, 0.3, 0.1]) * rng.uniform(0.2, 1.0, count)
    centres_mm, moments = first + chosen * (step * size_mm), shift * radii**3 / 3
    return centres_mm.astype(np.float32), radii.astype(np.float32), moments.astype(np.float32)


def _shim(place_mm: Volume, field: Volume, strength: float) -> Volume:
    """Solid harmonics up to order two that a shim takes away."""
    x, y, z = (place_mm - place_mm.mean(axis=0)).T / np.float32(60)
    harmonics = np.stack(
        [np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 2 * z * z - x * x - y * y], axis=1
    )
    some = slice(None, None, 97)
    weights, *_ = np.linalg.lstsq(harmonics[some], field[some], rcond=None)
    return np.asarray(harmonics @ (np.float32(strength) * weights.astype(np.float32)))
