"""What is computed from lesions and maps of a scene, when it is asked for, and kept until something changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Grid, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import Mask, erode_mm
from ChiSepPreprocessLib.scene.nodes import map_from_node

from ..lesions.components import LabelledLesions
from ..lesions.identities import label_of, lesion_id_of
from ..lesions.regions import RegionOptions, find_regions
from .lesion_segments import LesionSegments
from .pipelines import map_grid, map_set

if TYPE_CHECKING:
    from ..lesions.table import LesionTable

#: Masks that hold tissue, and those that hold none.
_TISSUE, _NO_TISSUE = ("brain_mask", "field_mask"), ("csf_mask", "vessel_mask_para", "vessel_mask_dia")


@dataclass(eq=False)
class _Known:
    """What is kept for a pipeline; the parts are found when they are wanted."""

    state: Any
    lesions: LabelledLesions
    boxes: list[tuple[slice, ...] | None]
    table: LesionTable | None = None
    tissue: Mask | None = None


class Suggestions:
    """Tables and reference regions by pipeline."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def forget(self) -> None:
        """Lesions have changed."""
        self._known.clear()

    def table(self, pipeline: str, volumes: Mapping[str, Any], segments: LesionSegments) -> LesionTable:
        """Measures and suggestions of all lesions in the maps of a pipeline.

        Raises
        ------
        InputError
            If its maps cannot be measured.
        """
        from ..lesions.run_grading import grade_run

        known = self._of(pipeline, volumes, segments)
        if known.table is None:
            names = {label_of(one.lesion_id): one.name for one in segments.lesions}
            known.table = grade_run(map_set(volumes), known.lesions, names=names)
        return known.table

    def shell(
        self, pipeline: str, volumes: Mapping[str, Any], segments: LesionSegments, lesion_id: str
    ) -> tuple[Mask, Grid]:
        """White matter that a lesion is compared with: a mask in a box of the maps, and the box as a grid.

        Without vessels of either map, CSF and what lies outside brain and field, as far as masks of them are there.

        Raises
        ------
        InputError
            If the maps cannot be measured, or no voxel of theirs lies in the lesion.
        """
        known = self._of(pipeline, volumes, segments)
        if known.tissue is None:
            known.tissue = _tissue(map_set(volumes), known.lesions)
        return _shell(known, known.tissue, label_of(lesion_id))

    def _of(self, pipeline: str, volumes: Mapping[str, Any], segments: LesionSegments) -> _Known:
        from scipy import ndimage

        state = tuple((name, node.GetID(), node.GetImageData().GetMTime()) for name, node in sorted(volumes.items()))
        known = self._known.get(pipeline)
        if known is None or known.state != state:
            lesions = segments.on_grid(map_grid(volumes))
            labelled = LabelledLesions(lesions, (), (), np.zeros(lesions.grid.shape, dtype=bool))
            known = self._known[pipeline] = _Known(state, labelled, ndimage.find_objects(lesions.data))
        return known


def places(volumes: Mapping[str, Any], segments: LesionSegments) -> dict[str, str]:
    """Anatomical names of the lesions' places by identity; none without a mask of a whole brain.

    Raises
    ------
    InputError
        If a mask cannot be used.
    """
    from ..lesions.naming import name_places

    if volumes.get("brain_mask") is None:
        return {}
    brain, csf = map_from_node(volumes["brain_mask"]), volumes.get("csf_mask")
    fluid = map_from_node(csf).data if csf is not None else None
    found = name_places(segments.on_grid(brain.grid).data, brain.grid, brain.data, fluid)
    return {lesion_id_of(label): place for label, place in found.items()}


def _tissue(maps: MapSet, lesions: LabelledLesions) -> Mask:
    """Where maps are valid and a lesion's reference may lie, as in :mod:`..lesions.grading`."""
    from ..lesions.run_grading import white_matter_of

    tissue = np.logical_and.reduce(
        [np.ones(maps.grid.shape, dtype=bool), *(maps.array(n) for n in _TISSUE if n in maps)]
    )
    white = white_matter_of(maps, lesions)
    if white is not None:
        around = white.mask | (lesions.lesions.data > 0)
        tissue &= white.mask & erode_mm(around, RegionOptions().white_matter_margin_mm, maps.grid.voxel_size_mm)
    for name in _NO_TISSUE:
        tissue &= ~maps.array(name) if name in maps else True
    return tissue


def _shell(known: _Known, tissue: Mask, label: int) -> tuple[Mask, Grid]:
    # Only what is near the lesion is looked at, for the whole map takes seconds.
    options, labels, grid = RegionOptions(), known.lesions.lesions.data, known.lesions.lesions.grid
    tight = known.boxes[label - 1] if label <= len(known.boxes) else None
    if tight is None:
        raise InputError(f"lesion {label}", "no voxel of the maps in it", "a lesion that the maps cover")
    reach = np.ceil((options.shell_reach_mm + 2 * options.shell_gap_mm) / np.array(grid.voxel_size_mm)).astype(int) + 1
    low = np.maximum([one.start for one in tight] - reach, 0)
    high = np.minimum([one.stop for one in tight] + reach, grid.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    part = Grid(labels[box].shape, _moved(grid, low))
    region = next(one for one in find_regions(labels[box].astype(np.int64), part, options) if one.label == label)
    shell = region.shell & tissue[box][region.box]
    return shell, Grid(shell.shape, _moved(part, [one.start for one in region.box]))


def _moved(grid: Grid, start: Any) -> Any:
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.asarray(start, dtype=float)
    return affine
