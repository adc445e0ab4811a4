"""Named regions: names of colour tables and segments, voxels where they lie, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array, Grid, Image, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.labels import named_masks
from ChiSepPreprocessLib.scene.nodes import add_image, add_lesions
from ChiSepPreprocessLib.scene.session import load_slicer
from ChiSepPreprocessLib.scene.volumes import volume_node


def positions(mask: Array, grid: Grid) -> set[tuple[float, ...]]:
    """Where the voxels of a mask lie, RAS to 1 µm."""
    ras = np.argwhere(mask) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return {tuple(point) for point in np.round(ras, 3) + 0.0}


def label_map(scene: Any, maps: MapSet) -> Any:
    node = volume_node(scene, "nuclei", maps.array("lesions"), maps.grid, "LabelMap")
    table = load_slicer().vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetNumberOfColors(4)
    for index, name in enumerate(("background", "Putamen", "", "Caudate")):
        table.SetColor(index, name, 0.5, 0.5, 0.5, 1.0)
    node.GetDisplayNode().SetAndObserveColorNodeID(scene.AddNode(table).GetID())
    return node


def test_label_maps_give_the_names_of_their_colours(scene: Any, maps: MapSet) -> None:
    found = {name: (mask, grid) for name, mask, grid in named_masks(label_map(scene, maps))}
    assert list(found) == ["Putamen", "Caudate", "Label 40"]
    for label, (mask, grid) in zip((1, 3, 40), found.values(), strict=True):
        np.testing.assert_array_equal(mask, maps.array("lesions") == label)
        assert grid.matches(maps.grid, 1e-9)


def test_segments_lie_where_they_were_drawn(scene: Any, maps: MapSet) -> None:
    node = add_lesions(scene, maps["lesions"])
    found = list(named_masks(node))
    assert [name for name, _, _ in found] == ["Lesion 1", "Lesion 3", "Lesion 40"]
    for label, (_, mask, grid) in zip((1, 3, 40), found, strict=True):
        assert positions(mask, grid) == positions(maps.array("lesions") == label, maps.grid)


def test_segments_that_slicer_cut_to_their_extent_lie_there_too(scene: Any, maps: MapSet) -> None:
    node = add_lesions(scene, maps["lesions"])
    segmentation = node.GetSegmentation()
    segmentation.SeparateSegmentLabelmap("Lesion_3")
    segmentation.CollapseBinaryLabelmaps(True)
    image = segmentation.GetSegment("Lesion_3").GetRepresentation("Binary labelmap")
    assert image.GetExtent()[0] >= 0
    found = {name: (mask, grid) for name, mask, grid in named_masks(node)}
    assert positions(*found["Lesion 3"]) == positions(maps.array("lesions") == 3, maps.grid)


def test_empty_segments_are_left_out(scene: Any, maps: MapSet) -> None:
    node = add_lesions(scene, maps["lesions"])
    node.GetSegmentation().AddEmptySegment("nothing", "Nothing")
    assert [name for name, _, _ in named_masks(node)] == ["Lesion 1", "Lesion 3", "Lesion 40"]


def test_other_nodes_are_refused(scene: Any, maps: MapSet) -> None:
    image = add_image(scene, "image", Image(maps.array("chi_para"), maps.grid))
    for node in (image, None):
        with pytest.raises(InputError, match="a label map or a segmentation"):
            named_masks(node)


def test_regions_under_a_transform_are_refused(scene: Any, maps: MapSet) -> None:
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    for node in (label_map(scene, maps), add_lesions(scene, maps["lesions"])):
        node.SetAndObserveTransformNodeID(transform.GetID())
        with pytest.raises(InputError, match="a transform above it"):
            list(named_masks(node))
