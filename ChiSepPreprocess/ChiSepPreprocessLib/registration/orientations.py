r"""Gradient echoes of one head turned in the scanner, brought to the first: the input of COSMOS.

Scanner axes are fixed to B0 while the head turns. With :math:`p_1` a point of the first
acquisition and :math:`p_n = R p_1 + t` the same tissue in acquisition n (RAS mm), a
direction :math:`d` of acquisition n's scanner space lies along :math:`R^T d` in the head as the
first acquisition sees it. B0 of acquisition n is the scanner's z, which its own voxel axes give as
``scan.b0_direction_ijk``; in the voxel axes of the first, with direction cosines :math:`D_n`,

.. math:: b_n^{(1)} = D_1^T R_n^T D_n b_n

(Liu et al., MRM 2009;61:196-204).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..artifacts import Array, Grid, Image, Kind, Map, MapSet
from ..errors import InputError
from ..geometry.resampling import Mask, Matrix, check_scalar, resample
from ..progress import Reporter
from .alignment import Alignment
from .rigid import RegistrationOptions, align

#: Heads are turned by 10° to 40° for COSMOS.
_USUAL_TURN_DEG = 30.0

Direction = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Orientation:
    """One acquisition of several.

    Parameters
    ----------
    magnitude : Image
        One magnitude volume and its grid.
    b0_direction_ijk : tuple of float
        Unit vector of B0 in its own voxel axes.
    """

    magnitude: Image
    b0_direction_ijk: Direction


@dataclass(frozen=True, eq=False)
class Oriented:
    """Where an acquisition lies relative to the first one.

    Parameters
    ----------
    alignment : Alignment
        The first acquisition is the fixed image.
    grid, first_grid : Grid
        Of this acquisition and of the first.
    b0_direction_ijk : tuple of float
        Unit vector of this acquisition's B0 in the voxel axes of the first.
    """

    alignment: Alignment
    grid: Grid
    first_grid: Grid
    b0_direction_ijk: Direction

    def onto_first(self, data: Array, *, nearest: bool = False) -> Array:
        """Bring a volume or a series of this acquisition onto the first one's grid, by one interpolation.

        Scalars only: fields, rates, magnitudes. Masks take the nearest voxel, labels with ``nearest``.
        """
        return resample(data, self.grid, self.first_grid, self.alignment.moving_from_fixed_ras, nearest=nearest)

    def maps_onto_first(self, maps: MapSet) -> MapSet:
        """Bring all maps onto the first one's grid; their scan gets this B0 direction in the first one's axes.

        Raises
        ------
        InputError
            If there is a phase among them, which cannot be interpolated, or the grids differ.
        """
        if not maps.grid.matches(self.grid):
            raise InputError("maps", f"a grid {maps.grid.shape}", f"this acquisition's grid {self.grid.shape}")
        moved = {name: self._onto_first(one) for name, one in maps.items()}
        return MapSet(self.first_grid, replace(maps.scan, b0_direction_ijk=self.b0_direction_ijk), moved)

    def _onto_first(self, one: Map) -> Map:
        check_scalar(one)
        return replace(one, data=self.onto_first(one.data, nearest=one.spec.kind is Kind.LABEL), grid=self.first_grid)


def align_orientations(
    acquisitions: Sequence[Orientation], first_mask: Mask, options: RegistrationOptions | None = None,
    report: Reporter | None = None,
) -> tuple[Oriented, ...]:  # fmt: skip
    """Align every acquisition to the first one.

    Parameters
    ----------
    acquisitions : sequence of Orientation
        The first is the reference; the head is turned in the others, and their headers know nothing of it.
    first_mask : ndarray of bool, shape (I, J, K)
        Brain mask on the first one's grid.
    options : RegistrationOptions, optional
        Heads turned by about 30° are searched for if absent.
    report : Reporter, optional
        For progress and cancelling.

    Returns
    -------
    tuple of Oriented
        As many, in the same order; the first is not moved.

    Raises
    ------
    InputError
        If there is none, or one cannot be registered.
    CancelledError
        If the caller asked to stop.
    """
    if not acquisitions:
        raise InputError("orientations", "none", "at least one acquisition")
    options = options or RegistrationOptions(turned_deg=_USUAL_TURN_DEG)
    report, first = report or Reporter(), acquisitions[0]
    found = [_unmoved(first)]
    for n, one in enumerate(acquisitions[1:], 1):
        span = report.span((n - 1) / (len(acquisitions) - 1), n / (len(acquisitions) - 1))
        alignment = align(first.magnitude, one.magnitude, first_mask, options, span)
        direction = b0_in_first(one, first.magnitude.grid, alignment.moving_from_fixed_ras)
        found.append(Oriented(alignment, one.magnitude.grid, first.magnitude.grid, direction))
    return tuple(found)


def _unmoved(first: Orientation) -> Oriented:
    grid = first.magnitude.grid
    return Oriented(Alignment(np.eye(4)), grid, grid, first.b0_direction_ijk)


def b0_in_first(one: Orientation, first_grid: Grid, moving_from_first_ras: Matrix) -> Direction:
    """B0 of an acquisition in the voxel axes of the first (see the module's equation), as a unit vector."""
    rotation = moving_from_first_ras[:3, :3]
    own_ras = one.magnitude.grid.directions @ np.array(one.b0_direction_ijk)
    bi, bj, bk = first_grid.directions.T @ rotation.T @ own_ras
    length = float(np.linalg.norm((bi, bj, bk)))
    return float(bi) / length, float(bj) / length, float(bk) / length
