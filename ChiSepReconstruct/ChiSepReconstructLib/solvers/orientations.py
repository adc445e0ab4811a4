"""Local fields of several head orientations on one grid: the input of COSMOS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.dipole import dipole_kernel
from ChiSepPreprocessLib.errors import InputError

from ..physics.fourier import PaddedFourier
from ..physics.operators import Vector, as_tensor, best_device
from .field_problem import field_weights

if TYPE_CHECKING:
    from torch import Tensor

#: B0 directions this close in the head, in degrees, say the same twice.
LEAST_ANGLE_DEG = 5.0


@dataclass(frozen=True, eq=False)
class OrientedMaps(MapSet):
    """Maps of the first head orientation, and with them those of the others.

    Parameters
    ----------
    grid, scan, maps
        Of the first orientation, see :class:`MapSet`.
    others : tuple of MapSet
        Registered to the first and resampled to its grid; their ``scan.b0_direction_ijk`` is the direction of their
        own B0 in the first one's voxel axes.

    Raises
    ------
    InputError
        If a grid or a field strength is not that of the first.
    """

    others: tuple[MapSet, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for number, one in enumerate(self.others, 2):
            if not one.grid.matches(self.grid):
                raise InputError(f"orientation {number}", f"a grid {one.grid.shape} of its own",
                                 f"the grid of the first, {self.grid.shape}",
                                 "Register it to the first and resample it.")  # fmt: skip
            if abs(one.scan.field_strength_t / self.scan.field_strength_t - 1.0) > 0.02:
                raise InputError(f"orientation {number}", f"{one.scan.field_strength_t} T",
                                 f"{self.scan.field_strength_t} T as in the first")  # fmt: skip


def oriented(first: MapSet, *others: MapSet) -> MapSet:
    """Maps of one orientation as they are, of several as :class:`OrientedMaps`."""
    return OrientedMaps(first.grid, first.scan, first.maps, others) if others else first


def each_orientation(maps: MapSet) -> tuple[MapSet, ...]:
    """Maps of every orientation, the first one's first."""
    return (maps, *(maps.others if isinstance(maps, OrientedMaps) else ()))


def check_directions(directions: Sequence[Vector], least_deg: float = LEAST_ANGLE_DEG) -> float:
    """Smallest angle between two B0 directions in the head, in degrees; a direction and its opposite are the same.

    Raises
    ------
    InputError
        If there are fewer than two, or two lie closer than ``least_deg``.
    """
    if len(directions) < 2:
        raise InputError("orientations", len(directions), "maps of at least two head orientations",
                         "Hand over those of the others, on the first one's grid.")  # fmt: skip
    angle, one, other = min(
        (angle_deg(directions[i], directions[j]), i + 1, j + 1) for i, j in combinations(range(len(directions)), 2)
    )
    if angle < least_deg:
        raise InputError(f"B0 in orientations {one} and {other}", f"directions {angle:.1f}° apart in the head",
                         f"at least {least_deg:g}°",
                         "Was B0 turned with the registration? Average repeated scans into one.")  # fmt: skip
    return angle


def angle_deg(one: Vector, other: Vector) -> float:
    """Angle between two lines given by unit vectors, 0 to 90°; exact for small ones too."""
    cosine, sine = abs(float(np.dot(one, other))), float(np.linalg.norm(np.cross(one, other)))
    return float(np.degrees(np.arctan2(sine, cosine)))


@dataclass(frozen=True, eq=False)
class OrientedProblem:
    """Local fields of one head, and the dipole of each.

    Parameters
    ----------
    fields : tuple of Tensor, shape (I, J, K)
        Local field of each orientation in ppm, 0 where it is not valid.
    weights : tuple of Tensor, shape (I, J, K)
        Of each field, inverse to its expected error, 0 where it is not valid.
    mask : Tensor, shape (I, J, K)
        1 where χ is looked for, else 0; float32.
    kernels : tuple of Tensor
        Dipole of each orientation, half spectra; complex, with which torch multiplies faster.
    fourier : PaddedFourier
        Of the grid.
    record : dict
        Directions, their smallest angle and what the weights were made of, JSON-ready.
    """

    fields: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    mask: Tensor
    kernels: tuple[Tensor, ...]
    fourier: PaddedFourier
    record: dict[str, Any]

    def gathered(self, volumes: Iterable[Tensor]) -> Tensor:
        """``Σ Dᵢ F vᵢ`` in k-space, one volume for each orientation."""
        return _sum(self.fourier.spectrum(one).mul_(kernel) for one, kernel in zip(volumes, self.kernels, strict=True))

    def weighted_fields(self) -> Tensor:
        """``M Σ Dᵢ Wᵢ² fᵢ``, the right-hand side of the normal equations."""
        weighted = (one * weight.square() for one, weight in zip(self.fields, self.weights, strict=True))
        return self.fourier.volume(self.gathered(weighted)) * self.mask

    def normal(self, chi: Tensor) -> Tensor:
        """``M Σ Dᵢ Wᵢ² Dᵢ M χ``, by one FFT pair more than there are orientations."""
        source = self.fourier.spectrum(chi * self.mask)
        fields = (self.fourier.volume(source * kernel).mul_(weight).mul_(weight)
                  for kernel, weight in zip(self.kernels, self.weights, strict=True))  # fmt: skip
        return self.fourier.volume(self.gathered(fields)) * self.mask

    def mean_square_kernel(self) -> Tensor:
        """``Σ Dᵢ² / N`` in k-space, real."""
        return _sum(kernel.real.square() for kernel in self.kernels) / len(self.kernels)


def oriented_problem(
    maps: MapSet, mask: NDArray[np.bool_], *, padding: float, least_angle_deg: float = LEAST_ANGLE_DEG
) -> OrientedProblem:
    """Problem on the first orientation's grid.

    χ is looked for inside ``mask``; each field counts where its own ``brain_mask`` and, if it is there, ``field_mask``
    say that it is valid. Weights are those of :func:`field_weights`; where every orientation has ``field_sigma``,
    they also weigh the orientations against each other.

    Raises
    ------
    InputError
        If there are fewer than two orientations, two have nearly the same direction, or a mask misses the brain.
    """
    orientations, device = each_orientation(maps), best_device()
    directions = [one.scan.b0_direction_ijk for one in orientations]
    angle = check_directions(directions, least_angle_deg)
    fourier, masks = PaddedFourier(maps.grid.shape, padding, device), [valid(one) & mask for one in orientations]
    if missed := [number for number, inside in enumerate(masks, 1) if not inside.any()]:
        raise InputError(f"orientation {missed[0]}", "a mask without a voxel of the first one's brain", "the same head",
                         "Check the registration.")  # fmt: skip
    weighted = [field_weights(one, inside) for one, inside in zip(orientations, masks, strict=True)]
    kernels = (dipole_kernel(fourier.padded_shape, maps.grid.voxel_size_mm, one) for one in directions)
    return OrientedProblem(
        fields=tuple(as_tensor(one.array("local_field") * inside, device)
                     for one, inside in zip(orientations, masks, strict=True)),
        weights=tuple(as_tensor(weights * share, device)
                      for (weights, _), share in zip(weighted, _shares(orientations, masks), strict=True)),
        mask=as_tensor(mask, device),
        kernels=tuple(as_tensor(kernel, device) + 0j for kernel in kernels),
        fourier=fourier,
        record={"b0_directions_ijk": [[round(part, 5) for part in one] for one in directions],
                "least_angle_deg": round(angle, 2), "weighted_by": [name for _, name in weighted]},
    )  # fmt: skip


def valid(maps: MapSet) -> NDArray[np.bool_]:
    """Where an orientation's local field is valid."""
    mask: NDArray[np.bool_] = maps.array("brain_mask")
    return mask & maps.array("field_mask") if "field_mask" in maps else mask


def _shares(orientations: Sequence[MapSet], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """How much each orientation's field counts relative to the others, mean 1."""
    if not all("field_sigma" in one for one in orientations):
        return np.ones(len(orientations))
    typical = [np.median(one.array("field_sigma")[inside]) for one, inside in zip(orientations, masks, strict=True)]
    shares = 1.0 / np.maximum(typical, 1e-12)
    return np.asarray(shares / shares.mean())


def _sum(parts: Iterator[Tensor]) -> Tensor:
    """Sum of tensors made one after the other; the first is changed."""
    total = next(parts)
    for part in parts:
        total += part
    return total
