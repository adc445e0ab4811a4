"""Rigid registration recovers a known motion between contrasts, and says when it should not be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ChiSepPreprocessLib.artifacts import Array, Grid, Image
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepPreprocessLib.registration import rigid
from ChiSepPreprocessLib.registration.alignment import Alignment
from ChiSepPreprocessLib.registration.rigid import SMALLEST_SCORE, RegistrationOptions, align, resample

#: Centre and semi-axes (mm) of nested smooth bodies, and their share in the two contrasts.
BODIES = (
    ((0, 0, 0), (34, 42, 31), 60.0, 90.0),
    ((0, 2, 1), (29, 37, 26), 40.0, -45.0),
    ((8, 6, 4), (5, 15, 6), -55.0, 70.0),
    ((-8, 6, 4), (5, 15, 6), -55.0, 70.0),
    ((14, 8, -6), (6, 9, 7), 25.0, -20.0),
    ((-15, 7, -6), (6, 9, 7), 25.0, -20.0),
    ((3, -27, -14), (12, 9, 8), 20.0, 15.0),
)
CENTRE_MM = np.array([4.0, -12.0, 22.0])


def tissue(points_mm: Array, contrast: int, head: float = 0.0) -> Array:
    """Signal of the phantom at RAS points (3, N); edges 1.5 mm wide, folded like a cortex, each head's own."""
    x = points_mm - CENTRE_MM[:, None]
    folds = 1.2 * np.sin(x[0] / 2.9) * np.cos(x[1] / 3.3 + 0.5) * np.sin(x[2] / 3.1 + 1.0)
    sulci = 5.0 * np.sin(x[0] / 4.1 + head) * np.cos(x[1] / 4.5 + 0.4) * np.sin(x[2] / 4.3 + 1.0)
    signal = np.zeros(x.shape[1])
    for number, (centre, axes, *weights) in enumerate(BODIES):
        scaled = (x - np.array(centre)[:, None]) / np.array(axes)[:, None]
        radius = np.linalg.norm(scaled, axis=0)
        depth_mm = (1 - radius) * min(axes) + (sulci if number == 1 else folds)
        signal += weights[contrast] / (1 + np.exp(-np.clip(depth_mm / 0.5, -50, 50)))
    return signal


def acquired(grid: Grid, contrast: int, fixed_from_image: Array, seed: int, head: float = 0.0) -> Image:
    """Noisy image of the phantom; two sub-slices stand for the slice profile."""
    indices = np.indices(grid.shape).reshape(3, -1)
    generator = np.random.default_rng(seed)
    signal = np.zeros(indices.shape[1])
    for shift in (-0.25, 0.25):
        ras = grid.affine[:3, :3] @ (indices + np.array([[0], [0], [shift]])) + grid.affine[:3, 3:]
        signal += tissue(fixed_from_image[:3, :3] @ ras + fixed_from_image[:3, 3:], contrast, head) / 2
    noisy = np.abs(signal + generator.normal(0, 2.0, signal.shape))
    return Image(noisy.reshape(grid.shape).astype(np.float32), grid)


def grid(shape: tuple[int, int, int], voxels_mm: tuple[float, float, float], angles: tuple[float, ...]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(voxels_mm)
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Grid(shape, affine)


def motion(angles_degrees: tuple[float, ...], shift_mm: tuple[float, ...]) -> Array:
    """Rotation about the phantom's centre, then a shift; RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_degrees, degrees=True).as_matrix()
    matrix[:3, 3] = CENTRE_MM + shift_mm - matrix[:3, :3] @ CENTRE_MM
    return matrix


FIXED_GRID = grid((81, 97, 75), (1.0, 1.0, 1.0), (4.0, -6.0, 2.0))
MOVING_GRID = grid((84, 100, 40), (-1.0, 1.0, 2.0), (-5.0, 3.0, 7.0))
#: The phantom is half as wide as a head, and needs a finer last level for the same exactness.
FINE = RegistrationOptions(level_sizes_mm=(4.0, 2.0, 1.0))
MOTIONS = (motion((3.0, 0.0, 0.0), (0.0, 4.0, 0.0)), motion((-2.0, 3.0, 4.0), (3.0, -2.0, 3.5)))


@pytest.fixture(scope="module")
def fixed() -> Image:
    return acquired(FIXED_GRID, 0, np.eye(4), seed=1)


@pytest.fixture(scope="module")
def mask() -> Array:
    ras = FIXED_GRID.affine[:3, :3] @ np.indices(FIXED_GRID.shape).reshape(3, -1) + FIXED_GRID.affine[:3, 3:]
    scaled = (ras - CENTRE_MM[:, None]) / np.array([[36], [44], [33]])
    return np.asarray(np.linalg.norm(scaled, axis=0) < 1).reshape(FIXED_GRID.shape)


@pytest.fixture(scope="module")
def moved() -> Image:
    return acquired(MOVING_GRID, 1, np.linalg.inv(MOTIONS[0]), seed=2)


@pytest.fixture(scope="module")
def alignment(fixed: Image, moved: Image, mask: Array) -> Alignment:
    return align(fixed, moved, mask, FINE)


def error(found: Alignment, truth: Array, mask: Array) -> tuple[float, float]:
    """Largest distance in the mask (mm) and rotation (degrees) between found and true."""
    ras = FIXED_GRID.affine[:3, :3] @ np.argwhere(mask).T + FIXED_GRID.affine[:3, 3:]
    rest = np.linalg.inv(truth) @ found.moving_from_fixed_ras
    distance = np.linalg.norm(rest[:3, :3] @ ras + rest[:3, 3:] - ras, axis=0).max()
    return float(distance), float(np.degrees(Rotation.from_matrix(rest[:3, :3]).magnitude()))


def test_a_known_motion_is_recovered(alignment: Alignment, mask: Array) -> None:
    distance_mm, angle_degrees = error(alignment, MOTIONS[0], mask)
    assert distance_mm < 0.1
    assert angle_degrees < 0.1
    assert alignment.mutual_information_after > alignment.mutual_information_before + 0.1
    assert alignment.overlap > 0.99
    assert alignment.score > 0.65  # 0.71 measured
    assert alignment.translation_mm == pytest.approx(4.0, abs=0.1)
    assert alignment.rotation_deg == pytest.approx(3.0, abs=0.1)
    assert alignment.warnings == ()


def test_a_motion_about_all_axes_is_recovered(fixed: Image, mask: Array) -> None:
    moving = acquired(MOVING_GRID, 1, np.linalg.inv(MOTIONS[1]), seed=3)
    distance_mm, angle_degrees = error(align(fixed, moving, mask, FINE), MOTIONS[1], mask)
    assert distance_mm < 0.1
    assert angle_degrees < 0.1


def test_the_result_is_the_same_every_time_within_rounding(
    fixed: Image, moved: Image, mask: Array, alignment: Alignment
) -> None:
    again = align(fixed, moved, mask, FINE)
    np.testing.assert_allclose(again.moving_from_fixed_ras, alignment.moving_from_fixed_ras, atol=1e-4)


def test_the_moving_image_lands_on_the_fixed_one(moved: Image, mask: Array, alignment: Alignment) -> None:
    truth = acquired(FIXED_GRID, 1, np.eye(4), seed=4).data

    def difference(one: Alignment | None) -> float:
        landed = resample(moved.data, moved.grid, FIXED_GRID, one)
        return float(np.sqrt(np.mean((landed[mask] - truth[mask]) ** 2)))

    assert difference(alignment) < 0.35 * difference(None)


def test_cancelling_stops_the_registration(fixed: Image, moved: Image, mask: Array) -> None:
    seen: list[Status] = []

    def stop_at_the_third(status: Status) -> bool:
        seen.append(status)
        return len(seen) < 3

    with pytest.raises(CancelledError):
        align(fixed, moved, mask, report=Reporter(stop_at_the_third))
    assert len(seen) == 3


def test_images_of_different_places_are_refused(fixed: Image, moved: Image, mask: Array) -> None:
    affine = moved.grid.affine.copy()
    affine[0, 3] += 75.0
    with pytest.raises(InputError, match="overlap"):
        align(fixed, Image(moved.data, Grid(moved.grid.shape, affine)), mask)


def test_a_large_motion_is_doubted(fixed: Image, mask: Array) -> None:
    truth = motion((0.0, 0.0, 5.0), (0.0, 22.0, 0.0))
    wide = grid((84, 140, 44), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    found = align(fixed, acquired(wide, 1, np.linalg.inv(truth), seed=5), mask)
    assert error(found, truth, mask)[0] < 0.15
    assert any("22 mm" in warning for warning in found.warnings)


def test_noise_leaves_the_scanner_geometry_and_is_doubted(fixed: Image, mask: Array) -> None:
    generator = np.random.default_rng(8)
    noise = Image(generator.normal(100, 10, MOVING_GRID.shape).astype(np.float32), MOVING_GRID)
    found = align(fixed, noise, mask)
    assert found.score < 0.05
    assert any("resemble" in warning for warning in found.warnings)


def test_another_head_is_doubted(fixed: Image, mask: Array) -> None:
    other = acquired(MOVING_GRID, 1, np.diag([0.85, 1.12, 0.9, 1.0]), seed=6, head=2.0)
    found = align(fixed, other, mask)
    assert found.score < SMALLEST_SCORE
    assert any("resemble" in warning for warning in found.warnings)


def test_another_body_part_is_doubted(fixed: Image, mask: Array) -> None:
    """Two bones in muscle, in the head's place."""
    i, j, _ = np.indices(MOVING_GRID.shape)
    bone = (np.hypot(i - 42, j - 38) < 11) | (np.hypot(i - 42, j - 66) < 8)
    limb = 80.0 * (np.hypot(i - 42, j - 50) < 38) + 70.0 * bone + np.random.default_rng(4).normal(0, 2, bone.shape)
    found = align(fixed, Image(np.abs(limb).astype(np.float32), MOVING_GRID), mask)
    assert found.score < SMALLEST_SCORE
    assert any("resemble" in warning for warning in found.warnings)


def test_a_head_turned_on_purpose_is_found_and_not_doubted(fixed: Image, mask: Array) -> None:
    truth = motion((0.0, 0.0, 38.0), (0.0, 0.0, 0.0))
    image = acquired(grid((110, 110, 44), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0)), 1, np.linalg.inv(truth), seed=5)
    turned = align(fixed, image, mask, RegistrationOptions(turned_deg=30.0))
    assert error(turned, truth, mask)[0] < 0.2
    assert turned.warnings == ()


def test_an_implausible_result_gives_way_to_the_scanner_geometry(
    fixed: Image, moved: Image, mask: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a limit below the true 3°."""
    monkeypatch.setattr(rigid, "FAILED_ROTATION_DEG", 2.0)
    found = align(fixed, moved, mask)
    np.testing.assert_array_equal(found.moving_from_fixed_ras, np.eye(4))
    assert found.translation_mm == found.rotation_deg == 0
    assert any("failed: it found 4 mm and 3°" in text for text in found.warnings)


def test_a_smooth_sensitivity_does_not_shift_the_result(fixed: Image, mask: Array) -> None:
    """Receive coils shade both images alike; inside the mask alone the optimum moves."""
    shaded = []
    for image in (fixed, acquired(FIXED_GRID, 1, np.eye(4), seed=9)):
        i = np.indices(image.grid.shape)
        factor = 0.4 + 0.6 * np.exp(-(((i[0] - 10) / 60) ** 2) - ((i[1] - 20) / 70) ** 2)
        shaded.append(Image((image.data * factor).astype(np.float32), image.grid))
    distance_mm, _ = error(align(shaded[0], shaded[1], mask), np.eye(4), mask)
    assert distance_mm < 0.1


@pytest.mark.parametrize("which", ["empty mask", "wrong mask", "constant image"])
def test_bad_input_is_named(fixed: Image, moved: Image, mask: Array, which: str) -> None:
    if which == "empty mask":
        arguments, quantity = (fixed, moved, np.zeros_like(mask)), "mask"
    elif which == "wrong mask":
        arguments, quantity = (fixed, moved, mask[1:]), "mask"
    else:
        arguments, quantity = (fixed, Image(np.ones_like(moved.data), moved.grid), mask), "moving image"
    with pytest.raises(InputError, match=quantity):
        align(*arguments)


@pytest.mark.parametrize(
    "wrong", [{"level_sizes_mm": ()}, {"samples": 10}, {"mask_margin_mm": -1.0}, {"turned_deg": 90.0}]
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RegistrationOptions(**wrong)
