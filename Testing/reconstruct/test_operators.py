"""Adjoint tests of every operator, and the fused loops against the plain ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from adjoint_check import Operation, adjoint_mismatch
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.physics.forward import field_from_chi
from ChiSepReconstructLib.physics.fourier import Shape, padded_shape
from ChiSepReconstructLib.physics.operators import Differences, DipoleOperator, Vector, as_tensor
from ChiSepReconstructLib.physics.region import Region

if TYPE_CHECKING:
    from torch import Tensor

_OBLIQUE: Vector = (0.36, -0.48, 0.8)
_VOXEL_MM: Vector = (1.0, 1.3, 2.0)


def on_arrays(operator: Callable[[Tensor], Tensor]) -> Operation:
    return lambda array: operator(as_tensor(array, "cpu")).numpy()


@pytest.mark.parametrize("padding", [0.0, 0.5])
@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 9, 11)])
def test_dipole_is_its_own_adjoint(shape: Shape, padding: float) -> None:
    operator = on_arrays(DipoleOperator(shape, _VOXEL_MM, _OBLIQUE, padding=padding))
    assert adjoint_mismatch(operator, operator, shape, shape) < 1e-7


def test_padding_is_a_crop_of_the_larger_image() -> None:
    chi = np.random.default_rng(2).standard_normal((6, 7, 8)).astype(np.float32)
    operator = DipoleOperator((6, 7, 8), (1.0, 1.0, 1.5), _OBLIQUE, padding=0.4)
    assert all(large >= 1.4 * n for large, n in zip(operator.fourier.padded_shape, (6, 7, 8), strict=True))
    larger = np.zeros(operator.fourier.padded_shape, dtype=np.float32)
    larger[:6, :7, :8] = chi
    expected = field_from_chi(larger, (1.0, 1.0, 1.5), _OBLIQUE, padding=0.0)[:6, :7, :8]
    np.testing.assert_allclose(on_arrays(operator)(chi), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 10, 12), (7, 9, 11), (5, 1, 4)])
def test_differences_and_their_adjoint(shape: Shape) -> None:
    differences = Differences(_VOXEL_MM)
    apply, adjoint = on_arrays(differences), on_arrays(differences.adjoint)
    assert adjoint_mismatch(apply, adjoint, shape, (3, *shape)) < 1e-7


def test_differences_of_a_slope_are_its_steepness_per_mm() -> None:
    positions = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip((5, 6, 7), _VOXEL_MM, strict=True)),
                                     indexing="ij"))  # fmt: skip
    slope = on_arrays(Differences(_VOXEL_MM))(np.tensordot([0.5, -1.0, 2.0], positions, 1))
    np.testing.assert_allclose(slope[0, :-1], 0.5, rtol=1e-5)
    np.testing.assert_allclose(slope[1, :, :-1], -1.0, rtol=1e-5)
    np.testing.assert_allclose(slope[2, :, :, :-1], 2.0, rtol=1e-5)
    assert not slope[0, -1].any()
    assert not slope[1, :, -1].any()
    assert not slope[2, :, :, -1].any()


def test_fused_normal_operator_is_the_composed_one() -> None:
    rng = np.random.default_rng(5)
    volume, weights = (torch.from_numpy(rng.random(n, np.float32)) for n in ((6, 7, 5), (3, 6, 7, 5)))
    differences = Differences(_VOXEL_MM)
    composed = differences.adjoint(differences(volume) * weights)
    np.testing.assert_allclose(differences.normal(volume, weights), composed, atol=1e-5)
    region = Region(volume > 0.8)
    only = region.volume(region.values(volume)).clone()
    composed = differences.adjoint(differences(only) * weights)
    found = differences.normal(region.values(volume), weights, region=region)
    np.testing.assert_allclose(found, region.values(composed), atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 7, 9), (1, 4, 3)])
def test_a_region_is_its_lines_from_the_first_to_the_last_voxel(shape: Shape) -> None:
    rng = np.random.default_rng(8)
    mask, volumes = rng.random(shape) > 0.8, torch.from_numpy(rng.random((2, *shape), np.float32))
    kept = np.maximum.accumulate(mask, axis=2) & np.maximum.accumulate(mask[:, :, ::-1], axis=2)[:, :, ::-1]
    region = Region(torch.from_numpy(mask))
    np.testing.assert_array_equal(region.values(volumes), volumes.numpy()[:, kept])
    np.testing.assert_array_equal(region.volume(region.values(volumes)), volumes.numpy() * kept)
    np.testing.assert_array_equal(region.volume(region.values(volumes[0])), volumes[0].numpy() * kept)


def test_lagged_weights_give_the_sum_of_absolute_differences() -> None:
    rng = np.random.default_rng(6)
    volume, allowed = (torch.from_numpy(rng.random(n, np.float32)) for n in ((6, 7, 5), (3, 6, 7, 5)))
    differences = Differences(_VOXEL_MM)
    weights = differences.lagged(volume, allowed, 1e-6)
    energy = float((volume * differences.normal(volume, weights)).sum())
    assert energy == pytest.approx(float((allowed * differences(volume).abs()).sum()), rel=1e-5)


def test_bad_padding_is_refused() -> None:
    for padding in (-0.1, float("nan"), 9.0):
        with pytest.raises(InputError, match="padding"):
            padded_shape((4, 4, 4), padding)
