"""Weights as tensors by name: reading them without running code, and holding them against the architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from ..unet import UNet

_HINT = "Check that it is the right file, and that it is whole."


@dataclass(frozen=True)
class Architecture:
    """What distinguishes one U-Net from another.

    Parameters
    ----------
    channels_in, channels_out : int
        Maps that go in and come out.
    base_width : int
        Channels of the first level.
    """

    channels_in: int
    channels_out: int
    base_width: int

    def empty(self) -> UNet:
        """Build the network without memory for its weights."""
        import torch

        from ..unet import UNet

        with torch.device("meta"):
            return UNet(self.channels_in, self.channels_out, self.base_width)

    def __str__(self) -> str:
        return f"{self.channels_in} → {self.channels_out} channels, base width {self.base_width}"


def from_safetensors(content: bytes, name: str) -> dict[str, Tensor]:
    """Read tensors by name; no code runs.

    Raises
    ------
    InputError
        If the content is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content)
    except (SafetensorError, KeyError, ValueError, RuntimeError, UnicodeDecodeError) as error:
        raise InputError(
            f"weights file {name}", "no readable safetensors", "a whole safetensors file", _HINT
        ) from error


def to_safetensors(state: Mapping[str, Tensor]) -> bytes:
    """Write tensors by name, each with its own memory."""
    from safetensors.torch import save

    return save({name: value.detach().clone().contiguous() for name, value in state.items()})


def architecture_of(state: Mapping[str, Any], where: str) -> Architecture:
    """Architecture by the shapes of the first and the last convolution.

    Raises
    ------
    InputError
        If they are not there.
    """
    shapes = (getattr(state.get(name), "shape", ()) for name in ("conv11.conv.weight", "out.conv.weight"))
    first, last = (tuple(int(length) for length in shape) for shape in shapes)
    if len(first) != 5 or len(last) != 5 or not 1 <= first[0] <= 256:
        raise InputError(where, "no weights of the U-Net", "layers named conv11, …, out as in the published networks",
                         _HINT)  # fmt: skip
    return Architecture(channels_in=first[1], channels_out=last[0], base_width=first[0])


def check_state(state: Mapping[str, Any], architecture: Architecture, where: str) -> None:
    """Hold every tensor against the architecture.

    Raises
    ------
    InputError
        If a name, type or shape differs, or a value cannot be used.
    """
    expected = architecture.empty().state_dict()
    missing, foreign = sorted(set(expected) - set(state)), sorted(map(str, set(state) - set(expected)))
    if missing or foreign:
        first = [f"no {name}" for name in missing[:1]] + [f"a foreign {name[:60]!r}" for name in foreign[:1]]
        raise InputError(where, " and ".join(first), f"the {len(expected)} weights of the U-Net", _HINT)
    for name, wanted in expected.items():
        _check_tensor(f"{where}, {name}", state[name], wanted)


def _check_tensor(where: str, value: Any, wanted: Tensor) -> None:
    import torch

    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise InputError(where, type(value).__name__, "a plain tensor", _HINT)
    if value.dtype != wanted.dtype or value.shape != wanted.shape:
        kinds = [f"{str(one.dtype).removeprefix('torch.')} {tuple(one.shape)}" for one in (value, wanted)]
        raise InputError(where, kinds[0], kinds[1], _HINT)
    if not torch.isfinite(value).all() or (where.endswith("running_var") and (value < 0).any()):
        raise InputError(where, "values that are not finite, or negative variances", "usable weights", _HINT)


def build(state: Mapping[str, Tensor], architecture: Architecture, where: str) -> UNet:
    """Network with these weights, for inference: float32, on the CPU.

    Raises
    ------
    InputError
        If they do not fit.
    """
    check_state(state, architecture, where)
    network = architecture.empty().to_empty(device="cpu")
    network.load_state_dict(dict(state))
    return network.eval().requires_grad_(False)
