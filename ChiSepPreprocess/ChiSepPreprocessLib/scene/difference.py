"""The difference of two results of one artifact, as a volume node of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..artifacts import ARTIFACTS, Array, Grid
from ..errors import InputError
from ..geometry.resampling import index_matrix
from .nodes import ARTIFACT, HANDEDNESS, METHOD, OPTIONS, UNIT, VERSION, WARNINGS, apply_window, put_in_folder
from .volumes import array_from_node, grid_from_node, handedness, ijk_to_ras, image_data, volume_node
from .windows import difference_window, has_fixed_unit

if TYPE_CHECKING:
    import slicer

#: Attribute of a difference: the artifact of both results. It is no artifact itself, so it has not their attribute.
DIFFERENCE_OF = "ChiSeparation.DifferenceOf"

#: Roles of node references from a difference to its results.
FIRST, SECOND = "ChiSeparation.First", "ChiSeparation.Second"


def add_difference(scene: slicer.vtkMRMLScene, first: Any, second: Any, *, folder_name: str = "Differences") -> Any:
    """Add the first map minus the second as a volume node; computed anew into the same node where there is one.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    first, second : vtkMRMLScalarVolumeNode
        Two results of one artifact with a fixed unit, such as ``chi_para`` by two methods. The second is interpolated
        linearly onto the grid of the first where its grid differs.
    folder_name : str
        Folder in the subject hierarchy.

    Returns
    -------
    vtkMRMLScalarVolumeNode
        Shown in diverging colours, symmetric about zero. Its attributes name both results, and its warnings say
        whether the second was interpolated and how much of the first it does not cover; the difference is 0 there.

    Raises
    ------
    InputError
        If the nodes are the same, hold no artifact with a fixed unit, hold different ones, do not overlap, or stand
        under a transform.
    """
    artifact = _common_artifact(first, second)
    grid, own = grid_from_node(first), grid_from_node(second)
    data = array_from_node(second).astype(np.float64)
    warnings: list[str] = []
    if not own.matches(grid):
        data = _interpolated(data, own, grid)
        warnings = _interpolation_warnings(first, second, data)
    difference = np.nan_to_num(array_from_node(first).astype(np.float64) - data, nan=0.0)
    node = _node_for(scene, first, second, difference, grid)
    node.SetName(_name(first, second, artifact))
    _describe(node, first, second, warnings)
    apply_window(node, difference_window(artifact))
    put_in_folder(scene, node, folder_name)
    return node


def _common_artifact(first: Any, second: Any) -> str:
    """Artifact of both nodes, after checking that they have one."""
    if first is second:
        raise InputError("results to compare", f"'{first.GetName()}' twice", "two results")
    names = [node.GetAttribute(ARTIFACT) or "" for node in (first, second)]
    for node, name in zip((first, second), names, strict=True):
        if name not in ARTIFACTS or not has_fixed_unit(name):
            raise InputError(f"node '{node.GetName()}'", name or "no artifact", "a map with a fixed unit",
                             "Choose a map that this extension made.")  # fmt: skip
    if names[0] != names[1]:
        raise InputError("results to compare", " and ".join(names), "two results of one artifact")
    return names[0]


def _interpolated(data: Array, own: Grid, target: Grid) -> Array:
    """Values on another grid by linear interpolation, NaN where there are none."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonMath import vtkMatrix4x4
    from vtkmodules.vtkImagingCore import vtkImageReslice

    reslice = vtkImageReslice()
    reslice.SetInputData(image_data(data))
    # Both images lie at their indices, so the axes are the matrix from one grid's indices to the other's.
    axes = vtkMatrix4x4()
    axes.DeepCopy(index_matrix(own, target).ravel().tolist())
    reslice.SetResliceAxes(axes)
    reslice.SetOutputOrigin(0.0, 0.0, 0.0)
    reslice.SetOutputSpacing(1.0, 1.0, 1.0)
    reslice.SetOutputExtent(0, target.shape[0] - 1, 0, target.shape[1] - 1, 0, target.shape[2] - 1)
    reslice.SetInterpolationModeToLinear()
    reslice.SetBackgroundLevel(np.nan)
    reslice.Update()
    values = vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars())
    return values.reshape(target.shape[::-1]).transpose(2, 1, 0).astype(np.float64)


def _interpolation_warnings(first: Any, second: Any, data: Array) -> list[str]:
    """What interpolation did, one sentence each."""
    missing = np.isnan(data).mean()
    if missing == 1.0:
        raise InputError("results to compare", "volumes that do not overlap", "two results of one patient")
    found = [f"'{second.GetName()}' was interpolated linearly onto the grid of '{first.GetName()}'."]
    if missing:
        found.append(f"'{second.GetName()}' does not cover {100.0 * missing:.1f} % of it; the difference is 0 there.")
    return found


def _node_for(scene: Any, first: Any, second: Any, data: Array, grid: Grid) -> Any:
    """Node of this pair, with the voxels in it."""
    for node in scene.GetNodesByClass("vtkMRMLScalarVolumeNode"):
        if node.GetNodeReferenceID(FIRST) == first.GetID() and node.GetNodeReferenceID(SECOND) == second.GetID():
            node.SetAndObserveImageData(image_data(data))
            node.SetIJKToRASMatrix(ijk_to_ras(grid))
            return node
    node = volume_node(scene, "difference", data, grid, "Scalar")
    node.SetNodeReferenceID(FIRST, first.GetID())
    node.SetNodeReferenceID(SECOND, second.GetID())
    return node


def _name(first: Any, second: Any, artifact: str) -> str:
    """Name after both methods, or after both nodes where one method made them; fit for a file."""
    methods = [node.GetAttribute(METHOD) or "" for node in (first, second)]
    if methods[0] and methods[1] and methods[0] != methods[1]:
        return f"{artifact} {methods[0]} minus {methods[1]}"
    return f"{first.GetName()} minus {second.GetName()}"


def _describe(node: Any, first: Any, second: Any, warnings: list[str]) -> None:
    history = {
        key: {"node": one.GetName(), "method": one.GetAttribute(METHOD), "version": one.GetAttribute(VERSION)}
        for key, one in (("first", first), ("second", second))
    }
    attributes = {
        DIFFERENCE_OF: first.GetAttribute(ARTIFACT),
        UNIT: first.GetAttribute(UNIT),
        METHOD: "difference",
        OPTIONS: json.dumps(history, ensure_ascii=False),
        WARNINGS: json.dumps(warnings, ensure_ascii=False),
        VERSION: __version__,
        HANDEDNESS: handedness(grid_from_node(node)),
    }
    for key, value in attributes.items():
        node.SetAttribute(key, value)
    node.SetDescription(" ".join([f"{first.GetName()} minus {second.GetName()}.", *warnings]))
    node.SetVoxelValueUnits(first.GetVoxelValueUnits())
