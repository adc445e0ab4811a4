"""Tubes are found, sheets and balls are not; drawn by formulas at an anisotropic voxel size, with noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.masks.vessels import VesselOptions, vessel_masks, vesselness, with_vessel_masks

_SHAPE, _SIZE_MM = (51, 48, 40), (1.0, 1.1, 1.3)
Volume = NDArray[np.float64]
Vector = tuple[float, float, float]


def _positions(shape: tuple[int, int, int] = _SHAPE, size_mm: Vector = _SIZE_MM) -> Volume:
    """Voxel centres in mm from the middle, shape (3, I, J, K)."""
    axes = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(shape, size_mm, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def _distance_mm(centre: Vector, direction: Vector, positions: Volume | None = None) -> Volume:
    """Distance from an oblique line."""
    axis = np.array(direction) / np.linalg.norm(direction)
    offset = (_positions() if positions is None else positions) - np.reshape(centre, (3, 1, 1, 1))
    along = np.tensordot(axis, offset, axes=1)
    return np.sqrt(np.maximum(np.square(offset).sum(axis=0) - np.square(along), 0.0))


def _soft(distance_mm: Volume, radius_mm: float) -> Volume:
    """1 inside, 0 outside, a voxel wide in between: the part of a voxel that is filled."""
    return np.clip(0.5 + (radius_mm - distance_mm) / 1.1, 0.0, 1.0)


def _tubes() -> Volume:
    lines = (((-9.0, -8.0, 0.0), (0.3, 1.0, 0.5), 1.5), ((10.0, 5.0, 3.0), (-1.0, 0.4, 1.0), 1.1))
    return np.maximum(*(_soft(_distance_mm(centre, direction), radius) for centre, direction, radius in lines))


def _ball(centre: Vector, radius_mm: float) -> Volume:
    offset = _positions() - np.reshape(centre, (3, 1, 1, 1))
    return _soft(np.linalg.norm(offset, axis=0), radius_mm)


def _sheet(thickness_mm: float) -> Volume:
    return _soft(np.abs(np.tensordot(np.array([0.8, 0.6, 0.0]), _positions(), axes=1)), thickness_mm / 2)


def _brain() -> NDArray[np.bool_]:
    return np.asarray(np.square(_positions() / np.reshape((24.0, 25.0, 24.0), (3, 1, 1, 1))).sum(axis=0) < 1.0)


def _maps(shape: Volume, **more: Volume) -> MapSet:
    """R2* and both χ maps in which a shape is bright, with noise."""
    rng, grid = np.random.default_rng(7), Grid(_SHAPE, np.diag([*_SIZE_MM, 1.0]))
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    data = {"r2star": (17.0, 30.0, 2.0), "chi_para": (0.03, 0.15, 0.012), "chi_dia": (0.025, 0.06, 0.006)}
    arrays = {name: np.maximum(base + gain * shape + noise * rng.normal(size=_SHAPE), 0.0)
              for name, (base, gain, noise) in data.items()}  # fmt: skip
    every = {**arrays, "brain_mask": _brain(), **more}
    return MapSet(grid, scan, {name: Map(name=name, data=one, grid=grid) for name, one in every.items()})


def _vessels(tubes: Volume) -> NDArray[np.bool_]:
    """Voxels with a fifth of a tube or more, whose values it spoils."""
    return (tubes > 0.2) & _brain()


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return 2.0 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_tubes_are_found_in_both_maps() -> None:
    truth = _vessels(_tubes())
    for one in vessel_masks(_maps(_tubes())):
        assert _dice(one.data, truth) > 0.95, one.name
        assert not (one.data & ~_brain()).any()


@pytest.mark.parametrize("name", ["ball of 5 mm", "ball of 7 mm", "sheet", "thick sheet", "nothing"])
def test_balls_sheets_and_noise_are_rejected(name: str) -> None:
    shapes = {
        "ball of 5 mm": _ball((4.0, -3.0, 2.0), 5.0), "ball of 7 mm": _ball((4.0, -3.0, 2.0), 7.0),
        "sheet": _sheet(2.5), "thick sheet": _sheet(6.0), "nothing": np.zeros(_SHAPE),
    }  # fmt: skip
    for one in vessel_masks(_maps(shapes[name])):
        assert int(one.data.sum()) == 0, one.name


def test_tubes_are_found_beside_a_ball_which_is_left_alone() -> None:
    ball = _ball((8.0, -13.0, -6.0), 5.0)
    para, dia = vessel_masks(_maps(np.maximum(_tubes(), ball)))
    truth = _vessels(_tubes())
    for one in (para, dia):
        assert _dice(one.data, truth) > 0.95, one.name
        assert not one.data[ball > 0.5].any(), one.name


def test_veins_that_are_dark_in_chi_dia_are_found_there_by_r2star() -> None:
    """Blood holds no diamagnetic source, only flow makes it bright in ``chi_dia``; the veins grow faint along j."""
    tubes = _tubes() * np.clip(0.65 + _positions()[1] / 75.0, 0.3, 1.0)
    dark = np.maximum(0.025 * (1.0 - tubes) + 0.006 * np.random.default_rng(3).normal(size=_SHAPE), 0.0)
    found = vessel_masks(_maps(tubes, chi_dia=dark))[1].data
    assert _dice(found, _vessels(_tubes())) > 0.92


def test_what_r2star_does_not_show_is_no_vessel() -> None:
    flat = np.maximum(17.0 + 2.0 * np.random.default_rng(4).normal(size=_SHAPE), 0.0)
    for one in vessel_masks(_maps(_tubes(), r2star=flat)):
        assert not one.data.any(), one.name


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.2, -0.9, 0.6)])
@pytest.mark.parametrize(
    ("shape", "size_mm"), [(_SHAPE, _SIZE_MM), ((45, 47, 25), (1.0, 1.0, 2.0)), ((27, 47, 45), (1.8, 1.0, 1.0))]
)
def test_vesselness_of_an_ideal_tube_is_high_on_its_axis_at_any_angle(
    shape: tuple[int, int, int], size_mm: Vector, direction: Vector
) -> None:
    """Noise-free; the median curvature is that of a faint texture, so that the strength saturates."""
    positions = _positions(shape, size_mm)
    texture = 0.01 * np.random.default_rng(8).normal(size=shape)
    distance = _distance_mm((0.3, -0.2, 0.4), direction, positions)
    brain = np.square(positions).sum(axis=0) < 21.0**2
    found = vesselness(_soft(distance, 1.5) + texture, brain, size_mm)
    assert float(np.median(found[(distance < 0.6) & brain])) > 0.75
    assert float(np.median(found[(distance > 6.0) & brain])) == 0.0
    assert 0.0 <= float(found.min()) <= float(found.max()) <= 1.0


def test_a_constant_image_has_no_vessels() -> None:
    assert not vesselness(np.full(_SHAPE, 3.0), _brain(), _SIZE_MM).any()


def test_csf_and_what_lies_outside_the_field_mask_are_left_out() -> None:
    csf = _positions()[0] < -5.0
    valid = _brain() & (_positions()[2] < 10.0)
    for one in vessel_masks(_maps(_tubes(), csf_mask=csf, field_mask=valid)):
        assert one.data.any()
        assert not (one.data & (csf | ~valid)).any()


def test_own_masks_of_the_truth_stay_and_missing_r2star_comes_from_the_estimate() -> None:
    full = _maps(_tubes())
    truth = MapSet(full.grid, full.scan, {name: full[name] for name in full if name != "r2star"})
    found = with_vessel_masks(truth, full)
    assert np.array_equal(found.array("vessel_mask_para"), vessel_masks(full)[0].data)
    assert "r2star" not in found
    assert with_vessel_masks(found, full) is found
    with pytest.raises(InputError, match="r2star"):
        with_vessel_masks(truth, truth)


@pytest.mark.parametrize(
    "values",
    [{"scales_mm": ()}, {"scales_mm": (0.0,)}, {"strength": -1.0}, {"strength": float("nan")}, {"seed_above": 0.01},
     {"grown_above": 0.0}, {"least_mean": 1.0}, {"least_brightness": 1.0}],
)  # fmt: skip
def test_bad_options_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="vessel options"):
        VesselOptions(**values)  # type: ignore[arg-type]
