"""What a simulated head consists of, voxel by voxel, and the brush that paints structures into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .separable import Axes, Volume, noise_on
from .tissues import Tissue

Box = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]

#: What every voxel has: ppm, ppm, 1/s, 1/s, share of water, and relaxivities relative to the nominal one.
PROPERTIES: Final = ("chi_para", "chi_dia", "r2", "r1", "proton_density", "relaxivity_para", "relaxivity_dia")


@dataclass(frozen=True, eq=False)
class Head:
    """A head on its fine grid.

    Parameters
    ----------
    axes_mm : tuple of ndarray
        Positions along the axes (to posterior, to the right, to superior along B0), mm.
    maps : dict of ndarray, shape (I, J, K)
        By the names of :data:`PROPERTIES`.
    brain : ndarray of bool, shape (I, J, K)
        Where there is signal.
    regions : ndarray of uint8, shape (I, J, K)
        Number in ``region_names`` of the structure that a voxel belongs to; 0 for none.
    region_names : list of str
        Of the structures painted so far; the first is for none.
    """

    axes_mm: Axes
    maps: dict[str, Volume]
    brain: Mask
    regions: NDArray[np.uint8]
    region_names: list[str] = field(default_factory=lambda: [""])

    @property
    def voxel_size_mm(self) -> float:
        """Edge of the cubic voxels, mm."""
        return float(self.axes_mm[0][1] - self.axes_mm[0][0])

    def paint(self, box: Box, share: Volume, values: Mapping[str, float]) -> None:
        """Mix values into a box; ``share`` of 1 replaces what was there."""
        for name, value in values.items():
            part = self.maps[name][box]
            part += share * (np.float32(value) - part)

    def scale(self, box: Box, share: Volume, factors: Mapping[str, float]) -> None:
        """Multiply by factors where ``share`` is 1, and in proportion where it is less."""
        for name, factor in factors.items():
            self.maps[name][box] *= 1 + share * np.float32(factor - 1)

    def mark(self, box: Box, share: Volume, name: str) -> None:
        """Number the voxels of which a structure fills the most."""
        if name not in self.region_names:
            self.region_names.append(name)
        self.regions[box][share > 0.5] = self.region_names.index(name)

    def axes_of(self, box: Box) -> Axes:
        """Positions along the axes of a box, mm."""
        i, j, k = (axis[span] for axis, span in zip(self.axes_mm, box, strict=True))
        return i, j, k

    def box_around(self, centre_mm: NDArray[np.float64], radius_mm: float) -> Box | None:
        """Part of the grid within ``radius_mm`` of a point, or None if there is none."""
        spans = []
        for axis, middle in zip(self.axes_mm, centre_mm, strict=True):
            first, last = np.searchsorted(axis, (middle - radius_mm, middle + radius_mm))
            spans.append(slice(int(first), int(last)))
        i, j, k = spans
        return None if any(span.stop - span.start < 2 for span in spans) else (i, j, k)


def material(tissue: Tissue, rng: np.random.Generator, iron: float = 1.0, variation: float = 1.0) -> dict[str, float]:
    """Values of a tissue in one subject.

    Parameters
    ----------
    tissue : Tissue
        Row of the table.
    rng : numpy.random.Generator
        Source of randomness.
    iron : float
        Factor of the paramagnetic susceptibility, for age.
    variation : float
        Factor of the table's spreads.

    Returns
    -------
    dict of float
        By the names of :data:`PROPERTIES`; susceptibility in ppm.
    """

    def around(spread: float) -> float:
        return float(np.clip(1 + variation * spread * rng.standard_normal(), 0.2, 3.0))

    return {
        "chi_para": tissue.para_ppb / 1e3 * iron * around(tissue.para_spread),
        "chi_dia": tissue.dia_ppb / 1e3 * around(tissue.dia_spread),
        "r2": tissue.r2_per_s * around(0.08),
        "r1": tissue.r1_per_s * around(0.08),
        "proton_density": tissue.proton_density * around(0.04),
        "relaxivity_para": around(0.07),
        "relaxivity_dia": around(0.07),
    }


def blob(
    head: Head, centre_mm: NDArray[np.float64], radius_mm: float, roughness: float, rng: np.random.Generator
) -> tuple[Box, Volume] | None:
    """Depth, mm, in a deformed random ellipsoid, in the box around it; above 0 inside. None where the grid ends."""
    radii = radius_mm * np.exp(rng.normal(0, 0.25, 3))
    box = head.box_around(centre_mm, (1 + 2 * roughness) * float(radii.max()) + 1)
    if box is None:
        return None
    axes = head.axes_of(box)
    distance = np.sqrt(sum(one * one for one in turned_offsets(axes, centre_mm, 1 / radii, rng)))
    noise = noise_on(axes, max(radius_mm, 1.0), rng)
    return box, np.float32(radius_mm) * (1 - distance + np.float32(roughness) * noise)


def turned_offsets(
    axes_mm: Axes, centre_mm: NDArray[np.float64], factors: NDArray[np.float64], rng: np.random.Generator
) -> list[Volume]:
    """Coordinates about a centre along three random axes that are perpendicular, each times a factor."""
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    i, j, k = (axis - centre for axis, centre in zip(axes_mm, centre_mm, strict=True))
    rows = turn * factors[:, None]
    return [
        (a * i).astype(np.float32)[:, None, None] + (b * j).astype(np.float32)[:, None] + (c * k).astype(np.float32)
        for a, b, c in rows
    ]


def share_of(depth_mm: Volume, voxel_size_mm: float, softness_mm: float = 0.0) -> Volume:
    """Share of a voxel that lies inside a surface at this depth (above 0 inside)."""
    return np.clip(depth_mm / np.float32(voxel_size_mm + softness_mm) + np.float32(0.5), 0, 1)
