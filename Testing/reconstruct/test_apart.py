"""A kernel for each voxel: kept where it explains the data, lowered where the field asks for more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.operators import Differences, DipoleOperator
from ChiSepReconstructLib.solvers.apart import ApartOptions, apart, run
from ChiSepReconstructLib.solvers.field_problem import FieldProblem

_B0, _VOXEL_MM, _SHAPE = (0.36, -0.48, 0.8), (1.0, 1.2, 1.7), (13, 11, 9)


def _problem() -> tuple[FieldProblem, torch.Tensor, torch.Tensor]:
    """Field of random sources, without noise."""
    rng, mask = np.random.default_rng(2), torch.zeros(_SHAPE)
    mask[1:-1, 1:-1, 1:-1] = 1.0
    para, dia = (torch.from_numpy(rng.uniform(0, 0.1, _SHAPE).astype(np.float32)) * mask for _ in range(2))
    dipole = DipoleOperator(_SHAPE, _VOXEL_MM, _B0, padding=0.25)
    problem = FieldProblem(field=dipole(para - dia) * mask, mask=mask, weights=mask, dipole=dipole,
                           differences=Differences(_VOXEL_MM), weighted_by="mask")  # fmt: skip
    return problem, para, dia


def test_kernel_that_explains_the_data_is_kept() -> None:
    problem, para, dia = _problem()
    options = ApartOptions(regularisation_ppm_mm=1e-9)
    outcome, sources = apart(problem, 140.0 * (para + dia), 140.0, options)
    residual = (problem.dipole(sources[0] - sources[1]) - problem.field) * problem.mask
    assert float(residual.norm() / problem.field.norm()) < 0.03
    assert float((sources.sum(dim=0) - para - dia).norm() / (para + dia).norm()) < 0.02
    np.testing.assert_allclose(outcome.x[problem.mask > 0].median(), 140.0, rtol=0.01)
    assert outcome.iterations == 1


def test_kernel_that_is_too_large_falls_where_one_source_is_alone() -> None:
    problem, para, dia = _problem()
    lone = para * (para > dia) + 0.0
    field = problem.dipole(lone) * problem.mask
    alone = FieldProblem(field=field, mask=problem.mask, weights=problem.weights, dipole=problem.dipole,
                         differences=problem.differences, weighted_by="mask")  # fmt: skip
    options = ApartOptions(regularisation_ppm_mm=1e-9, rounds=30, tolerance=3e-3)
    outcome, sources = apart(alone, 140.0 * lone, 320.0, options)
    strong = lone > 0.05
    np.testing.assert_allclose(outcome.x[strong].median(), 140.0, rtol=0.02)
    np.testing.assert_allclose(sources[0][strong].mean(), lone[strong].mean(), rtol=0.02)
    assert not outcome.warnings("APART-QSM")


def _maps() -> tuple[MapSet, NDArray[np.bool_]]:
    problem, para, dia = _problem()
    rate = (140.0 * (para + dia)).numpy()
    grid = Grid(_SHAPE, np.diag([*_VOXEL_MM, 1.0]))
    mask = problem.mask.numpy().astype(bool)
    data = {"local_field": problem.field.numpy(), "r2prime": rate, "brain_mask": mask}
    scan = ScanParameters(echo_times_s=(0.01, 0.02), field_strength_t=3.0, b0_direction_ijk=_B0)
    return MapSet(grid, scan, {name: Map(name=name, data=one, grid=grid) for name, one in data.items()}), mask


def test_run_fills_the_mask_alone_and_repeats_itself() -> None:
    maps, mask = _maps()
    solution, again = (run(maps, mask, ApartOptions(relaxivity="theory"), Reporter()) for _ in range(2))
    for name, one in solution.maps.items():
        assert not one[~mask].any() and np.isfinite(one).all()
        np.testing.assert_array_equal(one, again.maps[name])
    assert solution.maps["chi_para"].min() >= 0 and solution.maps["chi_dia"].min() >= 0
    assert solution.record["relaxivity"]["para_hz_per_ppm"] == pytest.approx(323.49, abs=0.01)
    low, middle, high = solution.record["kernel_hz_per_ppm_quartiles"]
    assert low < middle < high and middle < 330


def test_bad_options_are_refused_and_cancel_works() -> None:
    bad: list[dict[str, Any]] = [{"decay_weight": 0.0}, {"regularisation_ppm_mm": float("nan")}, {"inertia_ppm": 0.0},
                                 {"rounds": 0}, {"tolerance": -1.0}]  # fmt: skip
    for values in bad:
        with pytest.raises(InputError, match="APART"):
            ApartOptions(**values)
    maps, mask = _maps()
    with pytest.raises(CancelledError):
        run(maps, mask, ApartOptions(), Reporter(lambda status: False))
