"""Named regions of a label map or a segmentation, as masks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..artifacts import Array, Grid
from ..errors import InputError
from .session import load_slicer
from .volumes import array_from_node, grid_from_node


def named_masks(node: Any) -> Iterator[tuple[str, Array, Grid]]:
    """Name, mask (I, J, K) and grid of every region that is not empty.

    Parameters
    ----------
    node : vtkMRMLLabelMapVolumeNode or vtkMRMLSegmentationNode
        A label map, whose names are those of its colour table, or a segmentation with a binary label map.

    Raises
    ------
    InputError
        If the node is another one, stands under a transform, or has no binary label map.
    """
    if node is not None and node.IsA("vtkMRMLSegmentationNode"):
        return _segments(node)
    if node is not None and node.IsA("vtkMRMLLabelMapVolumeNode"):
        return _labels(node)
    raise InputError("regions", node.GetClassName() if node is not None else "none", "a label map or a segmentation")


def _labels(node: Any) -> Iterator[tuple[str, Array, Grid]]:
    labels, grid = array_from_node(node), grid_from_node(node)
    colors = node.GetDisplayNode().GetColorNode() if node.GetDisplayNode() is not None else None
    for label in np.unique(labels[labels != 0]):
        yield _label_name(colors, int(label)), labels == label, grid


def _label_name(colors: Any, label: int) -> str:
    known = colors is not None and 0 <= label < colors.GetNumberOfColors()
    return (colors.GetColorName(label) if known else "") or f"Label {label}"


def _segments(node: Any) -> Iterator[tuple[str, Array, Grid]]:
    if node.GetTransformNodeID():
        raise InputError(f"segmentation '{node.GetName()}'", "a transform above it", "none",
                         "Harden the transform in the Data module.")  # fmt: skip
    for identifier in node.GetSegmentation().GetSegmentIDs():
        found = _segment(node, identifier)
        if found is not None:
            yield node.GetSegmentation().GetSegment(identifier).GetName(), *found


def _segment(node: Any, identifier: str) -> tuple[Array, Grid] | None:
    """Mask and grid of one segment, ``None`` if it is empty."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    image, matrix = load_slicer().vtkOrientedImageData(), vtkMatrix4x4()
    if not node.GetBinaryLabelmapRepresentation(identifier, image):
        raise InputError(f"segmentation '{node.GetName()}'", "no binary label map", "one",
                         "Create it in the Segmentations module, under Representations.")  # fmt: skip
    if image.GetNumberOfPoints() == 0:
        return None
    image.GetImageToWorldMatrix(matrix)
    affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    # Slicer cuts a segment's image to the segment, so its first voxel is seldom (0, 0, 0).
    affine[:3, 3] += affine[:3, :3] @ np.array(image.GetExtent()[::2], dtype=float)
    shape = image.GetDimensions()
    mask = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape[::-1]).transpose(2, 1, 0) != 0
    return (mask, Grid(shape, affine)) if mask.any() else None
