"""The brain mask as a segmentation that can be edited, and back as a file. Needs no Qt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts import Map
from ..errors import InputError
from ..files import read_map, write_nifti
from ..geometry.resampling import resample
from ..scene.labels import named_masks
from ..scene.nodes import add_map, describe, put_in_folder
from ..scene.session import load_slicer
from ..scene.volumes import grid_from_node, ijk_to_ras, image_data

_SEGMENT = "Brain"


def load_mask(scene: Any, folder: Path, folder_name: str) -> tuple[Any, Any]:
    """Load a brain mask as a segmentation, and the magnitude on which it is edited.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's.
    folder : Path
        Of the maps ``brain_mask`` and ``magnitude``.
    folder_name : str
        Of the subject hierarchy.

    Returns
    -------
    mask : vtkMRMLSegmentationNode
        With one segment.
    magnitude : vtkMRMLScalarVolumeNode
        Its reference image.

    Raises
    ------
    InputError
        If one of the maps is not there.
    """
    mask, magnitude = read_map(folder, "brain_mask")[0], read_map(folder, "magnitude")[0]
    reference = add_map(scene, magnitude)
    put_in_folder(scene, reference, folder_name)
    return _add_mask(scene, mask, reference, folder_name), reference


def _add_mask(scene: Any, mask: Map, reference: Any, folder_name: str) -> Any:
    slicer = load_slicer()
    layer, segment = slicer.vtkOrientedImageData(), slicer.vtkSegment()
    layer.DeepCopy(image_data(mask.data.astype(np.uint8)))
    layer.SetGeometryFromImageToWorldMatrix(ijk_to_ras(mask.grid))
    binary = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segment.SetName(_SEGMENT)
    segment.AddRepresentation(binary, layer)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", mask.name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    node.GetSegmentation().AddSegment(segment, _SEGMENT)
    describe(node, mask)
    put_in_folder(scene, node, folder_name)
    return node


def write_mask(node: Any, path: Path) -> None:
    """Write a segmentation or label map of the brain as NIfTI, on the grid of its reference image if it has one.

    Raises
    ------
    InputError
        If it does not hold exactly one region that is not empty.
    OutputError
        If the file cannot be written.
    """
    found = list(named_masks(node))
    if len(found) != 1:
        names = ", ".join(one[0] for one in found) or "no region"
        raise InputError(f"brain mask '{node.GetName()}'", names, "one region: the brain",
                         "Edit the mask so that the brain is the only region.")  # fmt: skip
    mask, grid = found[0][1:]
    reference = reference_of(node)
    if reference is not None and not grid.matches(grid_from_node(reference)):
        mask, grid = resample(mask, grid, grid_from_node(reference)), grid_from_node(reference)
    write_nifti(path, mask, grid)


def reference_of(node: Any) -> Any:
    """Image on whose grid a segmentation is edited; ``None`` if it has none."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return None
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
