"""χ-separation from several orientations: exact on its own model, and the non-negative least-squares solution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ChiSepPreprocessLib.artifacts import Array, MapSet
from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.physics.fourier import PaddedFourier, padded_shape
from ChiSepReconstructLib.physics.relaxation import r2prime_from_chi
from ChiSepReconstructLib.physics.relaxivity import Relaxivity
from ChiSepReconstructLib.solvers.chi_sep_cosmos import ChiSepCosmosOptions, Relaxation, run, separate_jointly
from ChiSepReconstructLib.solvers.cosmos import CosmosOptions
from ChiSepReconstructLib.solvers.orientations import OrientedProblem
from oriented_heads import (  # fmt: skip
    SHAPE,
    brain,
    directions,
    finer_head,
    fluid,
    oriented,
    own_fields,
    random_sources,
    relative_error,
)

EQUAL, SPLIT = (120.0, 120.0), (150.0, 90.0)


def options(constants: tuple[float, float], tolerance: float = 1e-3, **changed: Any) -> ChiSepCosmosOptions:
    cosmos = CosmosOptions(tolerance=tolerance)
    return ChiSepCosmosOptions(para_hz_per_ppm=constants[0], dia_hz_per_ppm=constants[1], cosmos=cosmos, **changed)


def r2prime(para: Array, dia: Array, constants: tuple[float, float]) -> Array:
    chosen = Relaxivity(para_hz_per_ppm=constants[0], dia_hz_per_ppm=constants[1], preset="given", field_strength_t=3.0)
    return r2prime_from_chi(para, dia, chosen)


def errors(maps: MapSet, chosen: ChiSepCosmosOptions, para: Array, dia: Array) -> tuple[float, float]:
    made = run(maps, brain(), chosen, Reporter()).maps
    return relative_error(made["chi_para"], para, brain()), relative_error(made["chi_dia"], dia, brain())


@pytest.mark.parametrize("constants", [EQUAL, SPLIT])
def test_both_sources_come_back_from_their_own_model(constants: tuple[float, float]) -> None:
    para, dia = random_sources()
    maps = oriented(own_fields(para - dia, 0.5), directions(), csf_mask=fluid(), r2prime=r2prime(para, dia, constants))
    solution = run(maps, brain(), options(constants, tolerance=1e-4), Reporter())
    for name, truth in (("chi_para", para), ("chi_dia", dia)):
        assert relative_error(solution.maps[name], truth, brain()) < 3e-4
        assert solution.maps[name].min() == 0
        assert not solution.maps[name][~brain()].any()
    np.testing.assert_allclose(solution.maps["chi_total"], solution.maps["chi_para"] - solution.maps["chi_dia"])
    assert solution.warnings == ()
    assert solution.record["relaxivity"]["dia_hz_per_ppm"] == constants[1]


def test_without_csf_r2prime_and_the_fields_set_the_zero() -> None:
    para, dia = random_sources()
    maps = oriented(own_fields(para - dia, 0.5), directions(), r2prime=r2prime(para, dia, EQUAL))
    solution = run(maps, brain(), options(EQUAL, tolerance=1e-4), Reporter())
    assert relative_error(solution.maps["chi_para"], para, brain()) < 3e-4
    assert relative_error(solution.maps["chi_dia"], dia, brain()) < 3e-4
    assert solution.record["reference"]["region"].startswith("none")


def test_a_uniform_part_of_the_fields_changes_nothing_where_there_is_csf() -> None:
    """As background removal may leave or take it: here that of 0.05 ppm in the whole brain."""
    para, dia = random_sources()
    fields = own_fields(para - dia + 0.05 * brain(), 0.5)
    maps = oriented(fields, directions(), csf_mask=fluid(), r2prime=r2prime(para, dia, EQUAL))
    solution = run(maps, brain(), options(EQUAL, tolerance=1e-5), Reporter())
    assert solution.record["reference"]["subtracted_ppm"] == pytest.approx(0.05, abs=1e-4)
    assert relative_error(solution.maps["chi_para"], para, brain()) < 3e-4
    assert relative_error(solution.maps["chi_dia"], dia, brain()) < 3e-4


@pytest.mark.parametrize("relaxation_weight", [0.1, 1.0, 10.0])
def test_it_is_the_non_negative_least_squares_solution(relaxation_weight: float) -> None:
    """Against a dense active-set solver for p and n, from data that no pair of sources explains."""
    from scipy.optimize import nnls

    shape, rng = (5, 4, 3), np.random.default_rng(4)
    padded = padded_shape(shape, 0.5)
    kernels = [dipole_kernel(padded, (1.0, 1.2, 1.5), one) for one in directions()]
    weights = rng.uniform(0.3, 1.5, (3, *shape)).astype(np.float32)
    fields = rng.normal(0, 0.03, (3, *shape)).astype(np.float32)
    mean = np.maximum(rng.normal(0.01, 0.03, shape), 0).astype(np.float32)
    rho = (relaxation_weight * np.square(weights).sum(axis=0)).astype(np.float32)
    problem = OrientedProblem(
        tuple(map(torch.from_numpy, fields)), tuple(map(torch.from_numpy, weights)), torch.ones(shape),
        tuple(torch.from_numpy(one) + 0j for one in kernels),
        PaddedFourier(shape, 0.5, "cpu"), {},
    )  # fmt: skip
    rates = Relaxation(1.3, 0.7, torch.from_numpy(mean), torch.from_numpy(rho))
    torch.set_num_threads(1)  # so few voxels are not worth more
    outcome = separate_jointly(problem, rates, torch.zeros(shape), options(EQUAL, tolerance=1e-5))

    spectra = np.fft.rfftn(np.eye(60).reshape(-1, *shape), padded, (1, 2, 3))
    blocks = [np.fft.irfftn(spectra * one, padded, (1, 2, 3))[:, :5, :4, :3] for one in kernels]
    dipoles = np.concatenate([(block * w).reshape(60, -1).T for block, w in zip(blocks, weights, strict=True)])
    root = np.diag(np.sqrt(rho.ravel()))
    matrix = np.block([[dipoles, -dipoles], [1.3 * root, 0.7 * root]])
    expected, _ = nnls(matrix, np.concatenate([(weights * fields).ravel(), root @ mean.ravel()]))
    found = np.concatenate([one.numpy().ravel() for one in rates.sources(outcome.x)])
    assert 20 < np.sum(expected == 0) < 115
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)
    assert outcome.residuals[-1] == 0


def test_fields_of_a_finer_simulation() -> None:
    para, dia, fields = finer_head()
    maps = oriented(list(fields), directions(), csf_mask=fluid(), r2prime=r2prime(para, dia, SPLIT))
    assert errors(maps, options(SPLIT), para, dia) == pytest.approx((0.0376, 0.0715), abs=0.001)


def test_noise_is_lower_than_in_the_closed_form_of_cosmos() -> None:
    """A very small weight of R2′ leaves χ as COSMOS has it, which makes each voxel the closed form."""
    para, dia, exact = finer_head()
    rng = np.random.default_rng(1)
    fields = [one + rng.normal(0, 0.002, SHAPE).astype(np.float32) for one in exact]
    rates = [np.maximum(r2prime(para, dia, SPLIT) + rng.normal(0, 1, SHAPE), 0) for _ in exact]
    maps = oriented(fields, directions(), csf_mask=fluid(), r2prime=rates)
    joint = errors(maps, options(SPLIT), para, dia)
    apart = errors(maps, options(SPLIT, relaxation_weight=1e-9), para, dia)
    assert joint[0] < 0.99 * apart[0]
    assert joint[1] < 0.99 * apart[1]


@pytest.mark.parametrize("wrong", [{"relaxation_weight": 0.0}, {"relaxation_weight": float("nan")},
                                   {"outer_iterations": 0}])  # fmt: skip
def test_bad_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        ChiSepCosmosOptions(**wrong)


def test_bad_orientations_are_refused_and_cancel_works() -> None:
    para, dia, fields = finer_head()
    maps = oriented(list(fields), directions(), csf_mask=fluid(), r2prime=r2prime(para, dia, EQUAL))
    with pytest.raises(InputError, match="at least two head orientations"):
        run(maps.others[0], brain(), options(EQUAL), Reporter())
    same = oriented(list(fields), [directions()[0]] * 3, r2prime=r2prime(para, dia, EQUAL))
    with pytest.raises(InputError, match=r"got directions 0\.0° apart"):
        run(same, brain(), options(EQUAL), Reporter())
    for steps in ((), ("COSMOS",)):  # in COSMOS, and after it
        with pytest.raises(CancelledError):
            run(maps, brain(), options(EQUAL), Reporter(lambda status, steps=steps: status.step in steps))  # type: ignore[misc]
