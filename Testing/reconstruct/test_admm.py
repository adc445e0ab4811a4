"""The total variation's split against its definition, and the division in k-space against the operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ChiSepReconstructLib.optim.admm import FREE, QUADRATIC, SHRUNK, TotalVariationSplit, inverse_spectrum
from ChiSepReconstructLib.physics.fourier import PaddedFourier, Shape
from ChiSepReconstructLib.physics.operators import Differences, Vector

_SHAPE: Shape = (7, 5, 6)
_VOXEL_MM: Vector = (1.0, 1.2, 1.7)
_LIMIT = 0.7


def kinds() -> torch.Tensor:
    drawn = np.random.default_rng(5).choice([QUADRATIC, SHRUNK, FREE], size=(3, *_SHAPE), p=[0.2, 0.6, 0.2])
    drawn[0, -1] = drawn[1, :, -1] = drawn[2, :, :, -1] = QUADRATIC
    drawn[:, 2, 1:3] = drawn[:, 3:, :, :2] = drawn[:, :3, 2:, 3:] = QUADRATIC  # lines and ends of lines outside
    return torch.from_numpy(drawn.astype(np.uint8))


def shrunk(gradient: torch.Tensor, isotropic: bool) -> torch.Tensor:
    """Minimiser of ``limit ‖y‖ + ½ (y − g)²``, as the books have it."""
    size = gradient.norm(dim=0, keepdim=True) if isotropic else gradient.abs()
    return gradient * (1 - _LIMIT / size.clamp_min(1e-30)).clamp_min(0)


@pytest.mark.parametrize("isotropic", [True, False])
def test_the_sweep_is_shrinkage_dual_step_and_divergence(isotropic: bool) -> None:
    differences, kind, rng = Differences(_VOXEL_MM), kinds(), np.random.default_rng(6)
    split = TotalVariationSplit(kind, differences, _LIMIT, isotropic)
    dual = torch.zeros(3, *_SHAPE)
    for _ in range(4):
        volume = torch.from_numpy(rng.standard_normal(_SHAPE).astype(np.float32))
        ahead = differences(volume) + dual
        auxiliary = torch.where(kind == SHRUNK, shrunk(ahead * (kind == SHRUNK), isotropic), ahead)
        auxiliary[kind == QUADRATIC] = 0
        dual = (ahead - auxiliary) * (kind != QUADRATIC)
        torch.testing.assert_close(split(volume), differences.adjoint(auxiliary - dual), rtol=1e-5, atol=1e-5)
        assert 0 < float(dual.abs().max()) <= _LIMIT * 1.0001


def test_compiled_sweep_and_operators_agree() -> None:
    differences, kind, rng = Differences(_VOXEL_MM), kinds(), np.random.default_rng(7)
    swept, stepped = (TotalVariationSplit(kind, differences, _LIMIT) for _ in range(2))
    for _ in range(3):
        volume = torch.from_numpy(rng.standard_normal(_SHAPE).astype(np.float32))
        torch.testing.assert_close(swept(volume), stepped.by_operators(volume), rtol=1e-5, atol=1e-5)


def test_slabs_together_are_the_whole_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_slabs(kernel: Callable[..., object], count: int, _: int, *arguments: Any) -> None:
        for first, last in ((3, 4), (0, 3), (4, count)):
            kernel(first, last, *arguments)

    differences, kind, rng = Differences(_VOXEL_MM), kinds(), np.random.default_rng(9)
    volumes = [torch.from_numpy(rng.standard_normal(_SHAPE).astype(np.float32)) for _ in range(3)]
    whole, parted = (TotalVariationSplit(kind, differences, _LIMIT) for _ in range(2))
    expected = [whole(one) for one in volumes]
    monkeypatch.setattr("ChiSepReconstructLib.optim.admm.in_parts", in_slabs)
    for volume, swept in zip(volumes, expected, strict=True):
        torch.testing.assert_close(parted(volume), swept, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 5, 6), (6, 8, 7)])
def test_division_in_k_space_inverts_the_periodic_operators(shape: Shape) -> None:
    rng = np.random.default_rng(8)
    volume = rng.standard_normal(shape)
    volume -= volume.mean()
    image = 0.3 * volume
    for axis, size in enumerate(_VOXEL_MM):
        image += 2.0 * (2 * volume - np.roll(volume, 1, axis) - np.roll(volume, -1, axis)) / size**2
    curvature = torch.full((*shape[:2], shape[2] // 2 + 1), 0.3)
    inverse = inverse_spectrum(curvature, 2.0, PaddedFourier(shape, 0.0, "cpu"), _VOXEL_MM).numpy()
    np.testing.assert_allclose(np.fft.irfftn(np.fft.rfftn(image) * inverse, s=shape, axes=(0, 1, 2)), volume, atol=1e-5)
    assert inverse[0, 0, 0] == 0
    assert float(curvature.std()) == 0
