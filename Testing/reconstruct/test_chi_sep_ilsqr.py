"""χ-separation by iLSQR: its steps against the joint least squares that they stand for, then analytic spheres."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.operators import Differences, DipoleOperator, Vector
from ChiSepReconstructLib.physics.relaxivity import Relaxivity
from ChiSepReconstructLib.solvers import closed_form
from ChiSepReconstructLib.solvers.chi_sep_ilsqr import ChiSepIlsqrOptions, run, smoothed
from ChiSepReconstructLib.solvers.closed_form import split
from ChiSepReconstructLib.solvers.field_problem import FieldProblem
from ChiSepReconstructLib.solvers.ilsqr import StreakOptions, least_squares
from ChiSepReconstructLib.solvers.qsm import QsmOptions
from sphere_fields import COARSE_MM, coordinates_mm, ellipsoid, sources

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)
_SPLIT = Relaxivity(para_hz_per_ppm=142.0, dia_hz_per_ppm=95.0, preset="given", field_strength_t=3.0)
#: As in ``sphere_fields.sources``: centre and radius in mm, ppm.
_BALLS = (((-12.0, 5.0, 4.0), 5.0, 0.1), ((12.0, 5.0, 4.0), 4.0, 0.12), ((2.0, -22.0, 8.0), 3.0, -0.1),
          ((-8.0, 20.0, -9.0), 3.5, 0.08), ((15.0, -14.0, -10.0), 4.5, -0.06))  # fmt: skip


def test_consistent_data_are_split_exactly() -> None:
    para, dia = torch.from_numpy(np.random.default_rng(3).uniform(0.0, 0.2, (2, 5, 6, 7)))
    r2prime = 142.0 * para + 95.0 * dia
    for found, expected in zip(split(para - dia, r2prime, _SPLIT), (para, dia), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_the_split_of_the_least_squares_solves_the_joint_problem_of_the_paper() -> None:
    shape = (5, 4, 3)
    count, rng = 60, np.random.default_rng(8)
    dipole = DipoleOperator(shape, _VOXEL_MM, _OBLIQUE, padding=0.0)
    convolution = np.stack([dipole(one.reshape(shape)).numpy().ravel() for one in torch.eye(count)]).astype(float)
    weights, field, r2prime = rng.uniform(0.1, 1.0, shape), rng.standard_normal(shape), rng.uniform(0, 9, shape)
    weighted = convolution * weights.ravel()
    joint = np.block([[2 * np.pi * weighted @ convolution, -2 * np.pi * weighted @ convolution],
                      [_SPLIT.para_hz_per_ppm * weighted, _SPLIT.dia_hz_per_ppm * weighted]])  # fmt: skip
    rhs = np.concatenate([2 * np.pi * weighted @ field.ravel(), weighted @ r2prime.ravel()])
    ones = torch.ones(shape)
    given = FieldProblem(field=torch.from_numpy(field).float(), mask=ones, weights=ones, dipole=dipole,
                         differences=Differences(_VOXEL_MM), weighted_by="mask")  # fmt: skip
    chi = least_squares(given, torch.from_numpy(weights).float(), 1e-6, 500).x.double()
    separated = np.concatenate([one.numpy().ravel() for one in split(chi, torch.from_numpy(r2prime), _SPLIT)])
    assert np.linalg.norm(joint @ separated - rhs) < 2e-5 * np.linalg.norm(rhs)


@pytest.mark.parametrize(("axis", "periods", "passed"), [(0, 4, 1.0), (1, 6, 0.5), (2, 7, 0.14645), (0, 8, 0.0)])
def test_smoothing_passes_the_inner_half_of_k_space(axis: int, periods: int, passed: float) -> None:
    dipole = DipoleOperator((16, 16, 16), _VOXEL_MM, _OBLIQUE, padding=0.0)
    position = np.arange(16).reshape([-1 if one == axis else 1 for one in range(3)])
    wave = torch.from_numpy(np.cos(2 * np.pi * periods * position / 16) * np.ones((16, 16, 16))).float()
    torch.testing.assert_close(smoothed(wave, dipole), passed * wave, atol=1e-5, rtol=0)


@cache
def spheres(voxel_mm: Vector) -> tuple[MapSet, NDArray[Any], NDArray[Any]]:
    """Balls in an ellipsoid with their analytic field, R2′ by split constants, noise; and true χ₊ and χ₋."""
    mask, rng = ellipsoid(voxel_mm), np.random.default_rng(2)
    chi = np.zeros(mask.shape)
    for centre, radius, value in _BALLS:
        offsets = [x - c for x, c in zip(coordinates_mm(voxel_mm), centre, strict=True)]
        distance = np.sqrt(offsets[0] ** 2 + offsets[1] ** 2 + offsets[2] ** 2)
        chi = chi + value * np.clip((radius - distance) / np.mean(voxel_mm) + 0.5, 0.0, 1.0)
    # Sources of both kinds in every voxel, beside those that make a field.
    para, dia = np.maximum(chi, 0.0) + 0.02 * mask, np.maximum(-chi, 0.0) + 0.02 * mask
    field = sources(voxel_mm, _OBLIQUE) + 0.0003 * rng.standard_normal(mask.shape)
    r2prime = 142.0 * para + 95.0 * dia + 0.1 * rng.standard_normal(mask.shape)
    grid = Grid(mask.shape, np.diag([*voxel_mm, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=_OBLIQUE)
    arrays = {"local_field": field * mask, "r2prime": np.maximum(r2prime, 0.0) * mask, "brain_mask": mask}
    maps = {name: Map(name=name, data=data, grid=grid) for name, data in arrays.items()}
    return MapSet(grid, scan, maps), para, dia


def error(estimate: NDArray[Any], truth: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    return float(np.linalg.norm((estimate - truth)[mask]) / np.linalg.norm(truth[mask]))


_GIVEN: dict[str, Any] = {"para_hz_per_ppm": 142.0, "dia_hz_per_ppm": 95.0}


@pytest.mark.parametrize("voxel_mm", [COARSE_MM[0], (1.5, 2.0, 3.0)])
def test_spheres_are_separated_better_than_in_closed_form_on_tkd(voxel_mm: Vector) -> None:
    maps, para, dia = spheres(voxel_mm)
    mask = maps.array("brain_mask")
    found = run(maps, mask, ChiSepIlsqrOptions(**_GIVEN), Reporter())
    plain = closed_form.ClosedFormOptions(**_GIVEN, qsm=QsmOptions(method="tkd"))
    closed = closed_form.run(maps, mask, plain, Reporter())
    for name, truth in (("chi_para", para), ("chi_dia", dia)):
        assert error(found.maps[name], truth, mask) < 0.9 * error(closed.maps[name], truth, mask)
    assert error(found.maps["chi_para"], para, mask) < 0.065
    assert error(found.maps["chi_dia"], dia, mask) < 0.093
    assert found.record["relaxivity"]["para_hz_per_ppm"] == 142.0


def test_a_run_is_zero_outside_the_mask_and_the_same_again() -> None:
    maps, _, _ = spheres((3.0, 2.0, 4.0))
    mask = maps.array("brain_mask")
    options = ChiSepIlsqrOptions(streaks=StreakOptions(iterations=3))
    solution = run(maps, mask, options, Reporter())
    again = run(maps, mask, options, Reporter())
    for name, chi in solution.maps.items():
        assert chi.dtype == np.float32
        assert not chi[~mask].any()
        np.testing.assert_array_equal(chi, again.maps[name])
    para, dia = solution.maps["chi_para"], solution.maps["chi_dia"]
    assert para.min() == dia.min() == 0.0
    np.testing.assert_array_equal(solution.maps["chi_total"], para - dia)
    assert solution.record["streaks_dia"]["iterations"] == 3
    assert any("Streaks of χ_para stopped by iteration limit" in text for text in solution.warnings)


@pytest.mark.parametrize("step", ["least squares", "fast QSM", "streaks"])
def test_cancel_works_in_every_step(step: str) -> None:
    maps, _, _ = spheres((3.0, 2.0, 4.0))
    with pytest.raises(CancelledError, match=step):
        run(maps, maps.array("brain_mask"), ChiSepIlsqrOptions(), Reporter(lambda status: status.step != step))


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match="percentiles of the Laplacian"):
        ChiSepIlsqrOptions(laplacian_percentiles=(99.0, 60.0))
    for tolerance in (0.0, 1.0, float("nan")):
        with pytest.raises(InputError, match="tolerance of iLSQR"):
            ChiSepIlsqrOptions(tolerance=tolerance)
    with pytest.raises(InputError, match="iterations of iLSQR"):
        ChiSepIlsqrOptions(iterations=0)
