"""Weights as tensors by name: reading them without running code, and holding them against the architecture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ChiSepPreprocessLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from ..unet import UNet

#: How weights are kept in a file.
Compression = Literal["float32", "float16", "int8"]

#: After the name of an 8-bit tensor: the factors of its output channels.
_SCALE = ".scale"

#: Largest 8-bit weight.
_LARGEST_INT8 = 127

#: Key of the texts in a file's header.
_NOTES = "notes"

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
    """Read tensors by name, compressed ones as float32; no code runs.

    Raises
    ------
    InputError
        If the content is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return _expanded(load(content))
    except (SafetensorError, KeyError, ValueError, RuntimeError, UnicodeDecodeError) as error:
        raise InputError(
            f"weights file {name}", "no readable safetensors", "a whole safetensors file", _HINT
        ) from error


def safetensors_notes(content: bytes, name: str) -> dict[str, str]:
    """Texts in the header of a safetensors file.

    Raises
    ------
    InputError
        If the content is no safetensors file, or one without.
    """
    try:
        length = int.from_bytes(content[:8], "little")
        notes = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_NOTES])
        return {str(key): str(value) for key, value in notes.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"weights file {name}", "no safetensors with notes", "a whole file of 'chisep train'", _HINT
        ) from error


def to_safetensors(
    state: Mapping[str, Tensor], compression: Compression = "float32", notes: Mapping[str, str] | None = None
) -> bytes:
    """Write tensors by name, each with its own memory.

    Parameters
    ----------
    state : mapping of str to Tensor
        Weights by their published names.
    compression : {"float32", "float16", "int8"}
        Of the convolutions' weights, by far the most; int8 has one factor for each output channel.
    notes : mapping of str to str, optional
        For the header.
    """
    from safetensors.torch import save

    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}
    # As one text: the library writes several in random order.
    return save(_compressed(tensors, compression), {_NOTES: json.dumps(dict(notes))} if notes else None)


def _compressed(state: Mapping[str, Tensor], compression: Compression) -> dict[str, Tensor]:
    import torch

    found: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.ndim != 5 or compression == "float32":
            found[name] = value
        elif compression == "float16":
            found[name] = value.to(torch.float16)
        else:
            found[name], found[name + _SCALE] = _as_int8(value, output_axis=1 if ".deconv." in name else 0)
    return found


def _as_int8(weights: Tensor, output_axis: int) -> tuple[Tensor, Tensor]:
    """Weights as whole numbers, and what each output channel's are to be multiplied with."""
    import torch

    others = [axis for axis in range(weights.ndim) if axis != output_axis]
    scale = weights.abs().amax(dim=others, keepdim=True).clamp_min(1e-30) / _LARGEST_INT8
    return (weights / scale).round().to(torch.int8), scale


def _expanded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    import torch

    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if value.dtype == torch.int8 and name + _SCALE in tensors:
            found[name] = value.float() * tensors[name + _SCALE]
        elif not (name.endswith(_SCALE) and name.removesuffix(_SCALE) in tensors):
            found[name] = value.float() if value.dtype == torch.float16 else value
    return found


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
