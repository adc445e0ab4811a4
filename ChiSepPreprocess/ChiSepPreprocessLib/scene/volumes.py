"""Voxels and their places, to and from volume nodes: (i, j, k) here, (k, j, i) in VTK's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..artifacts import Array, Grid
from ..errors import InputError


def volume_node(scene: Any, name: str, data: Array, grid: Grid, kind: str) -> Any:
    """Add a volume node of the class vtkMRML<kind>VolumeNode with its voxels, place and display."""
    node = scene.AddNewNodeByClass(f"vtkMRML{kind}VolumeNode", name)
    node.SetAndObserveImageData(image_data(data))
    node.SetIJKToRASMatrix(ijk_to_ras(grid))
    node.CreateDefaultDisplayNodes()
    return node


def array_from_node(node: Any) -> Array:
    """Copy of a volume node's voxels, shape (I, J, K).

    Raises
    ------
    InputError
        If the node is empty or has several components.
    """
    from vtkmodules.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    scalars = image.GetPointData().GetScalars() if image is not None else None
    if scalars is None or scalars.GetNumberOfComponents() != 1:
        raise InputError(f"node '{node.GetName()}'", "no single-valued voxels", "a scalar volume with an image")
    return vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1]).transpose(2, 1, 0).copy()


def grid_from_node(node: Any) -> Grid:
    """Grid of a volume node.

    Raises
    ------
    InputError
        If the node stands under a transform, for the voxels would not be where the grid says.
    """
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    if node.GetTransformNodeID():
        raise InputError(f"node '{node.GetName()}'", "a transform above it", "none",
                         "Harden the transform in the Data module.")  # fmt: skip
    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    affine = [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]
    return Grid(node.GetImageData().GetDimensions(), affine)


def handedness(grid: Grid) -> str:
    """``"right"`` or ``"left"``, of the axes of a grid."""
    return "right" if np.linalg.det(grid.affine[:3, :3]) > 0 else "left"


def as_made(data: Array, grid: Grid, made: str | None) -> tuple[Array, Grid]:
    """Undo that Slicer's file reader turns left-handed grids into right-handed ones by reversing the slices.

    Parameters
    ----------
    data : ndarray, shape (I, J, K) or (I, J, K, E)
        As read.
    grid : Grid
        As read.
    made : str or None
        Handedness that the grid had; ``None`` if that is not known.
    """
    if made in (None, handedness(grid)):
        return data, grid
    reverse = np.diag([1.0, 1.0, -1.0, 1.0])
    reverse[2, 3] = grid.shape[2] - 1
    return data[:, :, ::-1].copy(), Grid(grid.shape, grid.affine @ reverse)


def image_data(data: Array) -> Any:
    """Copy of an array (I, J, K) as vtkImageData without place."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonDataModel import vtkImageData

    image = vtkImageData()
    image.SetDimensions(*data.shape)
    scalars = numpy_to_vtk(_stored(data).ravel(order="F"), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image


def ijk_to_ras(grid: Grid) -> Any:
    """Matrix of a grid as vtkMatrix4x4."""
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix = vtkMatrix4x4()
    matrix.DeepCopy(grid.affine.ravel().tolist())
    return matrix


def _stored(data: Array) -> Array:
    """Voxels in a type that VTK and Slicer's files keep: uint8, int16, int32 or float32."""
    if data.dtype == np.bool_:
        return data.astype(np.uint8)
    if np.issubdtype(data.dtype, np.floating):
        return data.astype(np.float32)
    if data.dtype in (np.uint8, np.int16, np.int32):
        return data
    if np.issubdtype(data.dtype, np.integer) and np.abs(data).max(initial=0) <= np.iinfo(np.int32).max:
        return data.astype(np.int32)
    raise InputError("voxels of a node", f"dtype {data.dtype}", "real numbers, integers within ±2³¹",
                     "Hand over magnitude or phase.")  # fmt: skip
