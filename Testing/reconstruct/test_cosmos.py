"""COSMOS: exact on its own model, close on a finer one, the least-squares solution in between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet
from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib import methods
from ChiSepReconstructLib.physics.fourier import PaddedFourier, padded_shape
from ChiSepReconstructLib.pipeline import reconstruct
from ChiSepReconstructLib.solvers.cosmos import CosmosOptions, conditioning, cosmos, cosmos_in_closed_form, run
from ChiSepReconstructLib.solvers.orientations import OrientedProblem, angle_deg, check_directions, oriented_problem
from oriented_heads import (  # fmt: skip
    GRID,
    SHAPE,
    TURNS_DEG,
    brain,
    directions,
    finer_head,
    fluid,
    oriented,
    own_fields,
    random_sources,
    relative_error,
)

FULL = np.ones(SHAPE, dtype=bool)
Vector = tuple[float, float, float]


def chi_of(maps: MapSet, mask: Array, options: CosmosOptions | None = None) -> Array:
    return run(maps, mask, options or CosmosOptions(), Reporter()).maps["chi_total"]


def problem_of(b0: list[Vector], padding: float = 0.0) -> OrientedProblem:
    zeros = [np.zeros(SHAPE, dtype=np.float32)] * len(b0)
    return oriented_problem(oriented(zeros, b0, brain_mask=FULL), FULL, padding=padding)


def test_the_closed_form_is_exact_where_the_field_is_known_everywhere() -> None:
    chi = np.subtract(*random_sources())
    maps = oriented(own_fields(chi, 0.0), directions(), brain_mask=FULL)
    found = chi_of(maps, FULL, CosmosOptions(way="closed-form", padding=0.0))
    assert relative_error(found, chi, FULL, offset_free=True) < 1e-6
    assert found.dtype == np.float32


def test_the_guard_attenuates_what_two_orientations_hardly_tell() -> None:
    """Each frequency comes back by ΣD² / max(ΣD², 2 guard)."""
    chi, b0, guard = np.subtract(*random_sources()), directions(((0.0, 0.0, 0.0), (12.0, 0.0, 0.0))), 0.02
    problem = oriented_problem(oriented(own_fields(chi, 0.0, ((0.0, 0.0, 0.0), (12.0, 0.0, 0.0))), b0, brain_mask=FULL),
                               FULL, padding=0.0)  # fmt: skip
    square = sum(dipole_kernel(SHAPE, GRID.voxel_size_mm, one).astype(np.float64) ** 2 for one in b0)
    kept = square / np.maximum(square, 2 * guard)
    expected = np.fft.irfftn(np.fft.rfftn(chi) * kept, SHAPE, (0, 1, 2))
    assert 0.2 < np.mean(kept < 0.99) < 0.5
    np.testing.assert_allclose(cosmos_in_closed_form(problem, guard).cpu().numpy(), expected, atol=1e-6)


def test_weighted_cosmos_recovers_chi_from_fields_of_different_masks() -> None:
    """Each field is wrong outside its own mask, and each has its own noise level."""
    chi, rng = np.subtract(*random_sources()), np.random.default_rng(1)
    masks = [brain() & (np.roll(brain(), shift, axis) if shift else brain()) for axis, shift in enumerate((0, 2, -2))]
    fields = [np.where(mask, one, 1.0) for one, mask in zip(own_fields(chi, 0.5), masks, strict=True)]
    sigma = [scale * rng.uniform(0.5, 1.5, SHAPE) for scale in (1.0, 2.0, 0.7)]
    maps = oriented(fields, directions(), brain_mask=masks, field_sigma=sigma, csf_mask=fluid())
    solution = run(maps, brain(), CosmosOptions(tolerance=1e-5), Reporter())
    found = solution.maps["chi_total"]
    assert relative_error(found, chi, brain()) < 1e-3
    assert not found[~brain()].any()
    assert solution.warnings == ()
    assert solution.record["orientations"]["weighted_by"] == ["field_sigma"] * 3
    # The same voxels, but the wrong values count.
    assert relative_error(chi_of(oriented(fields, directions(), csf_mask=fluid()), brain()), chi, brain()) > 1


def test_weighted_cosmos_is_the_least_squares_solution() -> None:
    """Against dense linear algebra with noise, on a grid of few voxels."""
    shape, b0, rng = (5, 4, 3), directions(), np.random.default_rng(2)
    import torch

    padded = padded_shape(shape, 0.5)
    kernels = [dipole_kernel(padded, (1.0, 1.2, 1.5), one) for one in b0]
    weights = rng.uniform(0.3, 1.5, (3, *shape)).astype(np.float32)
    fields, mask = rng.normal(0, 0.03, (3, *shape)).astype(np.float32), rng.random(shape) < 0.8
    problem = OrientedProblem(
        tuple(map(torch.from_numpy, fields)), tuple(map(torch.from_numpy, weights)),
        torch.from_numpy(mask.astype(np.float32)), tuple(torch.from_numpy(one) + 0j for one in kernels),
        PaddedFourier(shape, 0.5, "cpu"), {},
    )  # fmt: skip
    units = np.eye(60)[np.flatnonzero(mask)].reshape(-1, *shape)
    spectra = np.fft.rfftn(units, padded, (1, 2, 3))
    blocks = [np.fft.irfftn(spectra * kernel, padded, (1, 2, 3))[:, :5, :4, :3] * weight
              for kernel, weight in zip(kernels, weights, strict=True)]  # fmt: skip
    matrix = np.concatenate([block.reshape(len(units), -1).T for block in blocks])
    expected = np.linalg.lstsq(matrix, (weights * fields).ravel(), rcond=None)[0]
    torch.set_num_threads(1)  # so few voxels are not worth more
    found = cosmos(problem, CosmosOptions(tolerance=1e-6)).x.numpy()
    assert np.linalg.norm(found[mask] - expected) < 1e-4 * np.linalg.norm(expected)
    normal = problem.normal(torch.from_numpy(units[7].astype(np.float32))).numpy()
    np.testing.assert_allclose(normal[mask], (matrix.T @ matrix)[7], atol=1e-6)
    assert not normal[~mask].any()


def test_fields_of_a_finer_simulation() -> None:
    """What is left is the model of voxels; a mirrored B0 of the turned scans is far off."""
    para, dia, fields = finer_head()
    chi, inside = (para - dia) * brain(), brain()
    error = {way: relative_error(chi_of(oriented(list(fields), directions(), csf_mask=fluid()), inside,
                                        CosmosOptions(way=way)), chi, inside)
             for way in ("weighted", "closed-form")}  # fmt: skip
    assert error == pytest.approx({"weighted": 0.129, "closed-form": 0.238}, abs=0.002)
    first, *others = directions()
    mirrored = [first, *((i, -j, k) for i, j, k in others)]
    assert relative_error(chi_of(oriented(list(fields), mirrored, csf_mask=fluid()), inside), chi, inside) > 0.9


def test_two_orientations_are_solved_with_a_warning() -> None:
    para, dia, fields = finer_head()
    solution = run(oriented(list(fields[:2]), directions()[:2], csf_mask=fluid()), brain(), CosmosOptions(), Reporter())
    assert relative_error(solution.maps["chi_total"], (para - dia) * brain(), brain()) == pytest.approx(
        0.152, abs=0.002
    )
    assert solution.warnings[0].startswith("The 2 head orientations leave parts of k-space nearly open (condition 233)")


@pytest.mark.parametrize("turns_deg", [TURNS_DEG, ((0.0, 0.0, 0.0), (60.0, 0.0, 0.0), (-60.0, 0.0, 0.0))])
def test_the_condition_is_that_of_the_directions(turns_deg: tuple[Vector, ...]) -> None:
    """Against directions of k spread evenly over the sphere."""
    b0 = directions(turns_deg)
    cosine, azimuth = np.meshgrid(np.linspace(-1, 1, 301), np.linspace(0, 2 * np.pi, 301))
    along = np.sqrt(1 - cosine**2)
    k = np.stack([along * np.cos(azimuth), along * np.sin(azimuth), cosine], axis=-1)
    total = sum((1 / 3 - (k @ np.array(one)) ** 2) ** 2 for one in b0)
    record, warnings = conditioning(problem_of(b0, padding=1.0), 1e-3)
    assert record["condition"] == pytest.approx(np.sqrt(total.max() / total.min()), rel=0.01)
    assert (record["guarded_share"], warnings) == (0.0, ())


def test_perpendicular_directions_are_blind_along_their_diagonal() -> None:
    """There each cosine² is 1/3, so that all three dipoles vanish."""
    record, warnings = conditioning(problem_of([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]), 1e-3)
    assert record["condition"] > 20
    assert record["guarded_share"] > 1e-3
    assert "3 head orientations" in warnings[0]


def test_directions_too_close_are_named() -> None:
    b0 = directions(((0.0, 0.0, 0.0), (30.0, 0.0, 0.0), (33.0, 0.0, 0.0)))
    assert angle_deg(b0[0], b0[1]) == pytest.approx(30.0, abs=1e-6)
    assert check_directions(b0, 2.0) == pytest.approx(3.0, abs=1e-6)
    with pytest.raises(InputError, match=r"B0 in orientations 2 and 3: got directions 3\.0° apart .* at least 5°"):
        check_directions(b0)
    i, j, k = b0[0]
    with pytest.raises(InputError, match=r"orientations 1 and 3: got directions 0\.0° apart"):
        check_directions([*b0[:2], (-i, -j, -k)])
    with pytest.raises(InputError, match="orientations: got 1; expected maps of at least two"):
        check_directions(b0[:1])


def test_orientations_that_do_not_match_are_refused() -> None:
    maps = oriented([np.zeros(SHAPE)] * 2, directions()[:2])
    shifted = GRID.affine.copy()
    shifted[0, 3] += 1
    moved = {name: replace(one, grid=Grid(SHAPE, shifted)) for name, one in maps.others[0].items()}
    with pytest.raises(InputError, match=r"orientation 2: .*Register it to the first"):
        replace(maps, others=(MapSet(Grid(SHAPE, shifted), maps.scan, moved),))
    other = MapSet(GRID, replace(maps.scan, field_strength_t=7.0))
    with pytest.raises(InputError, match=r"orientation 2: got 7\.0 T; expected 3\.0 T"):
        replace(maps, others=(other,))
    apart = maps.others[0].including(Map(name="brain_mask", data=~brain(), grid=GRID))
    with pytest.raises(InputError, match="orientation 2: got a mask without a voxel of the first one's brain"):
        run(replace(maps, others=(apart,)), brain(), CosmosOptions(), Reporter())
    with pytest.raises(InputError, match="at least two head orientations"):
        run(MapSet(GRID, maps.scan, maps.maps), brain(), CosmosOptions(), Reporter())


@pytest.mark.parametrize("wrong", [{"way": "fast"}, {"least_mean_square": 0.0}, {"least_mean_square": float("nan")},
                                   {"tolerance": 0.0}, {"tolerance": 1.0}, {"most_iterations": 0}])  # fmt: skip
def test_bad_options_are_refused(wrong: dict[str, float | str]) -> None:
    with pytest.raises(InputError, match="COSMOS"):
        CosmosOptions(**wrong)  # type: ignore[arg-type]


def test_too_few_iterations_are_told_and_cancel_works() -> None:
    maps = oriented(list(finer_head()[2]), directions(), csf_mask=fluid())
    limited = CosmosOptions(most_iterations=2)
    one, other = (run(maps, brain(), limited, Reporter()) for _ in range(2))
    assert one.warnings[0].startswith("COSMOS stopped by iteration limit after 2 iterations")
    np.testing.assert_array_equal(one.maps["chi_total"], other.maps["chi_total"])
    with pytest.raises(CancelledError):
        run(maps, brain(), CosmosOptions(), Reporter(lambda status: False))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    several = methods.Method(
        name="cosmos", title="COSMOS", needs=("local_field", "brain_mask"), uses=("csf_mask",), gives=("chi_total",),
        options_type=CosmosOptions, paper="Liu 2009", run=run, orientations=2,
    )  # fmt: skip
    monkeypatch.setattr(methods, "METHODS", {**methods.METHODS, "cosmos": several})


@pytest.mark.usefixtures("registered")
def test_the_pipeline_hands_over_the_orientations() -> None:
    maps = oriented(list(finer_head()[2]), directions(), csf_mask=fluid())
    second = maps.others[0]
    doubtful = replace(second["local_field"], warnings=("The head moved.",))
    first, others = MapSet(GRID, maps.scan, maps.maps), (second.including(doubtful), maps.others[1])
    made = reconstruct(first, method="cosmos", orientations=others)
    # Cropped to the brain, the padded box and with it the field of the box's images differ a little.
    assert relative_error(made.array("chi_total"), chi_of(maps, brain()), brain()) < 0.01
    assert "The head moved." in made["chi_total"].warnings
    assert made["chi_total"].options["orientations"]["least_angle_deg"] == pytest.approx(28.0, abs=0.01)
    with pytest.raises(InputError, match="got 1 for cosmos; expected at least 2"):
        reconstruct(first, method="cosmos")
    with pytest.raises(InputError, match="got 2 for tkd; expected one"):
        reconstruct(first, method="tkd", orientations=others[:1])
    bare = MapSet(GRID, second.scan, {"brain_mask": second["brain_mask"]})
    with pytest.raises(InputError, match="orientation 3: got no local_field"):
        reconstruct(first, method="cosmos", orientations=(second, bare))
    in_hz = second.including(Map(name="local_field", data=second.array("local_field") * 1e4, grid=GRID))
    with pytest.raises(InputError, match=r"local_field of orientation 2: .* Is it in Hz"):
        reconstruct(first, method="cosmos", orientations=(in_hz,))
