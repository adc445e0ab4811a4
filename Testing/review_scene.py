"""What the tests of the tab "Lesions" share: a head with lesions, and the maps of two methods."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSeparationLib.scene.lesion_segments import add_lesion_segments
from ChiSepPreprocessLib.artifacts import Image, Map
from ChiSepPreprocessLib.scene.nodes import add_image, add_map, put_in_folder
from ChiSepPreprocessLib.scene.volumes import ijk_to_ras, image_data
from home_scene import GRID, head, maps

if TYPE_CHECKING:
    from host.running import Host

#: First voxels of lesions of 2 × 2 × 2 voxels (512 mm³), all in the head but the last.
PLACES = ((12, 16, 14), (20, 16, 14), (12, 26, 16), (20, 26, 16), (16, 20, 22), (33, 40, 33))
METHODS = ("closed-form", "chi-sep-medi")


def lesion_labels(places: tuple[tuple[int, int, int], ...] = PLACES) -> Any:
    """Label map of lesions, 1, 2, ..."""
    labels = np.zeros(GRID.shape, np.int16)
    for number, (i, j, k) in enumerate(places, start=1):
        labels[i : i + 2, j : j + 2, k : k + 2] = number
    return labels


def add_lesions(scene: Any, places: tuple[tuple[int, int, int], ...] = PLACES) -> Any:
    """Add lesions to a scene as a segmentation."""
    return add_lesion_segments(scene, Map(name="lesions", data=lesion_labels(places), grid=GRID))


def add_methods(scene: Any, methods: tuple[str, ...] = METHODS) -> dict[str, dict[str, Any]]:
    """Add the mask, FLAIR and the χ maps of methods, in which lesions are brighter than white matter."""
    contrast = 0.02 * (lesion_labels() > 0)
    add_image(scene, "flair", Image(head().astype(np.float32), GRID))
    nodes: dict[str, dict[str, Any]] = {}
    for one in maps():
        if not one.name.startswith("chi"):
            add_map(scene, one)
            continue
        for method in methods:
            brighter = replace(one, method=method, data=(one.data + contrast).astype(np.float32))
            nodes.setdefault(method, {})[one.name] = add_map(scene, brighter)
            put_in_folder(scene, nodes[method][one.name], method)
    return nodes


def open_tab(panel: Any, host: Host, reader: str = "AB") -> Any:
    """Choose the tab as the user does; gives its widgets once they are on the screen."""
    panel.ui.pageTabs.setCurrentIndex(1)
    host.wait_until(lambda: panel.review.panel.visible)
    panel.review.ui.readerLineEdit.text = reader
    return panel.review.ui


def cells(ui: Any, column: int) -> list[str]:
    """Texts of a column of the table."""
    return [ui.lesionTable.item(row, column).text() for row in range(ui.lesionTable.rowCount)]


def grade_of(panel: Any, lesion_id: str, map_name: str) -> Any:
    """Grade that the shown reader gave in the shown method's maps."""
    desk = panel.review.desk
    question = desk.question(type(desk.case)(lesion_id, desk.pipeline), map_name)
    return desk.session.reading.grade(question)


def set_segment(node: Any, segment_id: str, mask: Any) -> None:
    """Paint a segment anew, as an effect of the Segment Editor does."""
    import slicer

    layer = slicer.vtkOrientedImageData()
    layer.DeepCopy(image_data(mask.astype(np.uint8)))
    layer.SetGeometryFromImageToWorldMatrix(ijk_to_ras(GRID))
    assert slicer.vtkSlicerSegmentationsModuleLogic.SetBinaryLabelmapToSegment(layer, node, segment_id)
