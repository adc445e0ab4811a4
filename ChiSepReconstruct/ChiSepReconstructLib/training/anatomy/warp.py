"""From a place in the simulated scanner to the place in the MNI template that lies there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .options import AnatomyOptions
from .separable import Axes, SmoothNoise, Volume

#: Half of the room in which a head may lie, mm.
ROOM_MM = 130.0
#: Middle of the template's brain, MNI mm.
_MIDDLE_MM = np.array([0.0, -18.0, 8.0])
#: Middle and width of the ventricles, MNI mm.
_VENTRICLES_MM, _VENTRICLES_WIDTH_MM = np.array([0.0, -14.0, 15.0]), 24.0
#: From (posterior, right, superior) to (right, anterior, superior).
_TO_RAS = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Warp:
    """A head's place and shape.

    Parameters
    ----------
    matrix : ndarray, shape (3, 3)
        From scanner mm (posterior, right, superior; B0 along the last) to MNI mm.
    displacements : tuple of (amplitude_mm, three SmoothNoise)
        Added in MNI mm, for each scale.
    ventricle_growth : float
        Share by which the ventricles' surroundings are pushed outwards.
    """

    matrix: NDArray[np.float64]
    displacements: tuple[tuple[float, tuple[SmoothNoise, SmoothNoise, SmoothNoise]], ...]
    ventricle_growth: float

    def template_mm(self, axes_mm: Axes) -> Volume:
        """MNI coordinates of the points of a grid, shape (3, I, J, K), mm."""
        i, j, k = (axis.astype(np.float32) for axis in axes_mm)
        place = np.empty((3, len(i), len(j), len(k)), np.float32)
        for component, (row, middle) in enumerate(zip(self.matrix.astype(np.float32), _MIDDLE_MM, strict=True)):
            place[component] = (row[0] * i + np.float32(middle))[:, None, None] + (row[1] * j)[:, None] + row[2] * k
            for amplitude_mm, noise in self.displacements:
                place[component] += np.float32(amplitude_mm) * noise[component].at(axes_mm)
        offset = place - _VENTRICLES_MM.astype(np.float32)[:, None, None, None]
        near = np.einsum("cijk,cijk->ijk", offset, offset)
        near *= np.float32(-0.5 / _VENTRICLES_WIDTH_MM**2)
        np.exp(near, out=near)
        offset *= near * np.float32(self.ventricle_growth)
        place -= offset
        return place

    def direction_to_scanner(self, direction_ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vector in scanner axes of a direction in the template."""
        turned = np.linalg.solve(self.matrix, direction_ras)
        return np.asarray(turned / np.linalg.norm(turned))


def random_warp(rng: np.random.Generator, options: AnatomyOptions, age_years: float) -> Warp:
    """Head of random size, shape, side and tilt to B0.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    options : AnatomyOptions
        Sizes and the largest tilt, about any horizontal axis.
    age_years : float
        Ventricles grow with it.
    """
    size = rng.uniform(options.smallest_size, options.largest_size) * rng.uniform(0.95, 1.05, 3)
    shear = np.eye(3) + np.triu(rng.normal(0, 0.03, (3, 3)), 1)
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0, 1.0])
    matrix = flip @ shear @ np.diag(1 / size) @ _TO_RAS @ _random_turn(rng, options.largest_tilt_deg)
    scales = ((45.0, rng.uniform(1.5, 5.0)), (18.0, rng.uniform(0.5, 2.0)), (8.0, rng.uniform(0.1, 0.6)))
    displacements = tuple((amplitude, _three(spacing, rng)) for spacing, amplitude in scales)
    growth = float(np.clip(rng.normal(0.006 * (age_years - 35), 0.08), -0.12, 0.4))
    return Warp(matrix, displacements, growth)


def _three(spacing_mm: float, rng: np.random.Generator) -> tuple[SmoothNoise, SmoothNoise, SmoothNoise]:
    first, second, third = (SmoothNoise(ROOM_MM, spacing_mm, rng) for _ in range(3))
    return first, second, third


def _random_turn(rng: np.random.Generator, largest_tilt_deg: float) -> NDArray[np.float64]:
    """Turn by any angle up to the largest about a horizontal axis, and by some about B0."""
    tilt, heading = np.deg2rad(rng.uniform(0, largest_tilt_deg)), rng.uniform(0, 2 * np.pi)
    return _turn(np.array([np.cos(heading), np.sin(heading), 0.0]), tilt) @ _turn(
        np.array([0.0, 0.0, 1.0]), np.deg2rad(rng.uniform(-15, 15))
    )


def _turn(axis: NDArray[np.float64], angle_rad: float) -> NDArray[np.float64]:
    """Rotation about a unit vector (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle_rad) * cross + (1 - np.cos(angle_rad)) * cross @ cross)
