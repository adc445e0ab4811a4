"""Total variation: its minimum against an independent minimiser, exact data, spheres, options and cancelling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from ChiSepPreprocessLib.artifacts import Array, Map, MapSet
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.outcome import Status
from ChiSepReconstructLib.solvers.field_problem import FieldProblem
from ChiSepReconstructLib.solvers.tv import Norm, TvOptions, run, total_variation
from inversion_cases import VOXEL_MM, data_misfit, small_problem, sphere_contrasts, sphere_maps


def objective(problem: FieldProblem, options: TvOptions, free: Array) -> Callable[[Array], tuple[float, Array]]:
    """Value and gradient of the stated objective on a periodic grid, in double precision; |∇χ| smooth at 1e-5."""
    kernel, mask = problem.dipole.kernel.double().numpy(), problem.mask.numpy() > 0
    weights = problem.weights.double().numpy() if options.weighted else np.ones(mask.shape)
    field, strength = problem.field.double().numpy(), options.regularisation_ppm_mm
    inside = np.stack([mask & np.roll(mask, -1, axis) for axis in range(3)])
    inside[0, -1] = inside[1, :, -1] = inside[2, :, :, -1] = False

    def convolve(chi: Array) -> Array:
        return np.fft.irfftn(np.fft.rfftn(chi) * kernel, s=chi.shape, axes=(0, 1, 2))

    def evaluate(flat: Array) -> tuple[float, Array]:
        chi = flat.reshape(mask.shape)
        misfit = weights * (convolve(chi) - field)
        gradient = np.stack([(np.roll(chi, -1, axis) - chi) / VOXEL_MM[axis] for axis in range(3)])
        varied, smooth = gradient * (inside & ~free), gradient * ~inside
        square = (varied**2).sum(0, keepdims=True) if options.norm == "isotropic" else varied**2
        length = np.sqrt(square + 1e-10)
        stiffness = strength / options.shrinkage_ppm_per_mm
        value = 0.5 * (misfit**2).sum() + strength * length.sum() + 0.5 * stiffness * (smooth**2).sum()
        slope = strength * varied / length + stiffness * smooth
        backward = sum((np.roll(slope[axis], 1, axis) - slope[axis]) / VOXEL_MM[axis] for axis in range(3))
        return float(value), (convolve(weights * misfit) + backward).ravel()

    return evaluate


@pytest.mark.parametrize(("norm", "weighted"), [("isotropic", True), ("componentwise", True), ("isotropic", False)])
def test_the_minimum_is_that_of_an_independent_minimiser(norm: Norm, weighted: bool) -> None:
    problem, _ = small_problem((9, 8, 7), padding=0.0, noise=2e-3)
    edges = torch.from_numpy(np.random.default_rng(4).random((3, 9, 8, 7)) < 0.1)
    options = TvOptions(regularisation_ppm_mm=1e-3, norm=norm, weighted=weighted, tolerance=2e-6, iterations=3000)
    outcome = total_variation(problem, edges, options)
    assert outcome.status is Status.CONVERGED
    evaluate = objective(problem, options, edges.numpy())
    chi = outcome.x.double().numpy()
    best = minimize(evaluate, np.zeros(chi.size), jac=True, method="L-BFGS-B",
                    options={"maxiter": 5000, "maxfun": 9000, "ftol": 1e-14, "gtol": 1e-10})  # fmt: skip
    assert evaluate(chi.ravel())[0] <= best.fun * (1 + 1e-4)
    assert np.linalg.norm(chi.ravel() - best.x) < 0.02 * np.linalg.norm(best.x)


def test_exact_data_are_fitted() -> None:
    problem, _ = small_problem(padding=0.0)
    options = TvOptions(regularisation_ppm_mm=1e-7, field_penalty=0.01, iterations=800, tolerance=1e-6)
    outcome = total_variation(problem, None, options)
    assert data_misfit(problem, problem.dipole(outcome.x).numpy()) < 1e-3


def solved(maps: MapSet, **options: Any) -> Array:
    return run(maps, maps.array("brain_mask"), TvOptions(**options), Reporter()).maps["chi_total"]


def test_spheres() -> None:
    maps, truth = sphere_maps()
    mask, chi = maps.array("brain_mask"), solved(maps)
    np.testing.assert_allclose(sphere_contrasts(chi, truth, mask), 0.92, atol=0.03)
    assert not chi[~mask].any()
    assert chi.dtype == np.float32
    np.testing.assert_array_equal(chi, solved(maps))


def test_the_weighted_field_leaves_sources_outside_the_mask_to_the_outside() -> None:
    (maps, _), (disturbed, _) = (sphere_maps((3.0, 2.0, 4.0), source_outside=outside) for outside in (False, True))
    mask = maps.array("brain_mask")
    change = {weighted: float((solved(disturbed, weighted=weighted) - solved(maps, weighted=weighted))[mask].std())
              for weighted in (True, False)}  # fmt: skip
    assert change[True] < 0.45 * change[False]


def test_edges_of_the_magnitude_may_be_steep() -> None:
    maps, truth = sphere_maps((3.0, 2.0, 4.0))
    mask = maps.array("brain_mask")
    with pytest.raises(InputError, match="magnitude"):
        solved(maps, edge_share=0.05)
    with_magnitude = maps.including(
        Map(name="magnitude", data=(100 + 1000 * truth).astype(np.float32) * mask, grid=maps.grid)
    )
    strong = {"regularisation_ppm_mm": 5e-4, "iterations": 20}
    free, bound = (solved(with_magnitude, edge_share=share, **strong) for share in (0.05, 0.0))
    loss_free, loss_bound = (1 - sphere_contrasts(chi, truth, mask).mean() for chi in (free, bound))
    assert loss_free < 0.75 * loss_bound


@pytest.mark.parametrize("bad", [
    {"regularisation_ppm_mm": 0.0}, {"regularisation_ppm_mm": float("nan")}, {"shrinkage_ppm_per_mm": -1.0},
    {"field_penalty": 1e9}, {"norm": "l1"}, {"edge_share": 1.0}, {"iterations": 0},
])  # fmt: skip
def test_bad_options_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        TvOptions(**bad)


def test_cancel_works() -> None:
    problem, _ = small_problem()
    with pytest.raises(CancelledError):
        total_variation(problem, None, TvOptions(), Reporter(lambda status: False))
