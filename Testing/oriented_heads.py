"""One head in several orientations, for tests of COSMOS: maps on an odd, anisotropic, oblique grid."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation

from ChiSepPhantoms.field import dipole_field_ppm
from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet, ScanParameters
from ChiSepReconstructLib.physics.forward import field_from_chi
from ChiSepReconstructLib.solvers.orientations import OrientedMaps

Vector = tuple[float, float, float]

SHAPE = (23, 19, 21)
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", (20, -12, 7), degrees=True).as_matrix() @ np.diag((2.0, 2.4, 2.8))
GRID = Grid(SHAPE, AFFINE)
TURNS_DEG = ((0.0, 0.0, 0.0), (32.0, 0.0, 0.0), (0.0, 28.0, 0.0))
#: Cells of the finer simulation for each voxel and axis.
FINER = 3


def directions(turns_deg: tuple[Vector, ...] = TURNS_DEG) -> list[Vector]:
    """B0 in the head's voxel axes after turns about the scanner's axes."""
    turned = [Rotation.from_euler("xyz", one, degrees=True).inv().as_matrix()[:, 2] for one in turns_deg]
    return [tuple((GRID.directions.T @ one).tolist()) for one in turned]


def brain() -> Array:
    return _ellipsoid(SHAPE, (0.0, 0.0, 0.0), (20.5, 20.0, 26.0), 1)


def fluid() -> Array:
    return _ellipsoid(SHAPE, (0.0, 0.0, 0.0), (5.0, 5.0, 8.0), 1)


def random_sources(seed: int = 0) -> tuple[Array, Array]:
    """Para- and diamagnetic sources in ppm, in a quarter of the voxels only one of them, none in the fluid."""
    rng = np.random.default_rng(seed)
    kind, inside = rng.integers(0, 4, SHAPE), brain() & ~fluid()
    para, dia = np.abs(rng.normal(0, 0.06, SHAPE)), np.abs(rng.normal(0, 0.05, SHAPE))
    return para * inside * (kind != 0), dia * inside * (kind != 1)


def own_fields(chi: Array, padding: float, turns_deg: tuple[Vector, ...] = TURNS_DEG) -> list[Array]:
    """Fields by the solvers' own discrete model."""
    return [field_from_chi(chi, GRID.voxel_size_mm, one, padding) for one in directions(turns_deg)]


@cache
def finer_head() -> tuple[Array, Array, tuple[Array, ...]]:
    """Sources and fields averaged from cells of a third of a voxel, by the phantom's own field code."""
    tissue = 0.02 * _fine((0, 0, 0), (20, 19, 25))
    para = tissue + 0.12 * _fine((-9, 6, 5), (6, 5, 7)) + 0.08 * _fine((9, 7, -6), (5, 7, 6))
    dia = tissue + 0.07 * _fine((5, -10, 7), (8, 5, 8)) + 0.05 * _fine((-7, -8, -9), (6, 6, 7))
    hole = 1 - _fine((0, 0, 0), (5, 5, 8))
    para, dia = para * hole, dia * hole
    i, j, k = (size / FINER for size in GRID.voxel_size_mm)
    fields = tuple(_averaged(dipole_field_ppm(para - dia, (i, j, k), one)) for one in directions())
    return _averaged(para), _averaged(dia), fields


def oriented(fields: list[Array], b0: list[Vector], **maps: Array | list[Array]) -> OrientedMaps:
    """Maps of several orientations; a list holds one for each, an array is the same for all."""
    sets = []
    for number, (field, one) in enumerate(zip(fields, b0, strict=True)):
        own = {name: value[number] if isinstance(value, list) else value for name, value in maps.items()}
        scan = ScanParameters(echo_times_s=(0.01,), field_strength_t=3.0, b0_direction_ijk=one)
        data = {"brain_mask": brain(), **own, "local_field": field}
        sets.append(MapSet(GRID, scan, {name: Map(name=name, data=value, grid=GRID) for name, value in data.items()}))
    return OrientedMaps(GRID, sets[0].scan, sets[0].maps, tuple(sets[1:]))


def relative_error(estimate: Array, truth: Array, mask: Array, *, offset_free: bool = False) -> float:
    """‖estimate − truth‖ / ‖truth‖ inside a mask, after taking off both means if the offset is free."""
    one, other = estimate[mask].astype(np.float64), truth[mask].astype(np.float64)
    if offset_free:
        one, other = one - one.mean(), other - other.mean()
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def _fine(centre_mm: Vector, semi_axes_mm: Vector) -> Array:
    return _ellipsoid(tuple(FINER * n for n in SHAPE), centre_mm, semi_axes_mm, FINER).astype(np.float32)


def _ellipsoid(shape: tuple[int, ...], centre_mm: Vector, semi_axes_mm: Vector, finer: int) -> Array:
    sizes = [size / finer for size in GRID.voxel_size_mm]
    axes = [((np.arange(n) - (n - 1) / 2) * size - c) / a
            for n, size, c, a in zip(shape, sizes, centre_mm, semi_axes_mm, strict=True)]  # fmt: skip
    i, j, k = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray(i**2 + j**2 + k**2 < 1)


def _averaged(fine: Array) -> Array:
    i, j, k = SHAPE
    return fine.reshape(i, FINER, j, FINER, k, FINER).mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32)
