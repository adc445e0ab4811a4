"""Total variation by the alternating direction method of multipliers (ADMM), in k-space of a padded volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..physics.fourier import PaddedFourier
from ..physics.loops import in_parts
from ..physics.operators import Differences, Vector, difference_power
from ..physics.region import spans_of

if TYPE_CHECKING:
    from torch import Tensor

#: What becomes of a difference of the volume.
QUADRATIC, SHRUNK, FREE = 0, 1, 2


class TotalVariationSplit:
    """Auxiliary ``y = ∇x`` with its scaled dual ``u``, for ``λ‖∇x‖`` under the penalty ``ρ/2 ‖∇x − y + u‖²``.

    After shrinkage ``y = v − u`` with ``v = ∇x + u_before``, and ``u`` is ``v`` clipped to a length of ``λ/ρ``. So
    only ``u`` is kept, and one sweep makes the new one and ``∇ᵀ(y − u)``, which is all that the next ``x`` needs.

    Differences that are left out, and those in the padding, have ``y = u = 0``: they are penalised by ``ρ/2 (∇x)²``.

    Parameters
    ----------
    kinds : Tensor of uint8, shape (3, I, J, K)
        For each forward difference: :data:`QUADRATIC`, :data:`SHRUNK` or :data:`FREE` (an edge, not penalised). The
        last plane of an axis has no difference and is quadratic.
    differences : Differences
        On this grid.
    limit : float
        ``λ/ρ``, in ``x``'s unit per mm.
    isotropic : bool
        Shrink the length of the gradient, else each component.

    References
    ----------
    Goldstein & Osher, SIAM J Imaging Sci 2:323 (2009); Boyd et al., Found Trends Mach Learn 3:1 (2011), section 3.1.
    """

    def __init__(self, kinds: Tensor, differences: Differences, limit: float, isotropic: bool = True) -> None:
        import torch

        self._kinds, self._differences = kinds, differences
        self._limit, self._isotropic = limit, isotropic
        self._dual = kinds.new_zeros(kinds.shape, dtype=torch.float32)
        if kinds.device.type == "cpu":
            self._next, self._spans = self._dual.clone(), spans_of((kinds > 0).any(dim=0).numpy())

    def __call__(self, volume: Tensor) -> Tensor:
        """Update ``y`` and ``u`` to ``x`` = ``volume``, (I, J, K); give ``∇ᵀ(y − u)``."""
        return self._swept(volume) if volume.device.type == "cpu" else self.by_operators(volume)

    def by_operators(self, volume: Tensor) -> Tensor:
        """Do the same by operators on whole arrays, for devices without compiled loops."""
        ahead = self._differences(volume).add_(self._dual)
        self._dual = self._clipped(ahead * (self._kinds == SHRUNK))
        return self._differences.adjoint(ahead.sub_(self._dual, alpha=2).mul_(self._kinds != QUADRATIC))

    def _clipped(self, ahead: Tensor) -> Tensor:
        if not self._isotropic:
            return ahead.clamp_(-self._limit, self._limit)
        length = ahead.square().sum(0).sqrt_()
        return ahead.mul_(self._limit / length.clamp_min_(self._limit))

    def _swept(self, volume: Tensor) -> Tensor:
        import torch

        from ._shrinkage_kernels import shrink

        result = torch.empty(volume.shape, dtype=volume.dtype)
        scales = np.array([1 / size for size in self._differences.voxel_size_mm], dtype=np.float32)
        in_parts(shrink, volume.shape[0], volume.numel(), volume.numpy(), self._kinds.numpy(), self._spans,
                 self._dual.numpy(), scales, np.float32(self._limit), self._isotropic, self._next.numpy(),
                 result.numpy())  # fmt: skip
        self._dual, self._next = self._next, self._dual
        return result


def inverse_spectrum(curvature: Tensor, penalty: float, fourier: PaddedFourier, voxel_size_mm: Vector) -> Tensor:
    """``1 / (curvature + ρ ∇ᵀ∇)`` in k-space, with periodic forward differences; 0 at ``k = 0``.

    Parameters
    ----------
    curvature : Tensor
        Of the data term, a half spectrum; not changed.
    penalty : float
        ``ρ``, mm².
    fourier : PaddedFourier
        Of the periodic volume.
    voxel_size_mm : tuple of float
        Along i, j, k.
    """
    inverse = difference_power(fourier, voxel_size_mm).mul_(penalty).add_(curvature).reciprocal_()
    inverse[0, 0, 0] = 0
    return inverse
