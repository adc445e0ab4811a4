"""Distances to a mask's border against scipy's exact transform."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from ChiSepPreprocessLib.distance import distance_mm


@pytest.mark.parametrize(
    ("shape", "voxel_mm"),
    [
        ((20, 31, 17), (0.9, 1.1, 2.5)),
        ((16, 9, 23), (1.0, 1.0, 1.0)),
        ((1, 9, 8), (1.0, 1.2, 1.0)),
        ((9, 8, 1), (1,) * 3),
    ],
)
def test_distances_up_to_the_reach_are_exact(shape: tuple[int, int, int], voxel_mm: tuple[float, float, float]) -> None:
    inside = np.random.default_rng(0).random(shape) > 0.01
    inside[0, 0, 0] = False
    exact = distance_transform_edt(inside, sampling=voxel_mm)
    for most_mm in (0.0, 2.0, 3.4, 100.0):
        found = distance_mm(inside, most_mm, voxel_mm)
        np.testing.assert_array_equal(np.isfinite(found), exact <= most_mm)
        np.testing.assert_allclose(found[exact <= most_mm], exact[exact <= most_mm], rtol=3e-7)


def test_rounding_does_not_leave_out_what_lies_just_at_the_reach() -> None:
    """Three voxels of 1.4 mm are a little less than 4.2 mm to some, a little more to others."""
    inside = np.ones((9, 1, 1), np.bool_)
    inside[0] = False
    for size_mm in np.arange(0.1, 3.0, 0.1):
        found = distance_mm(inside, 3 * size_mm, (size_mm, 1.0, 1.0))
        assert np.isfinite(found).sum() == 4


def test_without_a_voxel_outside_nothing_is_near() -> None:
    assert np.isinf(distance_mm(np.ones((5, 6, 7), np.bool_), 50.0, (1.0, 1.0, 1.0))).all()
