"""Segments and lesions: who is who, where, and the label map of all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSeparationLib.scene.lesion_segments import (
    add_lesion_segments,
    add_lesions_of_segment,
    box_corners_ras,
    find_lesions,
    lesion_map,
    lesion_nodes,
)
from ChiSeparationLib.scene.segment_labels import read_labels
from ChiSeparationLib.scene.segment_tags import LESION, tag
from ChiSeparationLib.scene.terminology import register_list
from ChiSepPreprocessLib.artifacts import Grid, Image, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.nodes import add_image
from ChiSepPreprocessLib.scene.session import load_slicer
from lesion_scene import BOXES, GRID, add_segment, lesions, mask_of, paint

LIST = Path(__file__).parents[2] / "ChiSeparation/Resources/Terminologies/ChiSeparationLesions.term.json"


@pytest.fixture
def node(scene: Any) -> Any:
    return add_lesion_segments(scene, lesions())


def test_one_segment_for_each_lesion_with_its_measures(node: Any) -> None:
    found = find_lesions(node)
    assert [one.lesion_id for one in found.lesions] == ["Lesion_1", "Lesion_2", "Lesion_12"]
    assert [one.name for one in found.lesions] == ["Lesion 1", "Lesion 2", "Lesion 12"]
    assert [one.volume_mm3 for one in found.lesions] == [6 * 4 * 3 * 2, 4 * 4 * 3 * 2, 4 * 4 * 3 * 2]
    assert found.lesions[1].centroid_ras_mm == pytest.approx((-20 + 17.5, -10 + 15.5, 5 + 2 * 9))
    assert found.grid.shape == (30, 24, 13)  # from the first lesion to the last
    assert found.boxes["Lesion_12"] == (slice(26, 30), slice(20, 24), slice(10, 13))
    assert not found.warnings


def test_label_map_comes_back_on_left_and_right_handed_oblique_grids(scene: Any, maps: MapSet) -> None:
    node = add_lesion_segments(scene, maps["lesions"])
    back = lesion_map(node, maps.grid)
    assert np.array_equal(back.data, maps.array("lesions"))
    assert back.grid is maps.grid


def test_corners_of_a_lesion_are_those_of_its_voxels(node: Any) -> None:
    found = find_lesions(node)
    corners = box_corners_ras(found.boxes["Lesion_1"], found.grid)
    assert corners.min(axis=0) == pytest.approx((-16.5, -6.5, 10.0))
    assert corners.max(axis=0) == pytest.approx((-10.5, -2.5, 16.0))


def test_names_and_reference_image(scene: Any) -> None:
    volume = add_image(scene, "flair", Image(np.ones(GRID.shape, dtype=np.float32), GRID))
    node = add_lesion_segments(scene, lesions(), names={12: "left, 漢 | a:b"}, reference=volume)
    assert find_lesions(node).lesions[2].name == "left, 漢 | a:b"
    assert node.GetNodeReferenceID("referenceImageGeometryRef") == volume.GetID()


def test_identities_are_not_given_again(node: Any) -> None:
    segmentation = node.GetSegmentation()
    segmentation.RemoveSegment("Lesion_12")
    add_segment(node, mask_of(BOXES[12]))
    assert find_lesions(node).lesions[2].lesion_id == "Lesion_3"
    assert find_lesions(node, used_ids=["Lesion_12"]).lesions[2].lesion_id == "Lesion_13"


def test_a_copy_is_another_lesion(node: Any) -> None:
    segmentation, slicer = node.GetSegmentation(), load_slicer()
    copy = slicer.vtkSegment()
    copy.DeepCopy(segmentation.GetSegment("Lesion_2"))
    segmentation.AddSegment(copy)
    paint(node, segmentation.GetSegmentIdBySegment(copy), mask_of((slice(0, 2), slice(0, 2), slice(0, 2))))
    assert [one.lesion_id for one in find_lesions(node).lesions] == ["Lesion_1", "Lesion_2", "Lesion_12", "Lesion_13"]


def test_identity_stays_when_the_segment_id_is_another(node: Any) -> None:
    segmentation = node.GetSegmentation()
    segment = segmentation.GetSegment("Lesion_2")
    segmentation.RemoveSegment("Lesion_2")
    segmentation.AddSegment(segment, "S_x4")
    found = find_lesions(node)
    assert found.segment_ids == {"Lesion_1": "Lesion_1", "Lesion_12": "Lesion_12", "Lesion_2": "S_x4"}


@pytest.mark.parametrize("tag", ["", "Lesion_0", "Lesion_-3", "Läsion_7", "Lesion_x", "Lesion_1|2"])
def test_nonsense_in_the_tag_is_no_identity(node: Any, tag: str) -> None:
    segment_id = add_segment(node, mask_of((slice(0, 2), slice(0, 2), slice(0, 2))))
    node.GetSegmentation().GetSegment(segment_id).SetTag(LESION, tag)
    assert find_lesions(node).lesions[-1].lesion_id == "Lesion_13"


# Overlaps and grids


def test_overlaps_go_to_the_smaller_lesion_and_are_told(node: Any) -> None:
    small = (slice(5, 7), slice(5, 7), slice(3, 5))
    large = (slice(0, 16), slice(0, 16), slice(0, 8))
    for name, box in (("small", small), ("large | 大", large)):
        add_segment(node, mask_of(box), name)
    found = find_lesions(node)
    sizes = {one.lesion_id: round(one.volume_mm3 / 2) for one in found.lesions}
    assert sizes == {"Lesion_1": 72 - 8, "Lesion_2": 48, "Lesion_12": 48, "Lesion_13": 8, "Lesion_14": 2048 - 72}
    (warning,) = found.warnings
    assert "overlap in 72 voxels" in warning
    assert "'Lesion 1' and 'small'" in warning
    assert "'Lesion 1' and 'large | 大'" in warning
    assert found.on_grid(GRID).warnings == found.warnings


def test_many_overlaps_make_one_sentence(node: Any) -> None:
    for _ in range(7):
        add_segment(node, mask_of(BOXES[1]))
    (warning,) = find_lesions(node).warnings
    assert warning.startswith("Segments overlap in 72 voxels")
    assert warning.endswith("and 2 more pairs.")
    assert len(warning) < 250


def test_segments_that_vanish_in_the_maps_are_named(scene: Any) -> None:
    node = add_lesion_segments(scene, lesions({1: BOXES[1], 2: (slice(20, 21),) * 2 + (slice(9, 10),)}))
    coarse = Grid((13, 10, 6), GRID.affine @ np.diag([3.0, 3.0, 3.0, 1.0]))
    one = lesion_map(node, coarse)
    assert np.argwhere(one.data).tolist() == [[2, 2, 1], [3, 2, 1]]
    assert one.warnings == ("No voxel of the maps lies in: Lesion_2.",)


def test_maps_with_flipped_and_finer_voxels_get_the_lesions_where_they_are(node: Any) -> None:
    flipped = GRID.affine @ np.diag([1.0, 1.0, -1.0, 1.0])
    flipped[:3, 3] = (GRID.affine @ [0, 0, GRID.shape[2] - 1, 1])[:3]
    assert np.array_equal(lesion_map(node, Grid(GRID.shape, flipped)).data[:, :, ::-1], lesions().data)
    fine = GRID.affine @ np.diag([1.0, 1.0, 0.5, 1.0])
    fine[:3, 3] -= GRID.affine[:3, 2] / 4
    doubled = lesion_map(node, Grid((40, 32, 40), fine)).data
    assert np.array_equal(doubled, np.repeat(lesions().data, 2, axis=2))


def test_layers_cut_to_their_segments_and_beyond_the_first_grid(node: Any) -> None:
    shifted = GRID.affine.copy()
    shifted[:3, 3] = (GRID.affine @ [-6, 10, -2, 1])[:3]
    segment_id = add_segment(node, mask_of(BOXES[1]))
    paint(node, segment_id, np.ones((3, 2, 1), dtype=bool), Grid((3, 2, 1), shifted))
    found = read_labels(node)
    assert found.grid.shape == (40, 24, 18)
    assert np.argwhere(found.labels == 4).tolist() == [[i, 6 + j, 0] for i in range(3) for j in range(2)]
    assert np.array_equal(lesion_map(node, GRID).data, lesions().data)


def test_a_segment_on_finer_voxels_far_away_costs_no_other_lesion(node: Any) -> None:
    fine = GRID.affine @ np.diag([0.25, 0.25, 0.25, 1.0])
    fine[:3, 3] = (-15.0, 30.0, 50.0)
    segment_id = add_segment(node, mask_of(BOXES[1]))
    paint(node, segment_id, np.ones((24, 24, 24), dtype=bool), Grid((24, 24, 24), fine))
    found = find_lesions(node)
    assert found.grid.voxel_size_mm == pytest.approx(GRID.voxel_size_mm)
    volumes = [one.volume_mm3 for one in found.lesions]
    assert volumes[:3] == pytest.approx([144.0, 96.0, 96.0])
    assert volumes[3] == pytest.approx(6 * 6 * 12, rel=0.2)
    assert found.lesions[3].centroid_ras_mm == pytest.approx((-12.1, 32.9, 55.8), abs=0.5)


# One segment, none, and what cannot be read


def test_connected_parts_of_one_segment(scene: Any) -> None:
    mask = Map(name="lesions", data=(lesions().data > 0).astype(np.int32), grid=GRID)
    mask.data[0, 0, 0] = 1
    node = add_lesion_segments(scene, mask)
    parts, labelled = add_lesions_of_segment(scene, node, "Lesion_1", folder_name="Lesions")
    assert [one.volume_mm3 for one in find_lesions(parts).lesions] == [144.0, 96.0, 96.0]
    assert [one.volume_mm3 for one in labelled.dropped] == [2.0]
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    with pytest.raises(InputError, match="ID of one of its segments"):
        add_lesions_of_segment(scene, node, "Lesion_7")


def test_no_lesions_is_a_normal_result(scene: Any) -> None:
    node = add_lesion_segments(scene, lesions({}))
    found = find_lesions(node)
    assert found.lesions == ()
    assert not found.on_grid(GRID).data.any()
    assert lesion_nodes(scene) == (node,)


def test_segments_without_voxels_are_no_lesions(node: Any) -> None:
    node.GetSegmentation().AddEmptySegment("", "empty")
    paint(node, "Lesion_2", np.zeros(GRID.shape, dtype=bool))
    assert [one.lesion_id for one in find_lesions(node).lesions] == ["Lesion_1", "Lesion_12"]


def test_what_cannot_be_read_is_refused(scene: Any, node: Any) -> None:
    with pytest.raises(InputError, match="none"):
        find_lesions(None)
    with pytest.raises(InputError, match="vtkMRMLModelNode"):
        find_lesions(scene.AddNewNodeByClass("vtkMRMLModelNode"))
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="Harden"):
        find_lesions(node)


def test_surfaces_alone_are_refused(scene: Any) -> None:
    node, slicer = scene.AddNewNodeByClass("vtkMRMLSegmentationNode"), load_slicer()
    segment = slicer.vtkSegment()
    from vtkmodules.vtkFiltersSources import vtkSphereSource

    source = vtkSphereSource()
    source.Update()
    surface = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
    segment.AddRepresentation(surface, source.GetOutput())
    node.GetSegmentation().SetSourceRepresentationName(surface)
    node.GetSegmentation().AddSegment(segment, "Lesion_1")
    with pytest.raises(InputError, match="binary label map"):
        find_lesions(node)


def test_lesion_nodes_are_those_with_lesions(scene: Any, node: Any) -> None:
    other = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    other.GetSegmentation().AddEmptySegment("Thalamus")
    assert lesion_nodes(scene) == (node,)


# Terminology


def test_lesions_are_called_so_in_the_modules_own_list(scene: Any, node: Any) -> None:
    segment, slicer = node.GetSegmentation().GetSegment("Lesion_2"), load_slicer()
    entry = slicer.vtkSlicerTerminologyEntry()
    text = tag(segment, segment.GetTerminologyEntryTagName())
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(text, entry)
    content = json.loads(LIST.read_text(encoding="utf-8"))
    category = content["SegmentationCodes"]["Category"][0]
    assert entry.GetTerminologyContextName() == content["SegmentationCategoryTypeContextName"]
    for code, row in ((entry.GetCategoryObject(), category), (entry.GetTypeObject(), category["Type"][0])):
        given = (code.GetCodingSchemeDesignator(), code.GetCodeValue(), code.GetCodeMeaning())
        assert given == (row["CodingSchemeDesignator"], row["CodeValue"], row["CodeMeaning"])
    assert entry.GetRegionObject().GetCodeMeaning() == "Brain"


def test_the_list_needs_slicers_module(scene: Any) -> None:
    assert not register_list(scene, LIST)


def test_three_hundred_lesions(scene: Any) -> None:
    grid = Grid((70, 60, 50), np.eye(4))
    data = np.zeros(grid.shape, dtype=np.int32)
    corners = [(i, j, k) for i in range(1, 68, 7) for j in range(1, 58, 7) for k in range(1, 48, 10)][:300]
    for label, (i, j, k) in enumerate(corners, start=1):
        data[i : i + 3, j : j + 3, k : k + 3] = label
    node = add_lesion_segments(scene, Map(name="lesions", data=data, grid=grid))
    found = find_lesions(node)
    assert len(found.lesions) == len(corners) == 300
    assert np.array_equal(found.on_grid(grid).data, data)
