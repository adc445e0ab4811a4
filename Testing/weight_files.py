"""Files as they were published with the networks, holding random weights of a small width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.io import savemat

from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.networks.unet import UNet
from ChiSepReconstructLib.networks.weights.importing import import_weights
from ChiSepReconstructLib.networks.weights.weight_set import Role

#: Channels of the three published networks.
CHANNELS: Mapping[Role, tuple[int, int]] = {"qsmnet": (1, 1), "r2primenet": (1, 1), "chisepnet": (3, 2)}

#: Mean and standard deviation as published, in ppm.
PUBLISHED = {
    "field": (-0.0026045702, 0.0108496593), "cosmos_sus": (-0.0013402087, 0.0315040313),
    "r2prime": (0.0514187962, 0.0697753131), "r2star": (0.1586536616, 0.0750197917),
    "r2": (0.1115000546, 0.0341295153), "x_pos": (0.0259128194, 0.0352641791),
    "x_neg": (0.0267006904, 0.0279360991),
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """Checkpoints and constants on disk, and the networks that they hold."""

    files: Mapping[Role, Path]
    normalisation: Path
    networks: Mapping[Role, UNet]


def random_network(channels_in: int, channels_out: int, base_width: int = 2, seed: int = 0) -> UNet:
    """Network whose running statistics are not the trivial ones."""
    torch.manual_seed(seed)
    network = UNet(channels_in, channels_out, base_width).eval().requires_grad_(False)
    for name, value in network.state_dict().items():
        if name.endswith((".bn.bias", "running_mean")):
            value.normal_(0.0, 0.1)
        elif name.endswith((".bn.weight", "running_var")):
            value.uniform_(0.5, 2.0)
        elif name.endswith("num_batches_tracked"):
            value.fill_(1000)
    return network


def save_checkpoint(path: Path, network: UNet, prefix: str = "") -> Path:
    """Write ``{epoch, state_dict}``, as the authors do."""
    state = {prefix + name: value for name, value in network.state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state}, path)
    return path


def save_constants(path: Path, constants: Mapping[str, tuple[float, float]] = PUBLISHED) -> Path:
    """Write ``<name>_mean`` and ``<name>_std``."""
    pairs = {f"{name}_{kind}": value for name, pair in constants.items()
             for kind, value in zip(("mean", "std"), pair, strict=True)}  # fmt: skip
    savemat(path, {**pairs, "n_element": 1758499968.0})
    return path


def publish(folder: Path, base_width: int = 2, prefix: str = "module.") -> Published:
    """Write all three checkpoints and the constants."""
    networks = {role: random_network(*channels, base_width, seed)
                for seed, (role, channels) in enumerate(CHANNELS.items())}  # fmt: skip
    files = {role: save_checkpoint(folder / f"{role}_official.pth.tar", one, prefix) for role, one in networks.items()}
    return Published(files, save_constants(folder / "xsepnet_norm_factor.mat"), networks)


def refuse(message: str, files: Mapping[Role, Path], normalisation: Path, data: Path, **options: Any) -> None:
    """Import must fail with this message and leave nothing."""
    with pytest.raises(InputError, match=message) as caught:
        import_weights("mine", files, normalisation, **options)
    assert "\n" not in str(caught.value)
    assert not (data / "weights").exists() or list((data / "weights").iterdir()) == []
