r"""How much a measure changes between two scans where nothing has changed: test-retest noise.

From white matter: spheres with as many voxels as the lesion are placed in normal-appearing white matter, apart from
lesions and each other, the same at both times, and measured like lesions, with core, rim and white matter around them.
With the changes :math:`d_i` of n of them

.. math:: s = \sqrt{\frac{1}{n} \sum_{i=1}^n d_i^2}

is the noise of the change. It is taken about 0: a shift of all white matter, as by another reference, is no change of a
lesion. It holds the noise of both scans, the error of their registration inside white matter, and errors of the
reconstruction that vary from place to place; it does not hold how a reader draws a lesion's contour.

From repeat scans, if there are any: :math:`d_i` are the changes of the lesions themselves between the first scan and
its repeats; for each lesion those of the n lesions nearest in size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import dilate_mm, erode_mm

from .common_ground import LEFT_OUT, Labels, Mask, Site
from .table import LesionTable

#: Name of a map and key of a measure.
Key = tuple[str, str]

REPEATS, SPHERES, NONE = "repeat scans", "white matter spheres", "none"

#: Sizes of the spheres are half an octave apart.
_STEPS_PER_OCTAVE = 2
_CANDIDATES = 20_000


@dataclass(frozen=True, kw_only=True)
class NoiseOptions:
    """How the noise of a change is measured.

    Parameters
    ----------
    most_spheres : int
        Of each size.
    least_samples : int
        Fewer changes give no noise. Its relative error is about 1/√(2n).
    smallest_sphere_voxels : int
        Where white matter has no room for spheres of a lesion's size, they are halved, which makes noise larger,
        as far as this.
    nearest_repeats : int
        So many changes in repeat scans, of the lesions nearest in size, give the noise.
    seed : int
        Of the spheres' places.
    """

    most_spheres: int = 40
    least_samples: int = 10
    smallest_sphere_voxels: int = 7
    nearest_repeats: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not 3 <= self.least_samples <= min(self.most_spheres, self.nearest_repeats) or self.most_spheres > 1000:
            raise InputError("options of the noise", self, "3 ≤ least_samples ≤ most_spheres and nearest_repeats, and "
                             "most_spheres up to 1000")  # fmt: skip
        if self.smallest_sphere_voxels < 1 or self.seed < 0:
            raise InputError("options of the noise", self, "smallest_sphere_voxels ≥ 1 and seed ≥ 0")


class Spread(NamedTuple):
    """Noise of a change in ppb, and how many changes it is from."""

    ppb: float
    samples: int


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of every measure of one lesion.

    Parameters
    ----------
    source : str
        :data:`REPEATS`, :data:`SPHERES` or :data:`NONE`.
    voxels : int
        Size of the spheres.
    spreads : mapping
        By map and measure; those without enough samples are missing.
    """

    source: str
    voxels: int = 0
    spreads: Mapping[Key, Spread] = field(default_factory=dict)


def changes_between(first: LesionTable, second: LesionTable, keys: Sequence[Key]) -> dict[int, dict[Key, float]]:
    """Later minus earlier for each lesion, of what could be measured both times, ppb."""
    found: dict[int, dict[Key, float]] = {}
    later = {row.label: row for row in second.rows}
    for before in first.rows:
        if (after := later.get(before.label)) is None:
            continue  # smaller than a voxel of the other scan
        pairs = {key: tuple(row.measures[key[0]].values[key[1]] for row in (before, after)) for key in keys}
        found[before.label] = {key: b - a for key, (a, b) in pairs.items() if a is not None and b is not None}
    return found


class SphereNoise:
    """Noise from spheres of white matter, size by size as it is asked for.

    Parameters
    ----------
    first, second : Site
        Where to measure.
    keys : sequence of (str, str)
        Maps and measures.
    options : NoiseOptions
        How many spheres.
    """

    def __init__(self, first: Site, second: Site, keys: Sequence[Key], options: NoiseOptions) -> None:
        self._first, self._second, self._keys, self._options = first, second, keys, options
        self._known: dict[int, Noise] = {}
        maps = first.scan.maps
        self._free = maps.array("field_mask") & ~dilate_mm(
            first.lesions, first.options.shell_gap_mm, maps.grid.voxel_size_mm
        )
        for mask in (first.white, *(~maps.array(name) for name in LEFT_OUT if name in maps)):
            self._free = self._free if mask is None else self._free & mask

    def of(self, voxels: int) -> Noise:
        """Noise of a lesion of so many voxels, or of the largest smaller spheres that fit."""
        size = round(2 ** (round(np.log2(max(voxels, 1)) * _STEPS_PER_OCTAVE) / _STEPS_PER_OCTAVE))
        if size not in self._known:
            found = self._measured(size)
            ends = bool(found.spreads) or size // 2 < self._options.smallest_sphere_voxels
            self._known[size] = found if ends else self.of(size // 2)
        return self._known[size]

    def _measured(self, size: int) -> Noise:
        grid, distances = self._first.scan.grid, self._first.options
        steps, radius_mm = ball(size, grid)
        apart_mm = 2 * radius_mm + distances.shell_gap_mm + distances.shell_reach_mm
        places = _places(self._free, radius_mm, apart_mm, grid, self._options)
        if len(places) < self._options.least_samples:
            return Noise(NONE)
        labels = np.zeros(grid.shape, dtype=np.int64)
        for number, place in enumerate(places, 1):
            labels[tuple((place + steps).T)] = number
        moved = self._first.scan.onto(self._second.scan, labels)
        tables = self._first.measured(labels), self._second.measured(moved)
        changed = changes_between(*tables, self._keys).values()
        return Noise(SPHERES, size, dict(_spreads(changed, self._keys, self._options.least_samples)))


def ball(voxels: int, grid: Grid) -> tuple[NDArray[np.int64], float]:
    """Steps to the so many voxels nearest to one, itself included, and the distance of the farthest, mm."""
    size = np.array(grid.voxel_size_mm)
    reach = np.ceil((3 * voxels * grid.voxel_volume_mm3 / (4 * np.pi)) ** (1 / 3) * 1.5 / size + 1).astype(int)
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    length = np.linalg.norm(steps * size, axis=1)
    nearest = np.argsort(length, kind="stable")[:voxels]
    return np.asarray(steps[nearest]), float(length[nearest].max())


def _places(free: Mask, radius_mm: float, apart_mm: float, grid: Grid, options: NoiseOptions) -> NDArray[np.int64]:
    """Centres of spheres inside the free voxels, at least so far apart, in an order drawn by the seed."""
    candidates = np.argwhere(erode_mm(free, radius_mm, grid.voxel_size_mm))
    left = np.random.default_rng(options.seed).permutation(candidates)[:_CANDIDATES]
    chosen: list[NDArray[np.int64]] = []
    while len(left) and len(chosen) < options.most_spheres:
        chosen.append(left[0])
        left = left[np.linalg.norm((left - left[0]) * grid.voxel_size_mm, axis=1) >= apart_mm]
    return np.array(chosen).reshape(-1, 3)


def _spreads(changed: Iterable[Mapping[Key, float]], keys: Sequence[Key], least: int) -> Iterator[tuple[Key, Spread]]:
    every = list(changed)
    for key in keys:
        values = np.array([one[key] for one in every if key in one])
        if values.size >= least:
            yield key, Spread(float(np.sqrt(np.mean(values**2))), int(values.size))


class RepeatNoise:
    """Noise from scans that were repeated without a change in between.

    Parameters
    ----------
    first : Site
        The first scan.
    repeats : sequence of Site
        Its repeats.
    labels : ndarray of int, shape (I, J, K)
        Lesions at the first time, on its grid.
    keys : sequence of (str, str)
        Maps and measures.
    options : NoiseOptions
        How many changes.
    """

    def __init__(
        self, first: Site, repeats: Sequence[Site], labels: Labels, keys: Sequence[Key], options: NoiseOptions
    ) -> None:
        self._keys, self._options = keys, options
        table = first.measured(labels)
        sizes = {row.label: row.geometry["voxels"] or 1.0 for row in table.rows}
        tables = [one.measured(first.scan.onto(one.scan, labels)) for one in repeats]
        found = [changes_between(table, one, keys) for one in tables]
        self._changed = [(sizes[label], values) for one in found for label, values in one.items()]

    @property
    def samples(self) -> int:
        """Changes of lesions in all repeats."""
        return len(self._changed)

    def of(self, voxels: int) -> Noise:
        """Noise of a lesion of so many voxels; no spreads where there are too few changes."""
        ordered = sorted(self._changed, key=lambda one: abs(np.log(one[0] / max(voxels, 1))))
        nearest = [values for _, values in ordered[: self._options.nearest_repeats]]
        spreads = dict(_spreads(nearest, self._keys, self._options.least_samples))
        return Noise(REPEATS if spreads else NONE, 0, spreads)
