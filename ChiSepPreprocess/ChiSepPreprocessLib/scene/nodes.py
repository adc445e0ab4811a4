"""Artifacts to MRML nodes and back.

Reals become scalar volumes, masks label map volumes, lesions segments.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..artifacts import ARTIFACTS, Array, ArtifactSpec, Image, Kind, Map, MapSet
from ..errors import InputError
from ..files import as_json_value
from .colors import CATEGORICAL, MASK, MASK_COLOR, SIZE, color_table
from .session import load_slicer
from .volumes import array_from_node, as_made, grid_from_node, handedness, ijk_to_ras, image_data, volume_node
from .windows import GREY, WindowPreset, preset, presets

if TYPE_CHECKING:
    import slicer

#: Attributes of nodes that hold an artifact.
ARTIFACT, UNIT, METHOD, OPTIONS, WARNINGS, VERSION, HANDEDNESS = (
    f"ChiSeparation.{key}" for key in ("Artifact", "Unit", "Method", "Options", "Warnings", "Version", "Handedness")
)

#: Tag of a lesion's segment: the label that it has in the label image.
LABEL_TAG = "ChiSeparation.Label"

#: Terminology of a lesion's segment in Slicer's notation; Slicer's own lists have no lesion, the extension's has one.
_TERMINOLOGY = (
    "ChiSeparation lesions~SCT^49755003^Morphologically Abnormal Structure~SCT^52988006^Lesion~^^"
    "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
)

#: Unified Code for Units of Measure (UCUM) of the project's units.
_UCUM = {"ppm": "[ppm]", "1/s": "/s", "rad": "rad", "a.u.": "1", "bool": "1", "label": "1"}


def add_maps(
    scene: slicer.vtkMRMLScene, maps: MapSet, *, folder_name: str, extra_images: Mapping[str, Image] | None = None
) -> dict[str, Any]:
    """Add every map as a volume node with its colours, window, unit and history, in one folder.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    maps : MapSet
        Real maps and masks, shape (I, J, K); ``lesions`` are for :func:`add_lesions` and are left out here.
    folder_name : str
        Folder in the subject hierarchy, made if it is not there.
    extra_images : mapping of str to Image, optional
        Grey images by node name, such as one echo of the magnitude or FLAIR.

    Returns
    -------
    dict of str to vtkMRMLVolumeNode
        The nodes by artifact and image name.

    Raises
    ------
    InputError
        If an artifact has an echo axis, or an image has the name of one of the maps.
    """
    images = dict(extra_images or {})
    taken = sorted(set(images) & set(maps))
    if taken:
        raise InputError("names of extra images", ", ".join(taken), "names that no map has")
    nodes = {name: add_map(scene, one) for name, one in maps.items() if one.spec.kind is not Kind.LABEL}
    nodes |= {name: add_image(scene, name, image) for name, image in images.items()}
    for node in nodes.values():
        put_in_folder(scene, node, folder_name)
    return nodes


def add_map(scene: slicer.vtkMRMLScene, one: Map) -> Any:
    """Add one real map or mask as a node.

    Raises
    ------
    InputError
        If the map has an echo axis.
    """
    if one.data.ndim != 3:
        raise InputError(f"{one.name} as a volume node", f"shape {one.data.shape}", "one volume (I, J, K)",
                         "Hand over one echo as an extra image.")  # fmt: skip
    is_real = one.spec.kind is Kind.REAL
    node = volume_node(scene, one.name, one.data, one.grid, "Scalar" if is_real else "LabelMap")
    describe(node, one)
    set_unit(node, one.spec)
    if one.spec.kind is Kind.MASK:
        node.GetDisplayNode().SetAndObserveColorNodeID(color_node(scene, MASK).GetID())
    elif presets(one.name):
        apply_window(node, preset(one.name))
    return node


def add_image(scene: slicer.vtkMRMLScene, name: str, image: Image) -> Any:
    """Add a grey image without fixed unit; its window is the 0.5th to the 99.5th percentile."""
    node = volume_node(scene, name, image.data, image.grid, "Scalar")
    show_grey(node)
    return node


def show_grey(node: Any) -> None:
    """Show a volume node in grey from the 0.5th to the 99.5th percentile of its voxels."""
    low, high = np.percentile(array_from_node(node), [0.5, 99.5])
    _set_display(node, color_node(node.GetScene(), GREY), float(low), float(high if high > low else low + 1.0))


def apply_window(node: Any, window: WindowPreset) -> None:
    """Show a map node with a preset's range and colours; the colour table is made if the scene lost it."""
    _set_display(node, color_node(node.GetScene(), window.color_table), window.minimum, window.maximum)


def color_node(scene: slicer.vtkMRMLScene, name: str) -> Any:
    """Colour table node of a name of :mod:`.colors`, made on demand because clearing a scene removes it.

    Raises
    ------
    InputError
        If there is no table of that name.
    """
    if name == GREY:
        return scene.GetNodeByID("vtkMRMLColorTableNodeGrey")
    node = scene.GetFirstNode(name, "vtkMRMLColorTableNode")
    if node is not None:
        return node
    if name == MASK:
        return _make_table(
            scene, name, ["outside", "inside"], np.array([(0.0, 0.0, 0.0), MASK_COLOR]), np.array([0, 1])
        )
    return _make_table(scene, name, [str(index) for index in range(SIZE)], color_table(name), np.ones(SIZE))


def map_from_node(node: Any) -> Map:
    """Map held by a node of :func:`add_maps`: the same voxels and history, on the node's grid.

    Raises
    ------
    InputError
        If the node holds no artifact of the project, no image, or stands under a transform.
    """
    name, unit = node.GetAttribute(ARTIFACT), node.GetAttribute(UNIT)
    if name not in ARTIFACTS:
        raise InputError(f"node '{node.GetName()}'", f"artifact {name}", f"one of {', '.join(ARTIFACTS)}",
                         "Choose a volume that this extension made.")  # fmt: skip
    if unit != ARTIFACTS[name].unit:
        raise InputError(f"unit of node '{node.GetName()}'", unit, ARTIFACTS[name].unit)
    data, grid = as_made(array_from_node(node), grid_from_node(node), node.GetAttribute(HANDEDNESS))
    return Map(
        name=name,
        data=data > 0 if ARTIFACTS[name].kind is Kind.MASK else data,
        grid=grid,
        method=node.GetAttribute(METHOD) or "given",
        options=json.loads(node.GetAttribute(OPTIONS) or "{}"),
        warnings=tuple(json.loads(node.GetAttribute(WARNINGS) or "[]")),
    )


def add_lesions(
    scene: slicer.vtkMRMLScene,
    lesions: Map,
    grades: Mapping[int, Mapping[str, str]] | None = None,
    *,
    folder_name: str = "",
) -> Any:
    """Add a label image as a segmentation with one segment for each lesion.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    lesions : Map
        The artifact ``lesions``, shape (I, J, K), one positive integer for each lesion.
    grades : mapping of int to mapping of str to str, optional
        Tags by label. Slicer's files part tags by ``|`` and keys from values by ``:``, so values may not hold the
        first and keys neither.
    folder_name : str, optional
        Folder in the subject hierarchy.

    Returns
    -------
    vtkMRMLSegmentationNode
        Segments ``Lesion_1`` ... named "Lesion 1" ... after their labels.

    Raises
    ------
    InputError
        If the map is not ``lesions``, or grades name a label that is not there or hold a forbidden sign.
    """
    if lesions.spec.kind is not Kind.LABEL:
        raise InputError("lesions", f"the artifact {lesions.name}", "the artifact lesions")
    labels = [int(label) for label in np.unique(lesions.data) if label > 0]
    tags = _checked_tags(grades or {}, labels)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", lesions.name)
    node.CreateDefaultDisplayNodes()
    _show_outlines(node.GetDisplayNode())
    layer = _shared_layer(lesions, labels)
    for value, label in enumerate(labels, start=1):
        segment = _lesion_segment(layer, value, label, tags.get(label, {}))
        node.GetSegmentation().AddSegment(segment, f"Lesion_{label}")
    describe(node, lesions)
    if folder_name:
        put_in_folder(scene, node, folder_name)
    return node


def put_in_folder(scene: slicer.vtkMRMLScene, node: Any, folder_name: str) -> None:
    """Put a node into a folder of the subject hierarchy, making the folder and the node's item where needed."""
    hierarchy = load_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    top, none = hierarchy.GetSceneItemID(), hierarchy.GetInvalidItemID()
    folder = hierarchy.GetItemChildWithName(top, folder_name)
    if folder == none:
        folder = hierarchy.CreateFolderItem(top, folder_name)
    item = hierarchy.GetItemByDataNode(node)
    if item == none:
        hierarchy.CreateItem(folder, node)
    else:
        hierarchy.SetItemParent(item, folder)


def describe(node: Any, one: Map) -> None:
    """Write what a map is and how it came about into the attributes of a node."""
    attributes = {
        ARTIFACT: one.name,
        UNIT: one.spec.unit,
        METHOD: one.method,
        OPTIONS: json.dumps(dict(one.options), ensure_ascii=False, default=as_json_value),
        WARNINGS: json.dumps(list(one.warnings), ensure_ascii=False),
        VERSION: __version__,
        HANDEDNESS: handedness(one.grid),
    }
    for key, value in attributes.items():
        node.SetAttribute(key, value)


def set_unit(node: Any, spec: ArtifactSpec) -> None:
    """Tell Slicer the unit and quantity of a volume node's voxels, as codes."""
    if spec.kind is Kind.REAL:
        node.SetVoxelValueUnits(_coded_entry(_UCUM[spec.unit], "UCUM", spec.unit))
        node.SetVoxelValueQuantity(_coded_entry(spec.name, "99CHISEP", spec.meaning))


def _coded_entry(value: str, scheme: str, meaning: str) -> Any:
    entry = load_slicer().vtkCodedEntry()
    entry.SetValueSchemeMeaning(value, scheme, meaning)
    return entry


def _set_display(node: Any, colors: Any, minimum: float, maximum: float) -> None:
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colors.GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(minimum, maximum)


def _make_table(scene: Any, name: str, entries: list[str], colors: Array, opacities: Array) -> Any:
    node = load_slicer().vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetName(name)
    node.SetHideFromEditors(False)
    node.SetAttribute("Category", "Chi-separation")
    node.SetNumberOfColors(len(colors))
    for index, (entry, (red, green, blue), opacity) in enumerate(zip(entries, colors, opacities, strict=True)):
        node.SetColor(index, entry, red, green, blue, opacity)
    return scene.AddNode(node)


def _checked_tags(grades: Mapping[int, Mapping[str, str]], labels: list[int]) -> Mapping[int, Mapping[str, str]]:
    strangers = sorted(set(grades) - set(labels))
    if strangers:
        raise InputError("grades", f"labels {strangers}", "labels that the lesion map has")
    for label, tags in grades.items():
        for key, value in tags.items():
            if "|" in key + value or ":" in key or not key:
                raise InputError(f"grade of lesion {label}", f"{key!r}: {value!r}",
                                 "a key without ':' and '|' and a value without '|'")  # fmt: skip
    return grades


def _show_outlines(display: Any) -> None:
    """Lesions as outlines, so that the map inside them stays visible."""
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetSliceIntersectionThickness(3)


def _shared_layer(lesions: Map, labels: list[int]) -> Any:
    """All lesions in one image, their labels replaced by 1, 2, ... in order."""
    compact = np.searchsorted([0, *labels], lesions.data).astype(np.uint8 if len(labels) < 256 else np.int16)
    layer = load_slicer().vtkOrientedImageData()
    layer.DeepCopy(image_data(compact))
    layer.SetGeometryFromImageToWorldMatrix(ijk_to_ras(lesions.grid))
    return layer


def _lesion_segment(layer: Any, value: int, label: int, tags: Mapping[str, str]) -> Any:
    slicer = load_slicer()
    segment = slicer.vtkSegment()
    segment.SetName(f"Lesion {label}")
    segment.SetColor(*CATEGORICAL[(label - 1) % len(CATEGORICAL)])
    segment.SetLabelValue(value)
    binary = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segment.AddRepresentation(binary, layer)
    for key, text in {segment.GetTerminologyEntryTagName(): _TERMINOLOGY, LABEL_TAG: str(label), **tags}.items():
        segment.SetTag(key, text)
    return segment
