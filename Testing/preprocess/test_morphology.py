"""Morphology in millimetres on anisotropic grids."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_closing, binary_dilation, binary_erosion, binary_fill_holes, binary_opening

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import (
    close_mm,
    dilate_mm,
    erode_mm,
    fill_holes,
    largest_component,
    open_mm,
)

VOXELS_MM = (0.9, 1.1, 2.5)


def ball(radius_mm: float) -> Array:
    """Structuring element: voxels whose centre lies within the radius."""
    reach = [int(radius_mm // size) for size in VOXELS_MM]
    axes = [np.arange(-n, n + 1) * size for n, size in zip(reach, VOXELS_MM, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.asarray(x**2 + y**2 + z**2 <= radius_mm**2)


@pytest.fixture(scope="module")
def mask() -> Array:
    points = np.indices((41, 35, 17)).reshape(3, -1) * np.array(VOXELS_MM)[:, None]
    blobs = [np.linalg.norm(points - np.array([[x], [y], [z]]), axis=0) < r
             for x, y, z, r in ((15, 17, 18, 12), (27, 22, 22, 9), (2, 2, 2, 7))]  # fmt: skip
    return np.asarray(np.any(blobs, axis=0)).reshape(41, 35, 17)


@pytest.mark.parametrize("radius_mm", [0.5, 2.0, 4.3])
def test_erosion_and_dilation_equal_those_by_a_ball_in_mm(mask: Array, radius_mm: float) -> None:
    np.testing.assert_array_equal(erode_mm(mask, radius_mm, VOXELS_MM), binary_erosion(mask, ball(radius_mm)))
    np.testing.assert_array_equal(dilate_mm(mask, radius_mm, VOXELS_MM), binary_dilation(mask, ball(radius_mm)))


@pytest.mark.parametrize("radius_mm", [0.5, 2.0, 4.3])
def test_opening_and_closing_equal_those_by_a_ball_in_mm(mask: Array, radius_mm: float) -> None:
    np.testing.assert_array_equal(open_mm(mask, radius_mm, VOXELS_MM), binary_opening(mask, ball(radius_mm)))
    far = np.pad(mask, 8)
    closed = binary_closing(far, ball(radius_mm))[8:-8, 8:-8, 8:-8]
    np.testing.assert_array_equal(close_mm(mask, radius_mm, VOXELS_MM), closed)


def test_the_volume_s_border_counts_as_outside() -> None:
    full = np.ones((7, 7, 7), dtype=bool)
    assert erode_mm(full, 1.0, (1.0, 1.0, 1.0)).sum() == 5**3


def test_radius_zero_keeps_the_mask_and_empty_stays_empty(mask: Array) -> None:
    np.testing.assert_array_equal(erode_mm(mask, 0.0, VOXELS_MM), mask)
    np.testing.assert_array_equal(dilate_mm(mask, 0.0, VOXELS_MM), mask)
    empty = np.zeros_like(mask)
    for result in (erode_mm(empty, 3.0, VOXELS_MM), dilate_mm(empty, 3.0, VOXELS_MM), largest_component(empty)):
        assert not result.any()


def test_the_largest_part_is_kept(mask: Array) -> None:
    cut = mask.copy()
    cut[:11, :9, :4] = False
    found = largest_component(mask)
    assert cut.sum() < mask.sum()
    np.testing.assert_array_equal(found, cut)
    # Voxels that share a corner only are not connected.
    assert largest_component(np.eye(3, dtype=bool)[:, :, None]).sum() == 1


def test_closed_cavities_are_filled_and_open_ones_are_not() -> None:
    mask = np.ones((9, 9, 9), dtype=bool)
    mask[4, 4, 4] = False
    mask[2, 2, 5:] = False
    filled = fill_holes(mask)
    assert filled[4, 4, 4]
    assert not filled[2, 2, 7]
    assert filled.dtype == np.bool_
    noise = np.random.default_rng(0).random((15, 14, 13)) < 0.7
    np.testing.assert_array_equal(fill_holes(noise), binary_fill_holes(noise))


def test_a_negative_radius_is_refused(mask: Array) -> None:
    with pytest.raises(InputError, match="radius"):
        erode_mm(mask, -1.0, VOXELS_MM)
