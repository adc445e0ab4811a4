"""Maps become nodes and come back with the same voxels, place and history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.artifacts import ARTIFACTS, Grid, Image, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.colors import CATEGORICAL, DIA, DIVERGING, MASK, PARA, SIZE, color_table
from ChiSepPreprocessLib.scene.nodes import (
    LABEL_TAG,
    add_image,
    add_lesions,
    add_map,
    add_maps,
    apply_window,
    color_node,
    map_from_node,
)
from ChiSepPreprocessLib.scene.volumes import array_from_node
from ChiSepPreprocessLib.scene.windows import preset

REAL_AND_MASK = ["chi_para", "chi_total", "r2star", "brain_mask"]


def tag(segment: Any, key: str) -> str:
    from vtkmodules.vtkCommonCore import reference

    text = reference("")
    assert segment.GetTag(key, text), key
    return str(text)


def ras_of(node: Any, ijk: tuple[int, int, int]) -> np.ndarray:
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix = vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array(matrix.MultiplyPoint([*map(float, ijk), 1.0])[:3])


def folder_of(scene: Any, node: Any) -> str:
    hierarchy = scene.GetSubjectHierarchyNode()
    return hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)))


@pytest.mark.parametrize("name", REAL_AND_MASK)
def test_maps_come_back_as_they_went(scene: Any, maps: MapSet, name: str) -> None:
    before, after = maps[name], map_from_node(add_map(scene, maps[name]))
    np.testing.assert_array_equal(after.data, before.data)
    assert after.data.dtype == before.data.dtype
    np.testing.assert_allclose(after.grid.affine, before.grid.affine, rtol=0.0, atol=1e-12)
    assert (after.name, after.method, after.options, after.warnings) == (
        before.name, before.method, before.options, before.warnings,
    )  # fmt: skip


def test_voxels_lie_where_slicer_looks_for_them(scene: Any, maps: MapSet) -> None:
    node = add_map(scene, maps["chi_total"])
    index = (9, 2, 12)
    value = node.GetImageData().GetScalarComponentAsDouble(*index, 0)
    assert value == maps.array("chi_total")[index]
    expected = maps.grid.affine @ [*index, 1.0]
    np.testing.assert_allclose(ras_of(node, index), expected[:3], rtol=0.0, atol=1e-12)


def test_slicers_own_view_of_the_voxels_is_kji(scene: Any, maps: MapSet) -> None:
    import slicer.util

    node = add_map(scene, maps["chi_para"])
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), maps.array("chi_para").transpose(2, 1, 0))


def test_nodes_do_not_share_memory_with_the_maps(scene: Any, maps: MapSet) -> None:
    node, before = add_map(scene, maps["chi_para"]), maps.array("chi_para").copy()
    array_from_node(node)[:] = -1.0
    np.testing.assert_array_equal(array_from_node(node), before)
    maps.array("chi_para")[:] = 0.5
    np.testing.assert_array_equal(array_from_node(node), before)
    column_major = np.asfortranarray(before)
    node = add_image(scene, "image", Image(column_major, maps.grid))
    column_major[:] = 0.5
    np.testing.assert_array_equal(array_from_node(node), before)


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        ("bool", "uint8"), ("float16", "float32"), ("float64", "float32"), ("int64", "int32"), ("uint16", "int32"),
        ("int16", "int16"), ("uint8", "uint8"),
    ],
)  # fmt: skip
def test_every_voxel_type_is_stored_as_one_that_slicer_keeps(scene: Any, maps: MapSet, dtype: str, stored: str) -> None:
    data = (np.arange(np.prod(maps.grid.shape)).reshape(maps.grid.shape) % 120).astype(dtype)
    back = array_from_node(add_image(scene, "image", Image(data, maps.grid)))
    assert back.dtype == stored
    np.testing.assert_array_equal(back, data.astype(stored))


def test_complex_images_are_refused(scene: Any, maps: MapSet) -> None:
    with pytest.raises(InputError, match="complex64"):
        add_image(scene, "image", Image(np.ones(maps.grid.shape, dtype=np.complex64), maps.grid))


def test_integers_that_no_node_keeps_are_refused(scene: Any, maps: MapSet) -> None:
    with pytest.raises(InputError, match="int64"):
        add_image(scene, "image", Image(np.full(maps.grid.shape, 2**40), maps.grid))


def test_fortran_ordered_and_sliced_arrays_keep_their_voxels(scene: Any, maps: MapSet) -> None:
    wide = np.zeros((22, 8, 26), dtype=np.float32)
    wide[::2, :, ::2] = maps.array("chi_para")
    for data in (np.asfortranarray(maps.array("chi_para")), wide[::2, :, ::2]):
        node = add_image(scene, "image", Image(data, maps.grid))
        np.testing.assert_array_equal(array_from_node(node), maps.array("chi_para"))


def test_nodes_carry_unit_quantity_and_history(scene: Any, maps: MapSet) -> None:
    node = add_map(scene, maps["chi_para"])
    assert node.GetName() == "chi_para"
    assert node.GetAttribute("ChiSeparation.Unit") == "ppm"
    assert node.GetAttribute("ChiSeparation.Method") == "closed form"
    assert node.GetAttribute("ChiSeparation.Version") == __version__
    assert node.GetVoxelValueUnits().GetCodeValue() == "[ppm]"
    assert node.GetVoxelValueUnits().GetCodingSchemeDesignator() == "UCUM"
    assert node.GetVoxelValueQuantity().GetCodeMeaning() == ARTIFACTS["chi_para"].meaning


@pytest.mark.parametrize(("name", "table"), [("chi_para", PARA), ("chi_total", DIVERGING), ("brain_mask", MASK)])
def test_nodes_are_shown_in_their_colors(scene: Any, maps: MapSet, name: str, table: str) -> None:
    display = add_map(scene, maps[name]).GetDisplayNode()
    assert display.GetColorNode().GetName() == table


def test_nodes_are_shown_in_their_window(scene: Any, maps: MapSet) -> None:
    node = add_map(scene, maps["chi_total"])
    display = node.GetDisplayNode()
    assert not display.GetAutoWindowLevel()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((-0.1, 0.1))
    apply_window(node, preset("chi_total", "White matter"))
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx((-0.05, 0.05))


def test_constant_images_get_a_window_of_some_width(scene: Any, maps: MapSet) -> None:
    display = add_image(scene, "flat", Image(np.zeros(maps.grid.shape, np.float32), maps.grid)).GetDisplayNode()
    assert display.GetWindowLevelMin() < display.GetWindowLevelMax()


def test_color_nodes_hold_the_tables(scene: Any) -> None:
    table = color_node(scene, DIA).GetLookupTable()
    colors = np.array([table.GetTableValue(index)[:3] for index in range(SIZE)])
    np.testing.assert_allclose(colors, color_table(DIA), atol=0.51 / 255)


def test_color_nodes_are_shared_and_come_back_after_the_scene_was_cleared(scene: Any) -> None:
    first = color_node(scene, PARA)
    assert color_node(scene, PARA) is first
    scene.Clear(0)
    again = color_node(scene, PARA)
    assert again is not first
    assert scene.IsNodePresent(again)


def test_one_folder_holds_all_nodes(scene: Any, maps: MapSet) -> None:
    image = Image(maps.array("r2star"), maps.grid)
    nodes = add_maps(scene, maps, folder_name="Patient 7", extra_images={"magnitude": image})
    lesions = add_lesions(scene, maps["lesions"], folder_name="Patient 7")
    assert set(nodes) == {*REAL_AND_MASK, "magnitude"}
    assert {folder_of(scene, node) for node in (*nodes.values(), lesions)} == {"Patient 7"}
    hierarchy = scene.GetSubjectHierarchyNode()
    assert hierarchy.GetNumberOfItemChildren(hierarchy.GetSceneItemID(), False) == 1


def test_two_patients_lie_in_two_folders(scene: Any, maps: MapSet) -> None:
    first = add_maps(scene, maps, folder_name="A")["chi_para"]
    second = add_maps(scene, maps, folder_name="B")["chi_para"]
    assert (folder_of(scene, first), folder_of(scene, second)) == ("A", "B")


def test_an_image_may_not_take_a_maps_name(scene: Any, maps: MapSet) -> None:
    image = Image(maps.array("r2star"), maps.grid)
    with pytest.raises(InputError, match="r2star"):
        add_maps(scene, maps, folder_name="A", extra_images={"r2star": image})


def test_artifacts_with_echoes_are_refused(scene: Any, maps: MapSet) -> None:
    echoes = Map(name="gre_magnitude", data=np.ones((*maps.grid.shape, 2), np.float32), grid=maps.grid)
    with pytest.raises(InputError, match="one echo as an extra image"):
        add_map(scene, echoes)


def test_strange_nodes_are_refused(scene: Any, maps: MapSet) -> None:
    with pytest.raises(InputError, match="Choose a volume that this extension made"):
        map_from_node(add_image(scene, "flair", Image(maps.array("r2star"), maps.grid)))
    node = add_map(scene, maps["chi_para"])
    node.SetAttribute("ChiSeparation.Unit", "ppb")
    with pytest.raises(InputError, match="ppb"):
        map_from_node(node)


def test_empty_nodes_are_refused(scene: Any) -> None:
    with pytest.raises(InputError, match="no single-valued voxels"):
        array_from_node(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))


def test_a_transformed_node_is_refused(scene: Any, maps: MapSet) -> None:
    node = add_map(scene, maps["chi_para"])
    node.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLLinearTransformNode").GetID())
    with pytest.raises(InputError, match="Harden"):
        map_from_node(node)


def test_each_lesion_is_a_segment_in_its_place(scene: Any, maps: MapSet) -> None:
    import slicer.util

    node = add_lesions(scene, maps["lesions"], {3: {"ChiSeparation.Grade": "3: dia loss, iron rim"}})
    segmentation = node.GetSegmentation()
    names = [segmentation.GetNthSegment(index).GetName() for index in range(segmentation.GetNumberOfSegments())]
    assert names == ["Lesion 1", "Lesion 3", "Lesion 40"]
    assert segmentation.GetNumberOfLayers() == 1
    for label in (1, 3, 40):
        array = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, f"Lesion_{label}")
        value = segmentation.GetSegment(f"Lesion_{label}").GetLabelValue()
        np.testing.assert_array_equal(array.transpose(2, 1, 0) == value, maps.array("lesions") == label)
    assert tag(segmentation.GetSegment("Lesion_3"), "ChiSeparation.Grade") == "3: dia loss, iron rim"
    assert tag(segmentation.GetSegment("Lesion_40"), LABEL_TAG) == "40"
    assert segmentation.GetSegment("Lesion_3").GetColor() == pytest.approx(CATEGORICAL[2])


def test_segments_have_the_lesion_maps_geometry(scene: Any, maps: MapSet) -> None:
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    node, matrix = add_lesions(scene, maps["lesions"]), vtkMatrix4x4()
    node.GetBinaryLabelmapInternalRepresentation("Lesion_1").GetImageToWorldMatrix(matrix)
    got = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    np.testing.assert_allclose(got, maps.grid.affine, rtol=0.0, atol=1e-12)


def test_many_lesions_keep_their_voxels(scene: Any) -> None:
    labels = np.zeros((20, 20, 3), dtype=np.int32)
    labels[..., 1] = np.arange(1, 401).reshape(20, 20)
    node = add_lesions(scene, Map(name="lesions", data=labels, grid=Grid(labels.shape, np.eye(4))))
    segmentation = node.GetSegmentation()
    assert (segmentation.GetNumberOfSegments(), segmentation.GetNumberOfLayers()) == (400, 1)
    assert segmentation.GetSegment("Lesion_400").GetLabelValue() == 400


def test_no_lesion_is_an_empty_segmentation(scene: Any, maps: MapSet) -> None:
    none = replace(maps["lesions"], data=np.zeros(maps.grid.shape, dtype=np.int32))
    assert add_lesions(scene, none).GetSegmentation().GetNumberOfSegments() == 0


@pytest.mark.parametrize("bad", [{3: {"a": "x|y"}}, {3: {"a|b": "x"}}, {3: {"a:b": "x"}}, {3: {"": "x"}}])
def test_tags_that_slicers_files_would_cut_are_refused(scene: Any, maps: MapSet, bad: dict[int, Any]) -> None:
    with pytest.raises(InputError, match="grade of lesion 3"):
        add_lesions(scene, maps["lesions"], bad)
    assert scene.GetFirstNodeByClass("vtkMRMLSegmentationNode") is None


def test_grades_of_lesions_that_are_not_there_are_refused(scene: Any, maps: MapSet) -> None:
    with pytest.raises(InputError, match=r"labels \[2\]"):
        add_lesions(scene, maps["lesions"], {2: {"a": "b"}})


def test_only_lesions_become_segments(scene: Any, maps: MapSet) -> None:
    with pytest.raises(InputError, match="the artifact chi_para"):
        add_lesions(scene, maps["chi_para"])
