"""Spheres of any susceptibility planted into a simulated patient's echoes: how methods hold at strong sources.

The field of a sphere is exact, so that nothing has to be simulated again: its phase, its static dephasing and the
dephasing inside the voxels around it multiply the echoes, and noise is added back to where they fade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPhantoms import Phantom
from ChiSepPhantoms.geometry import FineGrid
from ChiSepPhantoms.subject import positions
from ChiSepPhantoms.tissues import TISSUES, relaxivities_hz_per_ppm
from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet
from ChiSepPreprocessLib.quantities import ppm_to_hz

Vector = tuple[float, float, float]
Volume = NDArray[Any]
Box = tuple[slice, slice, slice]

#: Farther than so many radii away, the field hardly varies inside a voxel; nearer, voxels are cut into cells.
_REACH_RADII, _CELLS_IN_RADIUS = 3.0, 20
_APART_MM = 25.0


@dataclass(frozen=True, kw_only=True)
class Source:
    """A sphere that adds to one of the two susceptibilities.

    Parameters
    ----------
    kind : {"para", "dia"}
        Which.
    chi_ppm : float
        How much, ≥ 0, ppm.
    radius_mm : float
        mm.
    centre_mm : tuple of float
        Scanner RAS, mm.
    """

    kind: str
    chi_ppm: float
    radius_mm: float
    centre_mm: Vector

    def share(self, points: Sequence[Volume]) -> Volume:
        """1 inside, 0 outside."""
        return np.asarray(sum(self._offsets_squared(points)) <= self.radius_mm**2, dtype=np.float32)

    def field_ppm(self, points: Sequence[Volume]) -> Volume:
        """χ/3 (a/r)³ (3 cos²θ − 1) outside, 0 inside (Lorentz-corrected), with B0 along S."""
        x, y, z = self._offsets_squared(points)
        square, limit = x + y + z, np.float32(self.radius_mm**2)
        outside = np.maximum(square, limit)
        chi = self.chi_ppm if self.kind == "para" else -self.chi_ppm
        field = np.float32(chi / 3) * (limit / outside) * np.sqrt(limit / outside) * (3 * z / outside - 1)
        return np.where(square > limit, field, np.float32(0))

    def _offsets_squared(self, points: Sequence[Volume]) -> list[Volume]:
        return [np.square(p - np.float32(c)) for p, c in zip(points, self.centre_mm, strict=True)]


def places(patient: Phantom, radii_mm: Sequence[float]) -> list[Vector]:
    """Centres in white matter, apart from each other and from lesions, for spheres of these radii; the largest first.

    The depth that is asked for is lowered until a place is found. Always the same for one patient.
    """
    from scipy import ndimage

    grid, rng = patient.truth.grid, np.random.default_rng([patient.options.seed, 9])
    white = patient.labels == TISSUES["white_matter"].label
    depth = ndimage.distance_transform_edt(white, sampling=grid.voxel_size_mm)
    index = np.argwhere(depth > 0)
    depth, points = depth[tuple(index.T)], index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    free, found = np.ones(len(points), dtype=bool), []
    for radius in radii_mm:
        needed = radius + 2.0
        while not np.any(free & (depth >= needed)):
            needed *= 0.9
        x, y, z = points[rng.choice(np.flatnonzero(free & (depth >= needed)))]
        found.append((float(x), float(y), float(z)))
        free &= np.linalg.norm(points - found[-1], axis=1) > _APART_MM
    return found


def plant(patient: Phantom, sources: Sequence[Source]) -> Phantom:
    """Add spheres to gradient echoes and truth; ``lesions`` of the truth are then the spheres, in their order.

    R2 stays as it is: such a source dephases statically.
    """
    scan, grid = patient.acquisition.scan, patient.truth.grid
    points = positions(grid.affine, grid.shape)
    field: Volume = np.asarray(sum(one.field_ppm(points) for one in sources), dtype=np.float32)
    signal = patient.acquisition.gre_magnitude * np.exp(1j * patient.acquisition.gre_phase.astype(np.float32))
    turns_hz = ppm_to_hz(field, scan.reference_frequency_hz)
    for echo, time in enumerate(scan.echo_times_s):
        signal[..., echo] *= np.exp(np.complex64(2j * np.pi * time) * turns_hz)
    rng = np.random.default_rng([patient.options.seed, 10])
    truth = patient.truth.including(Map(name="lesions", data=np.zeros(grid.shape, np.int16), grid=grid))
    for number, one in enumerate(sources, 1):
        near = _Surroundings.of(one, grid)
        near.dephase(signal, patient, rng)
        truth = near.added(truth, number, patient)
        field[near.box] += near.mean_field - near.centre_field
    truth = _with(truth, "total_field", field)
    truth = _with(truth, "local_field", field * truth.array("brain_mask"))
    acquisition = replace(patient.acquisition, gre_magnitude=np.abs(signal), gre_phase=np.angle(signal), flair=None)
    return replace(patient, acquisition=acquisition, truth=truth, lesions=())


def _with(truth: MapSet, name: str, more: Volume) -> MapSet:
    data = np.asarray(truth.array(name) + more, dtype=np.float32)
    return truth.including(replace(truth[name], data=data))


@dataclass(frozen=True, eq=False)
class _Surroundings:
    """A sphere and the voxels around it, cut into cells."""

    source: Source
    box: Box
    fine: FineGrid

    @classmethod
    def of(cls, source: Source, grid: Grid) -> _Surroundings:
        """Of the voxels that it reaches."""
        centre = np.linalg.solve(grid.affine, [*source.centre_mm, 1.0])[:3]
        reach = _REACH_RADII * source.radius_mm / np.array(grid.voxel_size_mm)
        start = np.clip(np.floor(centre - reach), 0, grid.shape).astype(int)
        stop = np.clip(np.ceil(centre + reach) + 1, 0, grid.shape).astype(int)
        i, j, k = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
        affine = grid.affine.copy()
        affine[:3, 3] += affine[:3, :3] @ start
        return cls(
            source, (i, j, k), FineGrid.of(Grid(tuple(stop - start), affine), source.radius_mm / _CELLS_IN_RADIUS)
        )

    @cached_property
    def centre_field(self) -> Volume:
        """At the voxels' centres, ppm."""
        return self.source.field_ppm(positions(self.fine.coarse.affine, self.fine.coarse.shape))

    @cached_property
    def _cells(self) -> tuple[Volume, Volume]:
        """Field (ppm) in each cell, and 1 in those that the sphere fills."""
        points = positions(self.fine.grid.affine, self.fine.grid.shape)
        return self.source.field_ppm(points), self.source.share(points)

    @property
    def mean_field(self) -> Volume:
        """Mean over the cells of each voxel, ppm."""
        return self.fine.mean(self._cells[0])

    def _relaxivity(self, patient: Phantom) -> float:
        para, dia = relaxivities_hz_per_ppm(patient.options.relaxivity, patient.options.field_strength_t)
        return para if self.source.kind == "para" else dia

    def dephase(self, signal: Volume, patient: Phantom, rng: np.random.Generator) -> None:
        """Take the mean over the cells where the signal has only turned with the field of the voxels' centres."""
        scan, (field, share) = patient.acquisition.scan, self._cells
        hz_per_ppm, rate = scan.reference_frequency_hz * 1e-6, self._relaxivity(patient) * self.source.chi_ppm
        for echo, time in enumerate(scan.echo_times_s):
            turn = np.float32(2 * np.pi * time * hz_per_ppm)
            size = 1 - share * np.float32(1 - np.exp(-time * rate))
            left = self.fine.mean(size * np.cos(turn * field)) + 1j * self.fine.mean(size * np.sin(turn * field))
            left *= np.exp(np.complex64(-1j) * turn * self.centre_field)
            channels = rng.standard_normal((2, *left.shape), dtype=np.float32)
            noise = np.sqrt(np.clip(1 - np.abs(left) ** 2, 0, 1)) * (channels[0] + 1j * channels[1])
            signal[(*self.box, echo)] *= left
            signal[(*self.box, echo)] += patient.noise_sigma * noise

    def added(self, truth: MapSet, number: int, patient: Phantom) -> MapSet:
        """Truth with the sphere; it is a lesion of the voxels that it fills to half or more."""
        name, sign = f"chi_{self.source.kind}", 1 if self.source.kind == "para" else -1
        share = np.zeros(truth.grid.shape, dtype=np.float32)
        share[self.box] = self.fine.mean(self._cells[1])
        share *= truth.array("brain_mask")
        chi, labels = self.source.chi_ppm * share, truth.array("lesions").copy()
        labels[share >= 0.5] = number
        truth = truth.including(replace(truth["lesions"], data=labels))
        rate = self._relaxivity(patient) * chi
        for key, more in ((name, chi), ("chi_total", sign * chi), ("r2prime", rate), ("r2star", rate)):
            truth = _with(truth, key, more)
        return truth
