"""Linear operators on tensors: convolution with the dipole, differences, and their adjoints.

Everything runs where its tensors lie, on the processor or on a GPU, in float32.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.threads import thread_count

from .fourier import DEFAULT_PADDING, PaddedFourier, Place, Shape
from .loops import in_parts
from .region import Box

if TYPE_CHECKING:
    from torch import Tensor

Vector = tuple[float, float, float]


def best_device() -> str:
    """``"cuda"`` where torch sees a GPU, else ``"cpu"``; the processor's threads are set to the cores it may use."""
    # Large tensors in large pages, on Linux: touching those of a new one else takes as long as working on it.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    import torch

    if torch.cuda.is_available():
        return "cuda"
    torch.set_num_threads(thread_count())
    return "cpu"


def as_tensor(array: NDArray[Any], device: str) -> Tensor:
    """Tensor of float32 on a device; a copy, unless the array is one already on the processor."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)


class DipoleOperator:
    """Susceptibility to field, ``A = C F⁻¹ D F Cᵀ`` with ``Cᵀ`` the zero padding; symmetric, so its own adjoint.

    Parameters
    ----------
    shape : tuple of int
        (I, J, K).
    voxel_size_mm : tuple of float
        Along i, j, k.
    b0_direction_ijk : tuple of float
        Unit vector of B0 in voxel axes.
    padding : float
        Zeros added to each axis as a share of its length; 0 makes the convolution circular.
    device : str
        Of the tensors.
    """

    def __init__(
        self, shape: Shape, voxel_size_mm: Vector, b0_direction_ijk: Vector, *,
        padding: float = DEFAULT_PADDING, device: str = "cpu",
    ) -> None:  # fmt: skip
        self.fourier, self.device = PaddedFourier(shape, padding, device), device
        kernel = dipole_kernel(self.fourier.padded_shape, voxel_size_mm, b0_direction_ijk)
        self.kernel = as_tensor(kernel, device)

    def __call__(self, chi_ppm: Tensor, out: Tensor | None = None, region: Place | None = None) -> Tensor:
        """Field in ppm of a susceptibility in ppm, both of ``shape``, or of it and in a region, both as vectors.

        ``out`` may be the susceptibility itself.
        """
        return self.fourier.filtered(chi_ppm, self.kernel, out, region)

    def filtered(self, volume: Tensor, response: Tensor) -> Tensor:
        """Pad, multiply with a real response in k-space (``rfftn`` layout of the padded shape), crop back."""
        return self.fourier.filtered(volume, response)


def difference_power(fourier: PaddedFourier, voxel_size_mm: Vector) -> Tensor:
    """``∇ᵀ∇`` of circular forward differences per mm in k-space, ``Σ (2 − 2 cos 2πm/N) / size²``, real."""
    axes = [np.fft.fftfreq(count) for count in fourier.padded_shape[:2]]
    axes.append(np.fft.rfftfreq(fourier.padded_shape[2]))
    powers = [4 * np.sin(np.pi * axis) ** 2 / size**2 for axis, size in zip(axes, voxel_size_mm, strict=True)]
    i, j, k = (as_tensor(one, fourier.device) for one in powers)
    return i[:, None, None] + j[:, None] + k


class Differences:
    """Forward differences along the axes, ``∇``; the last plane of each axis has none.

    Parameters
    ----------
    voxel_size_mm : tuple of float
        Along i, j, k; differences are per mm.
    """

    def __init__(self, voxel_size_mm: Vector) -> None:
        self.voxel_size_mm = voxel_size_mm

    def __call__(self, volume: Tensor) -> Tensor:
        """(I, J, K) → (3, I, J, K)."""
        gradient = volume.new_zeros((3, *volume.shape))
        for axis, size in enumerate(self.voxel_size_mm):
            count = volume.shape[axis] - 1
            here, ahead = volume.narrow(axis, 0, count), volume.narrow(axis, 1, count)
            gradient[axis].narrow(axis, 0, count).copy_(ahead).sub_(here).div_(size)
        return gradient

    def adjoint(self, gradient: Tensor) -> Tensor:
        """(3, I, J, K) → (I, J, K), minus the divergence."""
        result = gradient.new_zeros(gradient.shape[1:])
        for axis, size in enumerate(self.voxel_size_mm):
            count = gradient.shape[axis + 1] - 1
            here = gradient[axis].narrow(axis, 0, count) / size
            result.narrow(axis, 1, count).add_(here)
            result.narrow(axis, 0, count).sub_(here)
        return result

    def normal(self, given: Tensor, weights: Tensor, out: Tensor | None = None, region: Place | None = None) -> Tensor:
        """``∇ᵀ W ∇`` with one weight for each difference, (3, I, J, K), without storing the gradient.

        With a region it takes a vector, 0 being elsewhere, and gives one.
        """
        region = region or Box((weights.shape[1], weights.shape[2], weights.shape[3]))
        volume, result = region.volume(given), given.new_empty(given.shape) if out is None else out
        if volume.device.type != "cpu":
            return region.values(self.adjoint(self(volume).mul_(weights)), result)
        from ._kernels import weighted_laplacian

        scales = np.array([size**-2 for size in self.voxel_size_mm], dtype=np.float32)
        in_parts(weighted_laplacian, volume.shape[0], volume.numel(), volume.contiguous().numpy(), weights.numpy(),
                 scales, region.spans, region.starts, result.view(-1).numpy())  # fmt: skip
        return result

    def lagged(self, volume: Tensor, allowed: Tensor, floor: float) -> Tensor:
        """Weights ``m / √((∇x)² + floor²)``, with which ``xᵀ∇ᵀW∇x`` is ``‖m ∇x‖₁`` at ``volume``.

        Parameters
        ----------
        volume : Tensor, shape (I, J, K) or (C, I, J, K)
            ``x``; of several, squares of differences are added up, so that they share their borders.
        allowed : Tensor, shape (3, I, J, K)
            ``m``, weight of each difference.
        floor : float
            Differences below count as this, in ``x``'s unit per mm.
        """
        first, *others = volume if volume.ndim > allowed.ndim - 1 else (volume,)
        squares = self(first).square_()
        for one in others:
            squares.add_(self(one).square_())
        return squares.add_(floor**2).rsqrt_().mul_(allowed)
