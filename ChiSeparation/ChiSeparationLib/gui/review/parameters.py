"""What the tab "Lesions" remembers in the scene, in a node of its own; the grades are kept with their segmentation."""

from __future__ import annotations

from typing import Annotated, Any

import slicer
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from ...lesions.components import MINIMUM_VOLUME_MM3

#: Singleton tag and name of the node.
NODE = "ChiSeparationLesions"


@parameterNodeWrapper
class ReviewParameterNode:
    """Lesions and FLAIR, limits of search and import; reader, repeat and blinding; what views and panel show."""

    segmentation: slicer.vtkMRMLSegmentationNode
    flair: slicer.vtkMRMLScalarVolumeNode
    minimumVolume: Annotated[float, WithinRange(0.0, 1000.0)] = MINIMUM_VOLUME_MM3
    importThreshold: Annotated[float, WithinRange(0.0, 0.99)] = 0.0
    reader: str
    repeat: Annotated[int, WithinRange(1, 99)] = 1
    blinded: bool
    seed: Annotated[int, WithinRange(0, 999_999)] = 1
    pipeline: str
    otherPipeline: str
    outlines: bool = True
    reference: bool
    advance: bool
    suggestion: bool
    patient: str


def review_node(scene: Any) -> Any:
    """Give the scene's one node with these parameters; it is made if need be."""
    node = scene.GetSingletonNode(NODE, "vtkMRMLScriptedModuleNode")
    if node is None:
        node = scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)  # the scene holds the only reference
        node.SetSingletonTag(NODE)
        node.SetName(NODE)
        node = scene.AddNode(node)
    node.SetAttribute("ModuleName", "ChiSeparation")
    return node
