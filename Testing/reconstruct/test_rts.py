"""Rapid two-step: the first step's spectrum, the second's constraint, spheres, options and cancelling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.outcome import Status
from ChiSepReconstructLib.solvers.rts import RtsOptions, complete, run, well_conditioned
from inversion_cases import data_misfit, small_problem, sphere_contrasts, sphere_maps

_SHAPES = [(9, 8, 7), (8, 7, 6)]


@pytest.mark.parametrize("shape", _SHAPES)
def test_the_first_step_is_the_smallest_solution_of_weighted_least_squares(shape: tuple[int, int, int]) -> None:
    problem, _ = small_problem(shape, padding=0.0, noise=1e-3)
    options = RtsOptions(inversion_iterations=400, inversion_tolerance=1e-7)
    spectrum = well_conditioned(problem, options).x
    columns = torch.eye(int(np.prod(shape))).reshape(-1, *shape)
    matrix = np.stack([(problem.weights * problem.dipole(column)).numpy().ravel() for column in columns], axis=1)
    wanted = (problem.weights * problem.field).numpy().ravel()
    expected = np.linalg.pinv(matrix.astype(np.float64), rcond=1e-5) @ wanted
    found = torch.fft.irfftn(spectrum, s=shape).numpy().ravel()
    image, expected_image = matrix @ found, matrix @ expected
    assert np.linalg.norm(image - expected_image) < 1e-3 * np.linalg.norm(expected_image)
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)


def test_exact_data_are_fitted_by_the_first_step() -> None:
    problem, _ = small_problem()
    options = RtsOptions(inversion_iterations=200, inversion_tolerance=1e-6)
    spectrum = well_conditioned(problem, options).x * problem.dipole.kernel
    assert data_misfit(problem, problem.dipole.fourier.volume(spectrum).numpy()) < 1e-3


def test_the_second_step_keeps_what_is_known_and_smooths_the_rest() -> None:
    problem, chi = small_problem(padding=0.0)
    options = RtsOptions(threshold=0.1, regularisation_ppm_mm=1e-6, iterations=500, tolerance=1e-6)
    known = torch.fft.rfftn(torch.from_numpy(chi).float())
    outcome = complete(problem, known, options)
    assert outcome.status is Status.CONVERGED
    trusted = problem.dipole.kernel.abs() > options.threshold
    found = torch.fft.rfftn(outcome.x)
    assert float((found - known)[trusted].norm()) < 1e-3 * float(known[trusted].norm())
    empty = torch.fft.irfftn(known * trusted, s=problem.mask.shape)
    inside, differences = problem.inside(), problem.differences
    variation = [float((differences(one) * inside).norm(dim=0).sum()) for one in (outcome.x, empty)]
    assert variation[0] < 0.93 * variation[1]


def test_spheres() -> None:
    maps, truth = sphere_maps()
    mask = maps.array("brain_mask")
    chi, again = (run(maps, mask, RtsOptions(), Reporter()).maps["chi_total"] for _ in range(2))
    np.testing.assert_allclose(sphere_contrasts(chi, truth, mask), 0.88, atol=0.03)
    assert not chi[~mask].any()
    assert chi.dtype == np.float32
    np.testing.assert_array_equal(chi, again)


@pytest.mark.parametrize("bad", [
    {"threshold": 0.0}, {"threshold": 0.7}, {"regularisation_ppm_mm": 0.0}, {"regularisation_ppm_mm": float("nan")},
    {"shrinkage_ppm_per_mm": -1.0}, {"iterations": 0}, {"inversion_iterations": 0},
])  # fmt: skip
def test_bad_options_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="RTS"):
        RtsOptions(**bad)


def test_cancel_works_in_both_steps() -> None:
    problem, _ = small_problem()
    stop = Reporter(lambda status: False)
    with pytest.raises(CancelledError):
        well_conditioned(problem, RtsOptions(), stop)
    with pytest.raises(CancelledError):
        complete(problem, problem.dipole.kernel + 0j, RtsOptions(), stop)
