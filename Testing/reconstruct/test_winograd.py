"""Winograd's convolution against PyTorch's in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from ChiSepReconstructLib.networks.winograd import Part, Workspace, convolve, filter_matrix, fresh, tile_corners

Shape = tuple[int, int, int]


def _maps(channels: int, shape: Shape, seed: int) -> torch.Tensor:
    maps = fresh((1, channels, *shape))
    torch.manual_seed(seed)
    return maps.copy_(torch.randn(maps.shape))


def _layer(channels_in: int, channels_out: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(channels_out, channels_in, 3, 3, 3) / channels_in**0.5, torch.randn(channels_out)


def _error(result: torch.Tensor, parts: list[torch.Tensor], weight: torch.Tensor, bias: torch.Tensor) -> float:
    exact = F.conv3d(torch.cat(parts, dim=1).double(), weight.double(), bias.double(), padding=1).relu()
    return float((result - exact).norm() / exact.norm())


def test_products_of_transforms_are_the_filtered_values() -> None:
    """F(4, 3) along one axis: interpolation at the points gives the product of polynomials."""
    points = np.array([0, 3 / 4, -3 / 4, 3 / 2, -3 / 2])
    filters = filter_matrix()
    scales = np.array([np.prod([p - q for q in points if q != p]) for p in points])
    np.testing.assert_allclose(filters[:5] * scales[:, None], points[:, None] ** np.arange(3), atol=1e-14)
    np.testing.assert_array_equal(filters[5], [0, 0, 1])


@pytest.mark.parametrize(
    ("channels_in", "channels_out", "shape"),
    [((1,), 4, (9, 7, 5)), ((3,), 32, (6, 13, 8)), ((16, 16), 16, (5, 6, 7)), ((20, 9), 18, (11, 4, 10)),
     ((128,), 64, (8, 9, 6)), ((400,), 400, (4, 5, 4))],
)  # fmt: skip
def test_convolutions_are_those_of_float64(channels_in: tuple[int, ...], channels_out: int, shape: Shape) -> None:
    parts = [_maps(channels, shape, seed) for seed, channels in enumerate(channels_in)]
    weight, bias = _layer(sum(channels_in), channels_out)
    target = fresh((1, channels_out, *shape)).fill_(torch.nan)
    everywhere = np.ones([-(-n // 4) for n in shape], dtype=bool)
    given = [Part(maps, (0, 0, 0)) for maps in parts]
    convolve(given, weight, bias, tile_corners(everywhere, (0, 0, 0)), Part(target, (0, 0, 0)), Workspace())
    assert _error(target, parts, weight, bias) < 5e-6


def test_parts_of_a_volume_are_zero_beyond_their_ends_and_other_tiles_stay() -> None:
    maps = _maps(8, (6, 5, 9), seed=2)
    weight, bias = _layer(8, 16)
    target = fresh((1, 16, 12, 8, 8)).fill_(-1)
    wanted = np.zeros((3, 2, 2), dtype=bool)
    wanted[1, 0, 1] = wanted[2, 1, 1] = True
    convolve([Part(maps, (5, 3, 2))], weight, bias, tile_corners(wanted, (1, -1, 0)), Part(target, (0, 0, 0)),
             Workspace())  # fmt: skip
    volume = torch.zeros(1, 8, 20, 20, 20)
    volume[..., 5:11, 3:8, 2:11] = maps
    exact = F.conv3d(volume.double(), weight.double(), bias.double(), padding=1).relu()[..., :12, :8, :8]
    touched = torch.zeros(12, 8, 8, dtype=torch.bool)
    touched[5:9, :3, 4:] = touched[9:, 3:7, 4:] = True
    assert float((target - exact)[..., touched].norm() / exact[..., touched].norm()) < 5e-6
    assert bool((target[..., ~touched] == -1).all())


def test_the_result_is_the_same_each_time_and_the_threads_are_the_callers() -> None:
    maps = _maps(16, (24, 20, 16), seed=3)
    weight, bias = _layer(16, 16)
    threads, workspace = torch.get_num_threads(), Workspace()
    corners = tile_corners(np.ones((6, 5, 4), dtype=bool), (0, 0, 0))
    results = [fresh((1, 16, 24, 20, 16)) for _ in range(2)]
    for result in results:
        convolve([Part(maps, (0, 0, 0))], weight, bias, corners, Part(result, (0, 0, 0)), workspace)
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    assert torch.get_num_threads() == threads


def test_a_workspace_gives_the_same_memory_again_and_more_where_it_must() -> None:
    workspace = Workspace()
    first = workspace.take("maps", (4, 5))
    assert workspace.take("maps", (10,)).data_ptr() == first.data_ptr()
    assert workspace.maps("maps", (2, 3, 4, 5, 6)).is_contiguous(memory_format=torch.channels_last_3d)
