"""Fast Fourier transforms of padded volumes, on the processor or, where there is one, on the GPU.

Both sides take plain arithmetic, comparison, ``abs``, ``.sum()`` and indexing, so that one text serves both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..artifacts import Array
from ..errors import InputError

#: Volumes of single precision that must fit into the GPU's free memory for it to be chosen.
_VOLUMES = 20

#: numpy array on the processor, torch tensor on the GPU.
Values = Any


class Fourier(Protocol):
    """Transforms between real volumes and the half spectra of zero-padded grids."""

    def load(self, array: Array) -> Values:
        """Put an array where the transforms run."""

    def fetch(self, values: Values) -> Array:
        """Get an array back from there."""

    def forward(self, volume: Values) -> Values:
        """Half spectrum, complex of 32 + 32 bits, of a volume that is padded with zeros at its far ends."""

    def backward(self, spectrum: Values) -> Values:
        """Volume, without the padding, of a half spectrum, which may be overwritten."""


def fourier(shape: Sequence[int], padded_shape: Sequence[int], device: str = "auto") -> Fourier:
    """Transforms of volumes of one shape.

    Parameters
    ----------
    shape : sequence of int
        Of the volumes.
    padded_shape : sequence of int
        Of the grid on which they are periodic; see :func:`fast_shape`.
    device : str
        ``"cpu"`` for scipy; a torch device such as ``"cuda"``; ``"auto"`` for the GPU if torch sees one with enough
        free memory.

    Raises
    ------
    InputError
        If the volume does not fit into the grid.
    """
    if len(shape) != len(padded_shape) or any(n > room for n, room in zip(shape, padded_shape, strict=True)):
        raise InputError("padded shape", tuple(padded_shape), f"at least {tuple(shape)} along each axis")
    if device == "auto":
        device = "cuda" if _torch_sees_a_gpu() and _gpu_holds(padded_shape) else "cpu"
    return _Processor(shape, padded_shape) if device == "cpu" else _Torch(shape, padded_shape, device)


def fast_shape(shape: Sequence[int], padding: Sequence[int]) -> tuple[int, ...]:
    """Smallest lengths that hold shape and padding and transform fast."""
    from scipy.fft import next_fast_len

    return tuple(int(next_fast_len(n + extra, real=True)) for n, extra in zip(shape, padding, strict=True))


def _torch_sees_a_gpu() -> bool:
    """Without loading torch, which takes seconds, where it was built for processors alone."""
    spec = find_spec("torch")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    libraries = [Path(folder, "lib") for folder in folders]
    if not any([*library.glob("*torch_cuda*"), *library.glob("*torch_hip*")] for library in libraries):
        return False
    import torch

    return torch.cuda.is_available()


def _gpu_holds(padded_shape: Sequence[int]) -> bool:
    """Whether the GPU has memory left for the work on a grid."""
    import torch

    try:
        free, _ = torch.cuda.mem_get_info()
    except RuntimeError:  # Another program has it for itself.
        return False
    # Memory that torch keeps for later use is free too.
    free += torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return bool(free >= _VOLUMES * 4 * math.prod(padded_shape))


class _Processor:
    """scipy in single precision on all cores."""

    def __init__(self, shape: Sequence[int], padded_shape: Sequence[int]) -> None:
        self.padded_shape = tuple(padded_shape)
        self.crop = tuple(slice(n) for n in shape)

    def load(self, array: Array) -> Values:
        return array

    def fetch(self, values: Values) -> Array:
        return np.asarray(values)

    def forward(self, volume: Values) -> Values:
        from scipy.fft import rfftn

        return rfftn(volume, self.padded_shape, workers=-1)

    def backward(self, spectrum: Values) -> Values:
        from scipy.fft import ifft, irfft

        i, j, k = self.crop
        # Axis by axis, so that the padding of one is dropped before the next.
        planes = ifft(spectrum, axis=0, overwrite_x=True, workers=-1)[i]
        lines = ifft(planes, axis=1, overwrite_x=True, workers=-1)[:, j]
        return irfft(lines, self.padded_shape[2], axis=2, overwrite_x=True, workers=-1)[..., k]


class _Torch:
    """torch in single precision on its device."""

    def __init__(self, shape: Sequence[int], padded_shape: Sequence[int], device: str) -> None:
        self.padded_shape, self.device = tuple(padded_shape), device
        self.crop = tuple(slice(n) for n in shape)

    def load(self, array: Array) -> Values:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def fetch(self, values: Values) -> Array:
        return np.asarray(values.cpu().numpy())

    def forward(self, volume: Values) -> Values:
        import torch

        return torch.fft.rfftn(volume, self.padded_shape)

    def backward(self, spectrum: Values) -> Values:
        import torch

        return torch.fft.irfftn(spectrum, self.padded_shape)[self.crop]
