"""The white matter that a lesion is compared with, as outlines in the views; never saved with the scene."""

from __future__ import annotations

from typing import Any

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.morphology import Mask
from ChiSepPreprocessLib.scene.session import load_slicer
from ChiSepPreprocessLib.scene.volumes import ijk_to_ras, image_data

#: Marks the node, so that two panels share one.
_MARK = "ChiSeparation.ReferenceShell"
_SEGMENT = "Reference"
_COLOR = (1.0, 1.0, 1.0)


def show_shell(scene: Any, mask: Mask, grid: Grid) -> Any:
    """Show a mask as the outline of the reference region, in the place of one before.

    Returns
    -------
    vtkMRMLSegmentationNode
        Hidden from lists of nodes, and not saved.
    """
    slicer_module = load_slicer()
    node = _found(scene) or _made(scene)
    layer = slicer_module.vtkOrientedImageData()
    layer.DeepCopy(image_data(mask))
    layer.SetGeometryFromImageToWorldMatrix(ijk_to_ras(grid))
    segment = slicer_module.vtkSegment()
    segment.SetName("Reference white matter")
    segment.SetColor(*_COLOR)
    segment.AddRepresentation(
        slicer_module.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName(), layer
    )
    node.GetSegmentation().RemoveAllSegments()
    node.GetSegmentation().AddSegment(segment, _SEGMENT)
    return node


def hide_shell(scene: Any) -> None:
    """Take the reference region out of the scene."""
    node = _found(scene)
    if node is not None:
        display = node.GetDisplayNode()
        scene.RemoveNode(node)
        if display is not None:
            scene.RemoveNode(display)


def is_shell(node: Any) -> bool:
    """Whether a segmentation is the reference region of this module."""
    return bool(node.GetAttribute(_MARK))


def _found(scene: Any) -> Any:
    return next((one for one in scene.GetNodesByClass("vtkMRMLSegmentationNode") if is_shell(one)), None)


def _made(scene: Any) -> Any:
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName("Reference white matter")
    node.SetAttribute(_MARK, "1")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(2)
    return node
