"""Segmentation nodes and lesions: one segment for each lesion, its identity, and the label map of all.

- ``add_lesion_segments(scene, lesions, ...) -> node``: label map to segments.
- ``add_lesions_of_segment(scene, node, segment_id, ...) -> (node, LabelledLesions)``: connected parts of one segment.
- ``lesion_nodes(scene) -> tuple of nodes``: segmentations that hold lesions.
- ``find_lesions(node, ...) -> LesionSegments``: who the lesions are, where they lie; ``.lesions``, ``.segment_ids``.
- ``lesion_map(node, grid) -> Map``: the artifact ``lesions`` on the maps' grid, numbered by identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.nodes import ARTIFACT, add_lesions

from ..lesions.components import MINIMUM_VOLUME_MM3, LabelledLesions, label_mask
from ..lesions.identities import follow_edits, label_of, lesion_id_of
from ..lesions.reading import Lesion
from .reference_shell import is_shell
from .segment_labels import Labels, SegmentLabels, check_segmentation, on_grid, read_labels
from .segment_tags import identities, set_identity
from .terminology import set_entry

if TYPE_CHECKING:
    import slicer


@dataclass(frozen=True, eq=False, kw_only=True)
class LesionSegments:
    """Lesions of a segmentation, and where they lie.

    Parameters
    ----------
    lesions : tuple of Lesion
        In the order of the segments; segments without voxels are no lesions.
    segment_ids : mapping of str to str
        Segment ID by identity.
    labels : ndarray of int32, shape (I, J, K)
        Numbers of the identities, 0 outside.
    grid : Grid
        Of ``labels``, the segmentation's own.
    boxes : mapping of str to tuple of slice
        Part of ``labels`` that holds the lesion, by identity.
    warnings : tuple of str
        Which segments overlap.
    """

    lesions: tuple[Lesion, ...] = ()
    segment_ids: Mapping[str, str] = field(default_factory=dict)
    labels: Labels
    grid: Grid
    boxes: Mapping[str, tuple[slice, slice, slice]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def on_grid(self, grid: Grid) -> Map:
        """Artifact ``lesions`` on the grid of the maps, by nearest neighbours; the warnings name whom that loses."""
        labels = on_grid(self.labels, self.grid, grid)
        there = set(np.unique(labels).tolist())
        lost = [one.lesion_id for one in self.lesions if label_of(one.lesion_id) not in there]
        missing = (f"No voxel of the maps lies in: {', '.join(lost)}.",) if lost else ()
        return Map(name="lesions", data=labels, grid=grid, method="segmentation", warnings=(*self.warnings, *missing))


def lesion_nodes(scene: slicer.vtkMRMLScene) -> tuple[Any, ...]:
    """Segmentations that hold lesions, the newest last."""
    nodes = scene.GetNodesByClass("vtkMRMLSegmentationNode")
    return tuple(
        node for node in nodes if not is_shell(node) and (node.GetAttribute(ARTIFACT) == "lesions" or identities(node))
    )


def add_lesion_segments(
    scene: slicer.vtkMRMLScene, lesions: Map, *, names: Mapping[int, str] | None = None, reference: Any = None,
    folder_name: str = "",
) -> Any:  # fmt: skip
    """Add a label map as a segmentation with one segment for each lesion, each with its identity.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`ChiSepPreprocessLib.scene.session`.
    lesions : Map
        The artifact ``lesions``; lesion ``Lesion_12`` has the label 12.
    names : mapping of int to str, optional
        For people, by label; "Lesion 12" by default.
    reference : vtkMRMLScalarVolumeNode, optional
        Image that the lesions were drawn on, whose voxels the Segment Editor then uses.
    folder_name : str, optional
        Folder in the subject hierarchy.

    Returns
    -------
    vtkMRMLSegmentationNode
        Also without segments: a patient without lesions is a normal result.

    Raises
    ------
    InputError
        If the map is not ``lesions``.
    """
    node = add_lesions(scene, lesions, folder_name=folder_name)
    segmentation = node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        segment, name = segmentation.GetSegment(segment_id), (names or {}).get(label_of(segment_id))
        set_identity(segment, segment_id)
        if name:
            segment.SetName(name)
    set_entry(node)
    if reference is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    return node


def add_lesions_of_segment(
    scene: slicer.vtkMRMLScene, node: Any, segment_id: str, *, minimum_volume_mm3: float = MINIMUM_VOLUME_MM3,
    folder_name: str = "",
) -> tuple[Any, LabelledLesions]:  # fmt: skip
    """Add a segmentation of the connected parts (26 neighbours) of one segment, the largest first.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`ChiSepPreprocessLib.scene.session`.
    node : vtkMRMLSegmentationNode
        Holds the segment; it is left as it is.
    segment_id : str
        Lesions in one.
    minimum_volume_mm3 : float
        Lesions must exceed this volume, mm³.
    folder_name : str, optional
        Folder in the subject hierarchy.

    Returns
    -------
    node : vtkMRMLSegmentationNode
        One segment for each lesion.
    labelled : LabelledLesions
        The label map, and what is too small.

    Raises
    ------
    InputError
        If there is no such segment, or its voxels cannot be read.
    """
    check_segmentation(node)
    if segment_id not in node.GetSegmentation().GetSegmentIDs():
        raise InputError(f"segment of '{node.GetName()}'", segment_id, "the ID of one of its segments")
    found = read_labels(node)
    mask = found.numbered({segment_id: 1}) > 0
    labelled = label_mask(mask, found.grid, minimum_volume_mm3)
    return add_lesion_segments(scene, labelled.lesions, folder_name=folder_name), labelled


def find_lesions(node: Any, known: Iterable[Lesion] = (), used_ids: Iterable[str] = ()) -> LesionSegments:
    """Find the lesions of a segmentation: by the identities on its segments, new ones for segments without.

    Nothing is written; :meth:`.review_session.ReviewSession.synchronise` follows edits and writes identities.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        With a binary label map, or without segments.
    known : iterable of Lesion
        From an earlier reading; places and origins are taken from them.
    used_ids : iterable of str
        Identities that must not be given again.

    Raises
    ------
    InputError
        If the voxels cannot be read.
    """
    found, earlier = read_labels(node), {one.lesion_id: one for one in known}
    ids = complete_identities(node, [*earlier, *used_ids])
    labels = found.numbered({segment_id: label_of(one) for segment_id, one in ids.items()})
    lesions = {label_of(one): earlier.get(one, Lesion(lesion_id=one)) for one in ids.values()}
    measured = follow_edits(labels, labels, tuple(lesions.values()), grid=found.grid).lesions
    return gathered(node, found, {segment_id: measured.get(label_of(one)) for segment_id, one in ids.items()})


def complete_identities(node: Any, used_ids: Iterable[str] = ()) -> dict[str, str]:
    """Identity of every segment by segment ID; segments without get the next numbers that were never used."""
    ids = identities(node)
    highest = max((label_of(one) for one in (*ids.values(), *used_ids)), default=0)
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        if segment_id not in ids:
            highest += 1
            ids[segment_id] = lesion_id_of(highest)
    return ids


def gathered(node: Any, found: SegmentLabels, lesions: Mapping[str, Lesion | None]) -> LesionSegments:
    """Put together what was found of each segment, by segment ID; ``None`` for segments that are no lesion now."""
    segmentation = node.GetSegmentation()
    present = {
        segment_id: replace(one, name=segmentation.GetSegment(segment_id).GetName())
        for segment_id in found.segment_ids
        if (one := lesions.get(segment_id)) is not None
    }
    numbers = {segment_id: label_of(one.lesion_id) for segment_id, one in present.items()}
    return LesionSegments(
        lesions=tuple(present.values()),
        segment_ids={one.lesion_id: segment_id for segment_id, one in present.items()},
        labels=found.numbered(numbers),
        grid=found.grid,
        boxes=_boxes(found, {segment_id: one.lesion_id for segment_id, one in present.items()}),
        warnings=found.warnings,
    )


def with_names(node: Any, segments: LesionSegments) -> LesionSegments:
    """The same lesions with the names and in the order that the segments have now."""
    segmentation = node.GetSegmentation()
    order = {segment_id: position for position, segment_id in enumerate(segmentation.GetSegmentIDs())}
    named = (
        replace(one, name=segmentation.GetSegment(segments.segment_ids[one.lesion_id]).GetName())
        for one in segments.lesions
    )
    return replace(segments, lesions=tuple(sorted(named, key=lambda one: order[segments.segment_ids[one.lesion_id]])))


def _boxes(found: SegmentLabels, ids: Mapping[str, str]) -> dict[str, tuple[slice, slice, slice]]:
    from scipy import ndimage

    boxes = ndimage.find_objects(found.labels, max_label=len(found.segment_ids))
    return {ids[one]: box for one, box in zip(found.segment_ids, boxes, strict=True) if one in ids and box is not None}


def lesion_map(node: Any, grid: Grid) -> Map:
    """Artifact ``lesions`` of a segmentation on the maps' grid; lesion ``Lesion_12`` has the label 12.

    Raises
    ------
    InputError
        If the voxels cannot be read.
    """
    return find_lesions(node).on_grid(grid)


def box_corners_ras(box: tuple[slice, slice, slice], grid: Grid) -> NDArray[np.float64]:
    """Corners of the voxels of a box, RAS mm, shape (8, 3)."""
    low = np.array([part.start for part in box]) - 0.5
    high = np.array([part.stop for part in box]) - 0.5
    corners = np.array([np.where(sides, high, low) for sides in np.ndindex(2, 2, 2)])
    return corners @ grid.affine[:3, :3].T + grid.affine[:3, 3]
