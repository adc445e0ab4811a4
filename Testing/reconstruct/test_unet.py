"""The architecture against the published list of weights and against the same network in plain functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.networks.normalisation import Normalisation
from ChiSepReconstructLib.networks.unet import UNet, chisepnet, qsmnet, r2primenet

_CONVOLUTIONS = {
    "conv11": (None, 32), "conv12": (32, 32), "conv21": (32, 64), "conv22": (64, 64), "conv31": (64, 128),
    "conv32": (128, 128), "conv41": (128, 256), "conv42": (256, 256), "l_conv1": (256, 512), "l_conv2": (512, 512),
    "conv51": (512, 256), "conv52": (256, 256), "conv61": (256, 128), "conv62": (128, 128), "conv71": (128, 64),
    "conv72": (64, 64), "conv81": (64, 32), "conv82": (32, 32),
}  # fmt: skip
_UPSAMPLINGS = {"deconv4": 512, "deconv3": 256, "deconv2": 128, "deconv1": 64}


def _published_shapes(channels_in: int, channels_out: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (width_in, width) in _CONVOLUTIONS.items():
        shapes[f"{name}.conv.weight"] = (width, width_in or channels_in, 3, 3, 3)
        shapes[f"{name}.bn.num_batches_tracked"] = ()
        for one in ("conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"):
            shapes[f"{name}.{one}"] = (width,)
    for name, width in _UPSAMPLINGS.items():
        shapes[f"{name}.deconv.weight"] = (width, width // 2, 2, 2, 2)
        shapes[f"{name}.deconv.bias"] = (width // 2,)
    return {**shapes, "out.conv.weight": (channels_out, 32, 1, 1, 1), "out.conv.bias": (channels_out,)}


@pytest.mark.parametrize(
    ("build", "channels_in", "channels_out", "parameters"),
    [(qsmnet, 1, 1, 22_581_217), (r2primenet, 1, 1, 22_581_217), (chisepnet, 3, 2, 22_582_978)],
)
def test_names_shapes_and_counts_are_the_published_ones(
    build: Callable[[], UNet], channels_in: int, channels_out: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = build()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 136
    assert shapes == _published_shapes(channels_in, channels_out)
    assert sum(value.numel() for value in network.parameters()) == parameters


def _network(channels_in: int, channels_out: int) -> UNet:
    """Small, with running statistics that are not the trivial ones."""
    torch.manual_seed(7)
    network = UNet(channels_in, channels_out, base_width=4).eval()
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(0.0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
    return network


def _reference(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """The same network from its weights, with functions alone."""

    def block(name: str, x: Tensor) -> Tensor:
        x = F.conv3d(x, weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"], padding=1)
        mean, variance = (weights[f"{name}.bn.running_{one}"].view(1, -1, 1, 1, 1) for one in ("mean", "var"))
        scale, shift = (weights[f"{name}.bn.{one}"].view(1, -1, 1, 1, 1) for one in ("weight", "bias"))
        return ((x - mean) / torch.sqrt(variance + 1e-5) * scale + shift).clamp(min=0)

    skipped, x = [], images
    for level in "1234":
        x = block(f"conv{level}2", block(f"conv{level}1", x))
        skipped.append(x)
        batch, channels, i, j, k = x.shape
        x = x.reshape(batch, channels, i // 2, 2, j // 2, 2, k // 2, 2).amax(dim=(3, 5, 7))
    x = block("l_conv2", block("l_conv1", x))
    for level, name in zip("4321", "5678", strict=True):
        x = F.conv_transpose3d(x, weights[f"deconv{level}.deconv.weight"], weights[f"deconv{level}.deconv.bias"], 2)
        x = block(f"conv{name}2", block(f"conv{name}1", torch.cat([x, skipped.pop()], dim=1)))
    weight, bias = weights["out.conv.weight"], weights["out.conv.bias"]
    return torch.einsum("oi,bixyz->boxyz", weight[:, :, 0, 0, 0], x) + bias.view(1, -1, 1, 1, 1)


@pytest.mark.parametrize("shape", [(32, 16, 32), (17, 31, 20)])
def test_output_is_that_of_the_plain_functions(shape: tuple[int, int, int]) -> None:
    network = _network(3, 2)
    images = torch.randn((1, 3, *shape), generator=torch.Generator().manual_seed(8))
    enlarged = torch.zeros((1, 3, *(-(-n // 16) * 16 for n in shape)))
    i, j, k = shape
    enlarged[..., :i, :j, :k] = images
    with torch.no_grad():
        output, again = network(images), network(images)
        expected = _reference(network.state_dict(), enlarged)[..., :i, :j, :k]
    assert output.shape == (1, 2, *shape)
    assert torch.equal(output, again)
    assert expected.std() > 1e-3
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)


def test_normalisation_and_back() -> None:
    scale = Normalisation(mean=-0.0026, std=0.0108)
    values = np.random.default_rng(9).normal(0, 0.01, (4, 5, 6))
    mask = values > -0.005
    normalised = scale.normalise(values, mask)
    np.testing.assert_allclose(normalised[mask], (values[mask] + 0.0026) / 0.0108, rtol=1e-6, atol=1e-7)
    assert not normalised[~mask].any()
    np.testing.assert_allclose(scale.restore(normalised, mask), np.where(mask, values, 0), atol=1e-8)
    with pytest.raises(InputError, match="std"):
        Normalisation(mean=0.0, std=0.0)
