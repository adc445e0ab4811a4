"""Turned copies of a head, each interpolated once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.box import bounding_box
from ChiSepPreprocessLib.geometry.b0_axis import to_b0_axis

from ..physics.forward import field_from_chi
from .data import MARGIN_VOXELS

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Smaller angles leave the head as it is.
_NO_ANGLE_DEG = 1e-3

_AXIAL = (0.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Head:
    """Maps of a head by artifact, B0 along the third axis; 0 outside the mask.

    Parameters
    ----------
    grid : Grid
        With 1 mm voxels.
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    maps : mapping of artifact to ndarray of float32, shape (I, J, K)
        In their units.
    """

    grid: Grid
    mask: Mask
    maps: Mapping[str, Volume]


def turned_about_b0(head: Head, angle_deg: float) -> Head:
    """Turn a head in the plane across B0, which changes no physics; white matter keeps its angle to B0.

    References
    ----------
    Kim et al. 2025 (χ-sepnet), section 2.2.1.
    """
    return _turned(head, _rotation(np.array(_AXIAL), angle_deg))


def tilted_in_b0(head: Head, angle_deg: float, azimuth_deg: float, *, keep_residual: bool) -> Head:
    """Turn ``chi_total`` relative to B0, and give it the ``local_field`` that it has there.

    Parameters
    ----------
    head : Head
        With ``chi_total`` and ``local_field``, ppm.
    angle_deg : float
        Between the old and the new direction of B0 in the head.
    azimuth_deg : float
        Of the axis of the turn, in the plane across B0.
    keep_residual : bool
        Add what the measured field has beyond the label's, turned along.

    References
    ----------
    Yoon et al., NeuroImage 179:199 (2018): augmentation of QSMnet.
    """
    azimuth = np.deg2rad(azimuth_deg)
    axis = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    chi_ppm = head.maps["chi_total"]
    residual = head.maps["local_field"] - field_from_chi(chi_ppm, head.grid.voxel_size_mm, _AXIAL)
    tilted = _turned(
        Head(head.grid, head.mask, {"chi_total": chi_ppm, "local_field": residual}), _rotation(axis, angle_deg)
    )
    field_ppm = field_from_chi(tilted.maps["chi_total"], tilted.grid.voxel_size_mm, _AXIAL)
    if keep_residual:
        field_ppm = field_ppm + tilted.maps["local_field"]
    return Head(
        tilted.grid, tilted.mask, {"chi_total": tilted.maps["chi_total"], "local_field": field_ppm * tilted.mask}
    )


def is_turn(angle_deg: float) -> bool:
    """Whether an angle changes anything."""
    return abs(angle_deg) > _NO_ANGLE_DEG


def _rotation(axis: NDArray[np.float64], angle_deg: float) -> NDArray[np.float64]:
    """Rodrigues' matrix."""
    angle, (x, y, z) = np.deg2rad(angle_deg), axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _turned(head: Head, rotation: NDArray[np.float64]) -> Head:
    """Onto axes that are turned in the head; B0 is along the third of them."""
    b0 = rotation[:, 2] / np.linalg.norm(rotation[:, 2])
    # A scan stands for the direction alone; echo time and field strength play no role.
    scan = ScanParameters(echo_times_s=(0.02,), field_strength_t=3.0, b0_direction_ijk=(b0[0], b0[1], b0[2]))
    maps = {name: Map(name=name, data=one, grid=head.grid) for name, one in head.maps.items()}
    directions = head.grid.directions @ rotation
    turned = to_b0_axis(MapSet(head.grid, scan, maps), head.grid.voxel_size_mm, _upright(directions), mask=head.mask)
    assert turned.mask is not None
    box = bounding_box(turned.mask, MARGIN_VOXELS)
    grid = Grid(turned.mask[box].shape, turned.maps.grid.affine)  # its place no longer matters
    return Head(grid, turned.mask[box], {name: one.data[box] for name, one in turned.maps.items()})


def _upright(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Point the third axis to superior, as :func:`to_b0_axis` takes B0, without mirroring the head."""
    return directions if directions[2, 2] >= 0 else directions * np.array([-1.0, 1.0, -1.0])
