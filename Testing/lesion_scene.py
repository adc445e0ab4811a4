"""A scene with lesions and the maps of pipelines, for tests of the review without its panel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSeparationLib.lesions.reading import Question
from ChiSepPreprocessLib.artifacts import Grid, Image, Map
from ChiSepPreprocessLib.scene.nodes import add_image, add_map, put_in_folder
from ChiSepPreprocessLib.scene.session import load_slicer
from ChiSepPreprocessLib.scene.volumes import ijk_to_ras, image_data

#: Double the voxel size along k, and an origin that is not 0.
GRID = Grid((40, 32, 20), np.array([[1, 0, 0, -20], [0, 1, 0, -10], [0, 0, 2, 5], [0, 0, 0, 1.0]]))

#: Boxes of the lesions, by label.
BOXES = {
    1: (slice(4, 10), slice(4, 8), slice(3, 6)),
    2: (slice(16, 20), slice(14, 18), slice(8, 11)),
    12: (slice(30, 34), slice(24, 28), slice(13, 16)),
}

#: Signs that Slicer's files and URLs use, a line break, and letters beyond Latin.
AWKWARD = 'a|b:c;d%20\n"é漢字 ק" <&>'


def lesions(boxes: Mapping[int, tuple[slice, ...]] = BOXES, grid: Grid = GRID) -> Map:
    """Label map with a box for each lesion."""
    data = np.zeros(grid.shape, dtype=np.int32)
    for label, box in boxes.items():
        data[box] = label
    return Map(name="lesions", data=data, grid=grid)


def question(lesion_id: str = "Lesion_2", **changes: Any) -> Question:
    """A question to reader A about a lesion on the first pipeline's map."""
    return Question(lesion_id, "chi_para", "medi", "A")._replace(**changes)


def add_results(scene: Any, *methods: str, grid: Grid = GRID) -> dict[str, dict[str, Any]]:
    """Maps of each method in a folder of their own, with FLAIR and masks; lesion 2 is 0.03 ppm brighter."""
    random, brain = np.random.default_rng(1), np.zeros(grid.shape, dtype=bool)
    brain[1:-1, 1:-1, 1:-1] = True
    add_image(scene, "flair", Image(random.random(grid.shape, dtype=np.float32), grid))
    for name in ("brain_mask", "field_mask"):
        add_map(scene, Map(name=name, data=brain, grid=grid))
    made: dict[str, dict[str, Any]] = {}
    for method in methods:
        for name in ("chi_para", "chi_dia", "chi_total"):
            data = random.normal(0.02, 0.002, grid.shape).astype(np.float32).clip(0)
            data[BOXES[2]] += 0.03
            node = add_map(scene, Map(name=name, data=data, grid=grid, method=method))
            put_in_folder(scene, node, f"χ maps ({method})")
            made.setdefault(method, {})[name] = node
    return made


def paint(node: Any, segment_id: str, mask: NDArray[np.bool_], grid: Grid = GRID) -> None:
    """Let a segment be a mask and nothing else, in a layer of its own."""
    slicer = load_slicer()
    layer = slicer.vtkOrientedImageData()
    layer.DeepCopy(image_data(mask))
    layer.SetGeometryFromImageToWorldMatrix(ijk_to_ras(grid))
    binary = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segment = node.GetSegmentation().GetSegment(segment_id)
    segment.RemoveRepresentation(binary)
    segment.SetLabelValue(1)
    segment.AddRepresentation(binary, layer)
    node.GetSegmentation().InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, segment_id)


def add_segment(node: Any, mask: NDArray[np.bool_], name: str = "Segment", grid: Grid = GRID) -> str:
    """Add a segment as the Segment Editor does, with an ID of Slicer's own making."""
    slicer = load_slicer()
    segment = slicer.vtkSegment()
    segment.SetName(name)
    node.GetSegmentation().AddSegment(segment)
    segment_id: str = node.GetSegmentation().GetSegmentIdBySegment(segment)
    paint(node, segment_id, mask, grid)
    return segment_id


def mask_of(*boxes: tuple[slice, ...], grid: Grid = GRID) -> NDArray[np.bool_]:
    """Mask of boxes."""
    mask = np.zeros(grid.shape, dtype=bool)
    for box in boxes:
        mask[box] = True
    return mask
