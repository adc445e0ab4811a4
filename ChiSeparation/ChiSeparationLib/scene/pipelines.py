"""Results in the scene, by pipeline: the maps that one method made, with FLAIR and the masks that all share.

- ``find_pipelines(scene) -> {pipeline: {artifact: node}}``.
- ``map_set(volumes) -> MapSet``: the nodes of one pipeline for :func:`..lesions.grading.grade_lesions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.artifacts import Grid, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.nodes import ARTIFACT, METHOD, map_from_node
from ChiSepPreprocessLib.scene.session import load_slicer

if TYPE_CHECKING:
    import slicer

#: Attribute of a result's maps: the name that it is read by, which must not change when another result goes.
PIPELINE = "ChiSeparation.Pipeline"

#: Maps that a pipeline makes; it has at least one of the first two.
MADE = ("chi_para", "chi_dia", "chi_total")

#: What all pipelines of a scene share.
SHARED = (
    "flair", "r2star", "r2", "brain_mask", "field_mask", "csf_mask", "vessel_mask_para", "vessel_mask_dia",
)  # fmt: skip


def find_pipelines(scene: slicer.vtkMRMLScene) -> dict[str, dict[str, Any]]:
    """Find the results in a scene, by the method that made them.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`ChiSepPreprocessLib.scene.session`.

    Returns
    -------
    dict of str to dict of str to vtkMRMLVolumeNode
        For each pipeline with ``chi_para`` or ``chi_dia`` its maps, and of FLAIR, rates and masks the newest; in the
        order in which the results came. A second result of one method has its folder or a number behind its name.
    """
    shared: dict[str, Any] = {}
    results: dict[_Origin, dict[str, Any]] = {}
    for artifact, node in _artifacts(scene):
        if artifact in MADE:
            origin = _origin(scene, node)
            while artifact in results.get(origin, {}):
                origin = replace(origin, run=origin.run + 1)
            results.setdefault(origin, {})[artifact] = node
        elif artifact in SHARED:
            shared[artifact] = node
    graded = {origin: maps for origin, maps in results.items() if "chi_para" in maps or "chi_dia" in maps}
    return {name: {**shared, **graded[origin]} for origin, name in _names(graded).items()}


@dataclass(frozen=True)
class _Origin:
    """Where maps come from that belong together."""

    name: str
    method: str = ""
    folder: str = ""
    run: int = 1


def _origin(scene: Any, node: Any) -> _Origin:
    name = node.GetAttribute(PIPELINE)
    return _Origin(name) if name else _Origin("", node.GetAttribute(METHOD) or "given", _folder(scene, node))


def _names(origins: Iterable[_Origin]) -> dict[_Origin, str]:
    """A name for each, in their order; those that have one keep it."""
    names = {one: one.name for one in origins}
    for one in [one for one, name in names.items() if not name or one.run > 1]:
        method = one.name or one.method
        choices = [method, *([f"{method} ({one.folder})"] if one.folder else [])]
        numbered = (f"{choices[-1]} {number}" for number in count(2))
        names[one] = next(name for name in chain(choices, numbered) if name not in names.values())
    return names


def remember(pipelines: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the names of results on their maps, so that they are the same in every session."""
    for name, volumes in pipelines.items():
        for artifact, node in volumes.items():
            if artifact in MADE and node is not None and node.GetAttribute(PIPELINE) != name:
                node.SetAttribute(PIPELINE, name)


def map_grid(volumes: Mapping[str, Any]) -> Grid:
    """Grid of the maps of one pipeline.

    Raises
    ------
    InputError
        If there is no map.
    """
    node = next((volumes[name] for name in MADE if volumes.get(name) is not None), None)
    if node is None:
        raise InputError("maps to grade", ", ".join(volumes) or "none", f"at least one of {', '.join(MADE)}")
    return map_from_node(node).grid


def map_set(volumes: Mapping[str, Any]) -> MapSet:
    """Maps of one pipeline, from their nodes; FLAIR is left out.

    Raises
    ------
    InputError
        If there is none, a node is no map of this extension, or grids differ.
    """
    grid = map_grid(volumes)
    found = (map_from_node(node) for name, node in volumes.items() if name != "flair" and node is not None)
    by_name = {one.name: one for one in found}
    # Nodes do not keep the scan, and what looks at lesions needs none.
    return MapSet(grid, None, by_name)  # type: ignore[arg-type]


def _artifacts(scene: Any) -> Iterator[tuple[str, Any]]:
    for node in scene.GetNodesByClass("vtkMRMLVolumeNode"):
        name = node.GetAttribute(ARTIFACT) or ("flair" if _is_flair(node) else "")
        if name and node.GetImageData() is not None:
            yield name, node


def _is_flair(node: Any) -> bool:
    return "flair" in (node.GetName() or "").lower() and not node.IsA("vtkMRMLLabelMapVolumeNode")


def _folder(scene: Any, node: Any) -> str:
    """Name of the folder that a node lies in, empty at the top."""
    hierarchy = load_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node)
    parent = hierarchy.GetItemParent(item) if item != hierarchy.GetInvalidItemID() else hierarchy.GetSceneItemID()
    return "" if parent == hierarchy.GetSceneItemID() else str(hierarchy.GetItemName(parent))
