"""Patches: nothing is left out, the order follows from the seed, flips keep the physics."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.training.examples import Example
from ChiSepReconstructLib.training.options import PatchOptions
from ChiSepReconstructLib.training.patches import Patch, Sampler, corners, cut, grid_patches, in_order
from training_heads import ellipsoid, field_of, texture

SHAPE = (37, 34, 41)


def examples(count: int = 2) -> list[Example]:
    mask = ellipsoid(SHAPE)
    found = []
    for seed in range(count):
        chi = texture(np.random.default_rng(seed), SHAPE, 2.0) * mask
        found.append(Example(f"s{seed}", np.stack([field_of(chi) * mask, chi]).astype(np.float16), mask))
    return found


@pytest.mark.parametrize(("length", "expected"), [(64, [0]), (65, [0, 1]), (112, [0, 24, 48])])
def test_corners_overlap_by_40_and_end_with_the_axis(length: int, expected: list[int]) -> None:
    assert corners(length, 64, 24) == expected


def test_grid_covers_every_voxel_of_the_brain() -> None:
    found, counted = examples(1), np.zeros(SHAPE, int)
    for one in grid_patches(found, PatchOptions(size_voxels=16, stride_voxels=10, least_brain_share=0.0)):
        i, j, k = one.corner
        counted[i : i + 16, j : j + 16, k : k + 16] += 1
    assert counted[found[0].mask].min() >= 1


def test_patches_without_enough_brain_are_left_out() -> None:
    found = examples(1)
    chosen = grid_patches(found, PatchOptions(size_voxels=16, stride_voxels=8, least_brain_share=0.6))
    shares = [found[0].mask[i : i + 16, j : j + 16, k : k + 16].mean() for i, j, k in (one.corner for one in chosen)]
    assert min(shares) >= 0.6
    with pytest.raises(InputError, match="least_brain_share"):
        grid_patches(found, PatchOptions(size_voxels=16, stride_voxels=8, least_brain_share=0.999999))


def test_an_epoch_holds_every_patch_of_the_grid_and_fills_its_last_batch() -> None:
    options = PatchOptions(size_voxels=16, stride_voxels=12)
    sampler = Sampler(examples(), options, flips=False, batch_size=7, seed=3)
    epoch = sampler.epoch(0)
    assert {len(batch) for batch in epoch} == {7} and len(epoch) == sampler.steps
    patches = [one for batch in epoch for one in batch]
    assert set(patches) == set(grid_patches(examples(), options))
    assert patches[sampler.patch_count :] == patches[: len(patches) - sampler.patch_count]


@pytest.mark.parametrize("sampling", ["grid", "random"])
def test_order_follows_from_seed_and_epoch(sampling: str) -> None:
    options = PatchOptions(size_voxels=16, sampling=sampling, per_epoch=40)  # type: ignore[arg-type]
    one, same, other = (Sampler(examples(), options, flips=True, batch_size=4, seed=seed) for seed in (1, 1, 2))
    assert one.epoch(5) == same.epoch(5)
    assert one.epoch(5) != one.epoch(6) and one.epoch(5) != other.epoch(5)


def test_random_patches_lie_about_the_brain_of_every_example() -> None:
    options = PatchOptions(size_voxels=16, sampling="random", per_epoch=400)
    found = examples()
    drawn = [one for batch in Sampler(found, options, flips=True, batch_size=4, seed=0).epoch(0) for one in batch]
    shares = [found[one.example].mask[tuple(slice(n, n + 16) for n in one.corner)].mean() for one in drawn]
    assert min(shares) > 0.1
    assert 0.4 < np.mean([one.example for one in drawn]) < 0.6 and 0.4 < np.mean([one.flipped for one in drawn]) < 0.6


def test_flipped_patches_are_mirrored_left_to_right_and_keep_the_physics() -> None:
    # A whole head as one patch: the field of the mirrored label is the mirrored field.
    mask = ellipsoid((32, 32, 32))
    chi = texture(np.random.default_rng(0), (32, 32, 32), 2.0) * mask
    head = Example("s", np.stack([field_of(chi), chi]), mask)
    batch = cut([head], [Patch(0, (0, 0, 0), True)], 32)
    assert np.array_equal(batch.images[0, 1], chi[:, ::-1])
    assert np.allclose(batch.images[0, 0], field_of(chi[:, ::-1]), atol=1e-6)
    assert np.array_equal(batch.mask[0, 0] > 0, mask[:, ::-1])


def test_batches_come_in_order() -> None:
    found, options = examples(), PatchOptions(size_voxels=16, stride_voxels=12)
    wanted = Sampler(found, options, flips=True, batch_size=5, seed=0).epoch(0)
    for patches, batch in zip(wanted, in_order(wanted, found, 16), strict=True):
        for patch, images in zip(patches, batch.images, strict=True):
            i, j, k = patch.corner
            one = found[patch.example].images[:, i : i + 16, j : j + 16, k : k + 16].astype(np.float32)
            assert np.array_equal(images, one[:, :, ::-1] if patch.flipped else one)
