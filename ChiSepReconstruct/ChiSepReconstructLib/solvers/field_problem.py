"""What every inversion takes from the maps: field, weights, mask and dipole, as tensors on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet

from ..physics.operators import Differences, DipoleOperator, as_tensor, best_device
from ..physics.region import Region

if TYPE_CHECKING:
    from torch import Tensor

#: No voxel counts more than this, relative to the mean: few of very small expected error would outweigh the rest.
_MOST_WEIGHT = 3.0

#: Percentiles are taken of about so many voxels at most.
_SAMPLE = 1_000_000


@dataclass(frozen=True, eq=False)
class FieldProblem:
    """One local field to invert.

    Parameters
    ----------
    field : Tensor, shape (I, J, K)
        Local field in ppm, 0 outside the mask.
    mask : Tensor, shape (I, J, K)
        1 where χ is looked for, else 0; float32.
    weights : Tensor, shape (I, J, K)
        Of the field in each voxel, inverse to its expected error, mean 1 over the mask, 0 outside.
    dipole : DipoleOperator
        χ to field.
    differences : Differences
        On the same grid.
    weighted_by : str
        What the weights were made of, for the record.
    """

    field: Tensor
    mask: Tensor
    weights: Tensor
    dipole: DipoleOperator
    differences: Differences
    weighted_by: str

    @property
    def device(self) -> str:
        """Where the tensors lie."""
        return str(self.field.device)

    @cached_property
    def region(self) -> Region:
        """Of the mask, for vectors of what is inside."""
        return Region(self.mask)

    def tensor(self, array: NDArray[Any]) -> Tensor:
        """Tensor beside the others."""
        return as_tensor(array, self.device)

    def inside(self) -> Tensor:
        """1 for each difference between two voxels of the mask, (3, I, J, K); the rim of the mask is no edge."""
        inside = self.mask.new_zeros((3, *self.mask.shape))
        for axis in range(3):
            count = self.mask.shape[axis] - 1
            here, ahead = self.mask.narrow(axis, 0, count), self.mask.narrow(axis, 1, count)
            inside[axis].narrow(axis, 0, count).copy_(here * ahead)
        return inside


def field_problem(maps: MapSet, mask: NDArray[np.bool_], *, padding: float, device: str | None = None) -> FieldProblem:
    """Problem on the maps' grid.

    The weights come from ``field_sigma``, else from ``magnitude``, to which phase noise is inverse; without both,
    every voxel counts the same.
    """
    device = device or best_device()
    dipole = DipoleOperator(maps.grid.shape, maps.grid.voxel_size_mm, maps.scan.b0_direction_ijk,
                            padding=padding, device=device)  # fmt: skip
    weights, weighted_by = field_weights(maps, mask)
    return FieldProblem(
        field=as_tensor(maps.array("local_field") * mask, device),
        mask=as_tensor(mask, device),
        weights=as_tensor(weights, device),
        dipole=dipole,
        differences=Differences(maps.grid.voxel_size_mm),
        weighted_by=weighted_by,
    )


def field_weights(maps: MapSet, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], str]:
    """Weights of :class:`FieldProblem`, and what they were made of."""
    if "field_sigma" in maps:
        sigma = maps.array("field_sigma")
        known = mask & (sigma > 0)
        raw = np.divide(1.0, sigma, out=np.zeros(mask.shape, np.float32), where=known)
        name = "field_sigma"
    elif "magnitude" in maps:
        raw, name = maps.array("magnitude") * mask, "magnitude"
    else:
        return mask.astype(np.float32), "mask"
    if not raw.any():
        return mask.astype(np.float32), "mask"
    raw = np.minimum(raw, _MOST_WEIGHT * np.median(raw[mask]))
    weights: NDArray[np.float32] = (raw / raw[mask].mean(dtype=np.float64)).astype(np.float32)
    return weights, name


def percentiles(values: Tensor, inside: Tensor, wanted: Sequence[float]) -> list[float]:
    """Percentiles of the values inside; a part of them tells those well enough."""
    entries = values[inside > 0]
    sample = entries[:: max(1, entries.numel() // _SAMPLE)]
    return [float(one) for one in np.percentile(sample.cpu().numpy(), wanted)]


def edge_weights(magnitude: Tensor, inside: Tensor, differences: Differences, edge_share: float) -> Tensor:
    """0 for the steepest ``edge_share`` of an image's differences inside the mask, 1 for the others.

    References
    ----------
    Liu et al., NeuroImage 59:2560 (2012): tissue borders of the magnitude may be borders of χ.
    """
    steep = differences(magnitude).abs_()
    [limit] = percentiles(steep, inside, [100.0 * (1.0 - edge_share)])
    return inside * (steep <= limit)
