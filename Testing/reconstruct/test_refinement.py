"""Refinement: against a bounded general minimiser, and on spheres of known field that the anchor underestimates."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.optimize import minimize

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.optim.outcome import Status
from ChiSepReconstructLib.physics.relaxation import r2prime_from_chi
from ChiSepReconstructLib.physics.relaxivity import Relaxivity
from ChiSepReconstructLib.refinement import Refined, RefinementOptions, refine, refine_from
from ChiSepReconstructLib.solvers.chi_sep_medi import decay_equation
from ChiSepReconstructLib.solvers.field_problem import field_problem
from sphere_fields import Vector, norm_ratio

Real = NDArray[np.float64]

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)
_SPLIT = Relaxivity(para_hz_per_ppm=150.0, dia_hz_per_ppm=90.0, preset="given", field_strength_t=3.0)
_SPLIT_GIVEN: dict[str, Any] = {"para_hz_per_ppm": 150.0, "dia_hz_per_ppm": 90.0}


def maps_of(voxel_mm: Vector, b0: Vector, **data: NDArray[Any]) -> MapSet:
    grid = Grid(data["local_field"].shape, np.diag([*voxel_mm, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005, 0.01), field_strength_t=3.0, b0_direction_ijk=b0)
    maps = {name: Map(name=name, data=value.astype(np.float32), grid=grid) for name, value in data.items()}
    return MapSet(grid, scan, maps)


def periodic_field(chi: Real) -> Real:
    kernel = dipole_kernel(chi.shape, _VOXEL_MM, _OBLIQUE)
    field: Real = np.fft.irfftn(kernel * np.fft.rfftn(chi), s=chi.shape, axes=(0, 1, 2))
    return field


def test_finds_the_bounded_minimum_that_a_general_minimiser_finds() -> None:
    rng = np.random.default_rng(8)
    mask = np.ones((5, 7, 4), dtype=bool)
    mask[:2, :2, :2] = False
    field, rate = 0.05 * rng.standard_normal(mask.shape) * mask, rng.uniform(0, 15, mask.shape) * mask
    anchor = rng.uniform(0, 0.05, (2, *mask.shape)) * mask
    magnitude = rng.uniform(0.5, 1.5, mask.shape)
    problem = field_problem(maps_of(_VOXEL_MM, _OBLIQUE, local_field=field, magnitude=magnitude), mask,
                            padding=0.0, device="cpu")  # fmt: skip
    options = RefinementOptions(decay_weight=0.4, steps=200, tolerance=1e-6, inner_iterations=100, inner_tolerance=1e-3)
    decay = decay_equation(problem, rate.astype(np.float32), rate < 12, _SPLIT, 0.4)
    outcome = refine_from(problem, decay, problem.tensor(anchor), options)
    weights = problem.weights.numpy().astype(float)
    decay_weights = weights * np.where(rate < 12, 0.4, 0.04)

    def objective(values: Real) -> tuple[float, Real]:
        both = np.zeros((2, *mask.shape))
        both[:, mask] = values.reshape(2, -1)
        misfit = weights * (periodic_field(both[0] - both[1]) - field)
        miss = decay_weights * (150 * both[0] + 90 * both[1] - rate) / 120
        share = ((both - anchor) / 0.03) ** 2
        value = 0.5 * (misfit**2).sum() + 0.5 * (miss**2).sum() + 0.5 * 0.1 * 0.03**2 * np.log1p(share).sum()
        along, pull = periodic_field(weights * misfit), 0.1 * (both - anchor) / (1 + share)
        gradient = (pull[0] + along + 1.25 * decay_weights * miss, pull[1] - along + 0.75 * decay_weights * miss)
        return value, np.concatenate([one[mask] for one in gradient])

    best = minimize(objective, anchor[:, mask].ravel(), jac=True, method="L-BFGS-B",
                    bounds=[(0, None)] * (2 * int(mask.sum())),
                    options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-10})  # fmt: skip
    ours = outcome.x.numpy()[:, mask].ravel().astype(float)
    assert outcome.status is Status.CONVERGED
    assert 0.05 < (best.x == 0).mean() < 0.6
    assert objective(ours)[0] == pytest.approx(best.fun, rel=1e-5)
    assert np.linalg.norm(ours - best.x) < 0.01 * np.linalg.norm(best.x)


def exact_case() -> tuple[MapSet, NDArray[np.bool_], Real, Real]:
    """Data that the discrete model makes of random maps, of odd size, with split relaxivities."""
    rng = np.random.default_rng(9)
    mask = np.ones((13, 15, 11), dtype=bool)
    mask[:4, :4] = False
    para, dia = rng.uniform(0.02, 0.2, (2, *mask.shape)) * mask
    rate = r2prime_from_chi(para, dia, _SPLIT)
    problem = field_problem(maps_of(_VOXEL_MM, _OBLIQUE, local_field=rate), mask, padding=0.25, device="cpu")
    field = problem.dipole(problem.tensor(para - dia)).numpy() * mask
    return maps_of(_VOXEL_MM, _OBLIQUE, local_field=field, r2prime=rate), mask, para, dia


def test_the_truth_stays_where_it_is() -> None:
    maps, mask, para, dia = exact_case()
    found = refine(maps, mask, para, dia, RefinementOptions(**_SPLIT_GIVEN))
    np.testing.assert_allclose(found.chi_para, para, atol=1e-6)
    np.testing.assert_allclose(found.chi_dia, dia, atol=1e-6)
    assert found.solver.status is Status.CONVERGED
    assert max(*found.field_misfit, *found.decay_misfit) < 1e-5


def test_with_a_weak_anchor_exact_data_are_explained() -> None:
    maps, mask, para, dia = exact_case()
    options = RefinementOptions(**_SPLIT_GIVEN, anchor_weight=1e-6, decay_weight=1.0, steps=20, tolerance=1e-4,
                                inner_iterations=100, inner_tolerance=1e-2)  # fmt: skip
    found = refine(maps, mask, 0.5 * para, 0.5 * dia, options)
    assert found.field_misfit[0] == pytest.approx(0.5, abs=1e-5)
    assert found.decay_misfit[0] == pytest.approx(0.5, abs=1e-5)
    assert found.field_misfit[1] < 1e-3
    assert found.decay_misfit[1] < 1e-3


def voxel_means(shape: tuple[int, int, int], voxel_mm: Vector, b0: Vector, centre: Vector, radius_mm: float
                ) -> tuple[Real, Real]:  # fmt: skip
    """Share of each voxel inside a sphere, and the voxel's mean of its exact field for 1 ppm, from 5³ points."""
    parts = [(np.arange(5 * n) - 2.0) / 5 - middle for n, middle in zip(shape, centre, strict=True)]
    x, y, z = np.meshgrid(*(a * size for a, size in zip(parts, voxel_mm, strict=True)), indexing="ij", sparse=True)
    square = x**2 + y**2 + z**2
    along = x * b0[0] + y * b0[1] + z * b0[2]
    outside = np.maximum(square, radius_mm**2)
    field = np.where(square > radius_mm**2, radius_mm**3 / (3 * outside**1.5) * (3 * along**2 / outside - 1), 0)

    def mean(fine: Real) -> Real:
        blocks: Real = fine.reshape(shape[0], 5, shape[1], 5, shape[2], 5).mean(axis=(1, 3, 5))
        return blocks

    return mean((square <= radius_mm**2).astype(float)), mean(field)


@dataclass(frozen=True, eq=False)
class Head:
    """A ball of smooth tissue with sources out of range, and an anchor that is saturated and off by about 30 %."""

    maps: MapSet
    mask: NDArray[np.bool_]
    truth: tuple[Real, Real]
    anchor: tuple[Real, Real]
    sources: list[tuple[int, NDArray[np.bool_]]]
    around: NDArray[np.bool_]

    def recovered(self, maps: tuple[NDArray[Any], NDArray[Any]]) -> list[float]:
        """Mean in each source, % of the true one."""
        return [100 * float(maps[n][at].mean() / self.truth[n][at].mean()) for n, at in self.sources]

    def errors(self, maps: tuple[NDArray[Any], NDArray[Any]]) -> list[float]:
        """NRMSE in % of both maps away from the sources, and RMSE of their difference around these, ppb."""
        (para, dia), quiet = self.truth, self.mask & ~np.any([at for _, at in self.sources], axis=0)
        total = (maps[0] - maps[1] - (para - dia))[self.around]
        return [*(100 * norm_ratio(maps[n] - self.truth[n], self.truth[n], quiet & (self.truth[n] < 0.1))
                  for n in (0, 1)), 1000 * float(np.sqrt((total**2).mean()))]  # fmt: skip


def head(voxel_mm: Vector, b0: Vector) -> Head:
    """Two bleeds (2 and 1 ppm) and a calcification (−3 ppm); echoes show no rate beyond 130 1/s, and little signal."""
    rng, shape = np.random.default_rng(5), tuple(int(45 / size) for size in voxel_mm)
    i, j, k = shape
    offsets = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, voxel_mm, strict=True)),
                          indexing="ij")  # fmt: skip
    mask = np.sqrt(sum(one**2 for one in offsets)) < 21

    def texture(size: float) -> Real:
        noise = gaussian_filter(rng.standard_normal(shape), [2.5 / one for one in voxel_mm])
        return np.asarray(size * noise / noise[mask].std())

    para, dia = (np.maximum(0.03 + texture(0.012), 0) * mask for _ in range(2))
    fine_problem = field_problem(maps_of(voxel_mm, b0, local_field=para), mask, padding=1.0, device="cpu")
    field = fine_problem.dipole(fine_problem.tensor(para - dia)).numpy().astype(float)
    sources, near = [], np.zeros(shape, dtype=bool)
    for middle, radius_mm, chi in (((0.3, 0.5, 0.4), 2.0, 2.0), ((0.6, 0.7, 0.55), 3.0, 1.0),
                                   ((0.6, 0.3, 0.6), 2.5, -3.0)):  # fmt: skip
        share, unit = voxel_means((i, j, k), voxel_mm, b0, (middle[0] * i, middle[1] * j, middle[2] * k), radius_mm)
        field += chi * unit
        para, dia = (1 - share) * para + share * max(chi, 0), (1 - share) * dia + share * max(-chi, 0)
        sources.append((int(chi < 0), share > 0.5))
        near |= share > 0
    rate = np.minimum(r2prime_from_chi(para, dia, _SPLIT), 130)
    magnitude = np.where(near, np.exp(-rate * 0.01), 1.0) * mask
    field += 5e-4 / np.maximum(magnitude, 0.05) * rng.standard_normal(shape)
    rate = np.maximum(rate + 0.5 / np.maximum(magnitude, 0.05) * rng.standard_normal(shape), 0)
    anchor = tuple(np.maximum(0.25 * np.tanh(one / 0.25) + texture(0.01), 0) * mask for one in (para, dia))
    distance = distance_transform_edt(~near, sampling=voxel_mm)
    maps = maps_of(voxel_mm, b0, local_field=field * mask, r2prime=rate * mask, magnitude=magnitude)
    return Head(maps, mask, (para, dia), (anchor[0], anchor[1]), sources, mask & (distance > 2) & (distance < 8))


@pytest.fixture(scope="module", params=[((1.0, 1.0, 1.0), (0.0, 0.0, 1.0)), ((1.0, 1.2, 1.5), _OBLIQUE)],
                ids=["axial", "oblique, anisotropic"])  # fmt: skip
def simulated(request: pytest.FixtureRequest) -> Head:
    return head(*request.param)


def pair(found: Refined) -> tuple[NDArray[Any], NDArray[Any]]:
    return found.chi_para, found.chi_dia


def test_sources_beyond_the_anchors_range_come_back_without_streaks(simulated: Head) -> None:
    one = simulated
    found = refine(one.maps, one.mask, *one.anchor, RefinementOptions(**_SPLIT_GIVEN))
    assert max(one.recovered(one.anchor)) < 30
    assert one.recovered(pair(found)) == pytest.approx([100, 100, 100], abs=3.5)
    shares = [after / before for before, after in zip(one.errors(one.anchor), one.errors(pair(found)), strict=True)]
    assert np.all(np.array(shares) < [0.77, 0.88, 0.72])
    assert 0.8 < found.field_misfit[0] < 0.9
    assert found.field_misfit[1] < 0.065
    assert found.decay_misfit[1] < found.decay_misfit[0]
    assert found.solver.status is Status.CONVERGED
    assert found.warnings == ()
    for each in pair(found):
        assert each.dtype == np.float32
        assert each.min() == 0
        assert not each[~one.mask].any()


def test_a_quadratic_anchor_holds_the_sources_back_and_streaks(simulated: Head) -> None:
    one = simulated
    quadratic = RefinementOptions(**_SPLIT_GIVEN, usual_error_ppm=1e3)
    found = pair(refine(one.maps, one.mask, *one.anchor, quadratic))
    assert max(one.recovered(found)) < 50
    assert one.errors(found)[2] > 2.7 * one.errors(one.anchor)[2]


def test_the_field_alone_brings_them_back_too(simulated: Head) -> None:
    one = simulated
    field_only = MapSet(one.maps.grid, one.maps.scan, {k: m for k, m in one.maps.items() if k != "r2prime"})
    found = refine(field_only, one.mask, *one.anchor, RefinementOptions(decay_weight=0.0))
    assert one.recovered(pair(found)) == pytest.approx([100, 100, 100], abs=3.7)
    assert found.decay_misfit == ()
    with_decay = refine(one.maps, one.mask, *one.anchor, RefinementOptions(**_SPLIT_GIVEN))
    assert one.errors(pair(with_decay))[0] < 0.86 * one.errors(pair(found))[0]
    with pytest.raises(InputError, match="'r2prime' among them"):
        refine(field_only, one.mask, *one.anchor, RefinementOptions())


def test_rates_that_the_echoes_cannot_follow_are_not_believed(simulated: Head) -> None:
    one = simulated
    unweighted = MapSet(one.maps.grid, one.maps.scan, {k: m for k, m in one.maps.items() if k != "magnitude"})
    options = RefinementOptions(**_SPLIT_GIVEN)
    found, believed = (pair(refine(unweighted, one.mask, *one.anchor, each))
                       for each in (options, replace(options, fast_per_s=1e6)))  # fmt: skip
    assert one.recovered(found) == pytest.approx([100, 100, 100], abs=5)
    assert one.recovered(believed)[0] < 90
    assert np.all(np.array(one.errors(found)) < [0.94 * each for each in one.errors(believed)])


def test_the_record_can_be_written_and_results_repeat(simulated: Head) -> None:
    one, options = simulated, RefinementOptions(steps=1)
    found, again = (refine(one.maps, one.mask, *one.anchor, options) for _ in range(2))
    np.testing.assert_array_equal(found.chi_para, again.chi_para)
    record = json.loads(json.dumps(found.record()))
    assert record["solver"]["status"] == "iteration limit"
    assert record["relaxivity"]["para_hz_per_ppm"] == pytest.approx(114 * 3.0 / 2.893, rel=1e-3)
    assert record["weighted_by"] == "magnitude"
    assert record["field_misfit"][1] < record["field_misfit"][0]


def test_bad_input_is_refused_and_cancel_works() -> None:
    bad: list[dict[str, Any]] = [
        {"anchor_weight": 0.0}, {"usual_error_ppm": float("nan")}, {"decay_weight": -0.1}, {"fast_per_s": 0.0},
        {"steps": 0}, {"tolerance": -1.0}, {"inner_iterations": 0}, {"inner_tolerance": 2.0},
    ]  # fmt: skip
    for wrong in bad:
        with pytest.raises(InputError):
            RefinementOptions(**wrong)
    maps, mask, para, dia = exact_case()
    options = RefinementOptions(**_SPLIT_GIVEN)
    with pytest.raises(CancelledError):
        refine(maps, mask, 0.5 * para, dia, options, Reporter(lambda status: False))
    with pytest.raises(InputError, match="padding"):
        refine(maps, mask, para, dia, replace(options, padding=-1.0))
    with pytest.raises(InputError, match=r"chi_dia to refine: got a minimum of -0\.\d+ ppm.*magnitude"):
        refine(maps, mask, para, -dia, options)
    with pytest.raises(InputError, match="chi_para to refine: got 1 voxels that are NaN"):
        refine(maps, mask, np.where(np.arange(para.size).reshape(para.shape) == 900, np.nan, para), dia, options)
    with pytest.raises(InputError, match="chi_dia to refine: got shape"):
        refine(maps, mask, para, dia[1:], options)
    with pytest.raises(InputError, match="mask: got bool with 0 voxels"):
        refine(maps, ~mask & mask, para, dia, options)
    with pytest.raises(InputError, match="mask: got float64"):
        refine(maps, mask.astype(float), para, dia, options)  # type: ignore[arg-type]
