"""Problems with known answers for the tests of dipole inversions."""

from __future__ import annotations

import numpy as np

import sphere_fields
from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet, ScanParameters
from ChiSepReconstructLib.physics.fourier import Shape
from ChiSepReconstructLib.physics.operators import Differences, DipoleOperator, Vector, as_tensor
from ChiSepReconstructLib.solvers.field_problem import FieldProblem

OBLIQUE: Vector = (0.36, -0.48, 0.8)
VOXEL_MM: Vector = (1.0, 1.2, 1.7)
_SPHERES = [((-12.0, 5.0, 4.0), 7.0, 0.1), ((12.0, 5.0, 4.0), 6.0, 0.12), ((2.0, -22.0, 8.0), 6.0, -0.1)]
_OUTSIDE = ((0.0, 58.0, -25.0), 10.0, 0.5)


def small_problem(
    shape: Shape = (15, 13, 11), *, padding: float = 0.5, noise: float = 0.0, seed: int = 1
) -> tuple[FieldProblem, Array]:
    """Blocks of χ with the field of the solver's own operator, in an ellipsoidal mask; and that χ."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij", sparse=True)
    mask = np.asarray(sum(axis**2 for axis in axes) < 1)
    side = -(-max(shape) // 4)
    chi = np.where(rng.random((4, 4, 4)) < 0.5, 0.05, -0.05).repeat(side, 0).repeat(side, 1).repeat(side, 2)
    chi = chi[: shape[0], : shape[1], : shape[2]] * mask
    dipole = DipoleOperator(shape, VOXEL_MM, OBLIQUE, padding=padding)
    field = dipole(as_tensor(chi, "cpu")).numpy() + noise * rng.standard_normal(shape)
    weights = rng.uniform(0.5, 1.5, shape) * mask
    weights /= weights[mask].mean()
    problem = FieldProblem(field=as_tensor(field * mask, "cpu"), mask=as_tensor(mask, "cpu"),
                           weights=as_tensor(weights, "cpu"), dipole=dipole, differences=Differences(VOXEL_MM),
                           weighted_by="test")  # fmt: skip
    return problem, chi


def data_misfit(problem: FieldProblem, field: Array) -> float:
    """Relative to the field, inside the mask, weighted."""
    weights, wanted = problem.weights.numpy(), problem.field.numpy()
    return float(np.linalg.norm(weights * (field - wanted)) / np.linalg.norm(weights * wanted))


def sphere_maps(voxel_mm: Vector = (2.0, 2.0, 2.0), *, source_outside: bool = False) -> tuple[MapSet, Array]:
    """Analytic field of spheres in an ellipsoidal brain, with 0.5 ppb of noise, oblique B0; and their χ.

    With ``source_outside``, the field of a sphere outside the brain is added: what background removal left.
    """
    spheres = [*_SPHERES, _OUTSIDE] if source_outside else _SPHERES
    field = sum(sphere_fields.sphere_field(voxel_mm, *sphere, OBLIQUE) for sphere in spheres)
    mask = sphere_fields.ellipsoid(voxel_mm)
    chi = np.zeros(mask.shape)
    for centre, radius, value in _SPHERES:
        offsets = [x - c for x, c in zip(sphere_fields.coordinates_mm(voxel_mm), centre, strict=True)]
        chi[np.asarray(sum(x**2 for x in offsets)) < radius**2] = value
    field = field + np.random.default_rng(2).normal(0.0, 5e-4, mask.shape)
    grid = Grid(mask.shape, np.diag([*voxel_mm, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005, 0.02), field_strength_t=3.0, b0_direction_ijk=OBLIQUE)
    maps = [Map(name="local_field", data=(field * mask).astype(np.float32), grid=grid),
            Map(name="brain_mask", data=mask, grid=grid)]  # fmt: skip
    return MapSet(grid, scan, {one.name: one for one in maps}), chi


def sphere_contrasts(chi: Array, truth: Array, mask: Array) -> Array:
    """Mean χ of each sphere, relative to its truth and to the rest of the mask."""
    rest = chi[mask & (truth == 0)].mean()
    return np.array([(chi[truth == value].mean() - rest) / value for _, _, value in _SPHERES])
