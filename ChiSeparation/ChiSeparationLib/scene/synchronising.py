"""Lesions and reading after edits of a segmentation in the scene."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..lesions.identities import Edits, follow_edits
from ..lesions.reading import Reading
from .lesion_edits import Ended, followed
from .lesion_segments import LesionSegments, gathered
from .segment_labels import on_grid, read_labels
from .segment_tags import identities


def followed_segments(
    node: Any, before: LesionSegments, reading: Reading, ended: Ended, used_ids: Iterable[str]
) -> tuple[Edits, Reading, LesionSegments]:
    """Follow edits since ``before``.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        As it is now.
    before : LesionSegments
        As it was.
    reading : Reading
        As it was.
    ended : Ended
        Lesions that had ended.
    used_ids : iterable of str
        Identities that must not be given again.

    Returns
    -------
    edits : Edits
        What became of the lesions.
    reading : Reading
        With the lesions and judgements that are there now.
    segments : LesionSegments
        As it is now.

    Raises
    ------
    InputError
        If the voxels cannot be read.
    """
    found = read_labels(node)
    positions = {segment_id: position for position, segment_id in enumerate(found.segment_ids, start=1)}
    edits = follow_edits(
        on_grid(before.labels, before.grid, found.grid), found.labels, before.lesions, grid=found.grid,
        used_ids=used_ids,
    )  # fmt: skip
    claims = {positions[segment_id]: identity for segment_id, identity in identities(node).items()}
    after = followed(edits, reading, claims, ended)
    segments = gathered(node, found, {one: after.lesions.get(position) for one, position in positions.items()})
    return edits, after.reading, segments
