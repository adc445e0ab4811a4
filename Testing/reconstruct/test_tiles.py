"""Tiles cover every voxel, on the pooling grid, and their shares add up to 1."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np
import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.networks.tiles import GRID, Shape, TilePlan, largest_tile, padded_shape, smallest_tile

_CASES = [
    ((160, 192, 144), (96, 96, 80), 32),
    ((80, 48, 112), (48, 48, 48), 8),
    ((96, 16, 32), (32, 16, 32), 0),
    ((64, 64, 64), (64, 64, 64), 32),
    ((112, 32, 32), (64, 64, 64), 24),
]


@pytest.mark.parametrize(("shape", "tile", "halo"), _CASES)
def test_shares_add_up_to_one_and_each_tile_lies_on_the_grid(shape: Shape, tile: Shape, halo: int) -> None:
    plan = TilePlan(shape, tile, halo)
    total = np.zeros(shape)
    for box in plan.boxes():
        assert all(one.start % GRID == 0 and one.stop <= n for one, n in zip(box, shape, strict=True))
        weights = plan.weights(box)
        assert weights.shape == tuple(one.stop - one.start for one in box)
        assert weights.min() >= 0
        total[box] += weights
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


@pytest.mark.parametrize(("shape", "tile", "halo"), _CASES)
def test_neighbours_share_two_halos_and_distrust_their_faces(shape: Shape, tile: Shape, halo: int) -> None:
    plan = TilePlan(shape, tile, halo)
    for axis, starts in enumerate(plan.starts):
        size = min(tile[axis], shape[axis])
        assert starts[0] == 0
        assert starts[-1] + size == shape[axis]
        assert all(here + size - there >= 2 * halo for here, there in pairwise(starts))
    for box in plan.boxes():
        near_a_face = plan.weights(box)[: halo // 2]
        assert not near_a_face.any() if box[0].start else near_a_face.size == 0 or near_a_face.any()


def test_a_constant_survives_blending() -> None:
    plan = TilePlan((112, 48, 32), (48, 32, 32), 8)
    blended = np.zeros(plan.shape, dtype=np.float32)
    for box in plan.boxes():
        blended[box] += plan.weights(box) * np.float32(0.3)
    np.testing.assert_allclose(blended, 0.3, rtol=1e-6)


def test_the_largest_tile_that_fits_is_taken() -> None:
    assert largest_tile((160, 192, 160), 16, lambda tile: True) == (160, 192, 160)
    tile = largest_tile((160, 192, 160), 16, lambda tile: prod(tile) <= 1e6)
    assert tile is not None
    assert np.prod(tile) <= 1e6 < np.prod(tile) * max((n + GRID) / n for n in tile)
    assert largest_tile((160, 192, 160), 16, lambda tile: max(tile) <= 64) == (64, 64, 64)
    assert largest_tile((160, 32, 160), 16, lambda tile: prod(tile) < 64 * 64 * 32) is None
    assert smallest_tile((160, 32, 160), 24) == (80, 32, 80)
    assert padded_shape((1, 16, 17)) == (16, 16, 32)


@pytest.mark.parametrize(
    ("shape", "tile", "halo"),
    [((32, 32, 30), (32, 32, 16), 0), ((32, 32, 32), (16, 16, 0), 0), ((64, 64, 64), (48, 48, 48), 24),
     ((64, 64, 64), (48, 48, 48), -8), ((64, 64, 64), (48, 48, 48), 12)],
)  # fmt: skip
def test_plans_that_cannot_be_are_refused(shape: Shape, tile: Shape, halo: int) -> None:
    with pytest.raises(InputError, match=r"tiles|halo"):
        TilePlan(shape, tile, halo)
