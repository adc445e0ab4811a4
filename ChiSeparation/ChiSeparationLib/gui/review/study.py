"""The session's lesions as reports and exports want them. Needs no Qt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.geometry.resampling import resample
from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node

from ...lesions.identities import label_of
from ...lesions.reading import Reading
from ...report.lesion_study import LesionStudy, labels_in
from ...scene.pipelines import map_set

#: Node and parameter in which the tab Maps keeps where its images lie.
_IMAGES = ("ChiSeparation", "gre")


def study_of(session: Any, patient: str) -> LesionStudy:
    """Gather what is known of the lesions; measures are computed where they are not yet.

    Parameters
    ----------
    session : ReviewSession
        Of the lesions.
    patient : str
        Pseudonym that the user gave, or empty.

    Returns
    -------
    LesionStudy
        With the pipelines whose maps lie on the grid of the first one's.

    Raises
    ------
    InputError
        If there are no maps, or they cannot be measured.
    """
    maps = {name: map_set(session.volumes(name)) for name in session.pipelines}
    grid = next(iter(maps.values())).grid
    maps = {name: one for name, one in maps.items() if one.grid.matches(grid)}
    lesions = session.segments.on_grid(grid)
    return LesionStudy(
        maps=maps,
        lesions=lesions,
        tables={name: session.suggestions(name) for name in maps},
        reading=_present(replace(session.reading, patient=patient), set(labels_in(lesions.data))),
        images=_flair(session.volumes(next(iter(maps))).get("flair"), grid),
        provenance={"methods": ", ".join(maps)},
    )


def _present(reading: Reading, labels: set[int]) -> Reading:
    """The reading on lesions that have a voxel of the maps."""
    lesions = tuple(one for one in reading.lesions if label_of(one.lesion_id) in labels)
    ids = {one.lesion_id for one in lesions}
    judgements = {question: one for question, one in reading.judgements.items() if question.lesion_id in ids}
    return replace(reading, lesions=lesions, judgements=judgements)


def _flair(node: Any, grid: Grid) -> dict[str, Array]:
    if node is None:
        return {}
    data, own = array_from_node(node).astype(np.float32), grid_from_node(node)
    return {"flair": data if own.matches(grid) else resample(data, own, grid)}


def images_path(scene: Any) -> Path | None:
    """Where the images lie that the tab Maps was given, if they are still there."""
    module, parameter = _IMAGES
    node = scene.GetSingletonNode(module, "vtkMRMLScriptedModuleNode")
    text = node.GetParameter(parameter) if node is not None else ""
    return Path(text) if text and Path(text).exists() else None
