"""Difference of two results: voxels on one grid and on two, what it says about itself, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array, Grid, Image, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.colors import DIVERGING
from ChiSepPreprocessLib.scene.difference import DIFFERENCE_OF, FIRST, SECOND, add_difference
from ChiSepPreprocessLib.scene.mrb import read_mrb, write_mrb
from ChiSepPreprocessLib.scene.nodes import add_image, add_map, map_from_node
from ChiSepPreprocessLib.scene.session import close_session
from ChiSepPreprocessLib.scene.volumes import array_from_node, as_made, grid_from_node


def result(scene: Any, data: Array, grid: Grid, method: str, name: str = "chi_para") -> Any:
    return add_map(scene, Map(name=name, data=data.astype(np.float32), grid=grid, method=method))


def ramp(grid: Grid) -> Array:
    """Values that are linear in RAS, which linear interpolation reproduces."""
    ras = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return np.asarray(0.5 + ras @ [0.002, -0.003, 0.0015])


def folder_of(scene: Any, node: Any) -> str:
    hierarchy = scene.GetSubjectHierarchyNode()
    return hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)))


@pytest.fixture
def pair(scene: Any, maps: MapSet) -> tuple[Any, Any]:
    data = maps.array("chi_para")
    return result(scene, data, maps.grid, "closed-form"), result(scene, data[::-1] * 0.5, maps.grid, "medi")


def test_the_second_is_taken_from_the_first_voxel_by_voxel(scene: Any, maps: MapSet, pair: tuple[Any, Any]) -> None:
    node = add_difference(scene, *pair)
    data = maps.array("chi_para")
    np.testing.assert_allclose(array_from_node(node), data - data[::-1] * 0.5, atol=1e-7)
    assert array_from_node(node).min() < 0 < array_from_node(node).max()
    assert grid_from_node(node).matches(maps.grid, 1e-9)


def test_colors_and_window_are_symmetric_about_zero(scene: Any, pair: tuple[Any, Any]) -> None:
    display = add_difference(scene, *pair).GetDisplayNode()
    assert display.GetColorNode().GetName() == DIVERGING
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-0.05, 0.05)


def test_a_difference_says_what_it_is(scene: Any, pair: tuple[Any, Any]) -> None:
    node = add_difference(scene, *pair, folder_name="Comparison")
    assert node.GetName() == "chi_para closed-form minus medi"
    assert folder_of(scene, node) == "Comparison"
    assert node.GetAttribute(DIFFERENCE_OF) == "chi_para"
    assert node.GetAttribute("ChiSeparation.Unit") == "ppm"
    assert node.GetVoxelValueUnits().GetCodeValue() == "[ppm]"
    history = json.loads(node.GetAttribute("ChiSeparation.Options"))
    assert history["first"]["method"] == "closed-form"
    assert history["second"] == {"node": pair[1].GetName(), "method": "medi", "version": history["first"]["version"]}
    assert json.loads(node.GetAttribute("ChiSeparation.Warnings")) == []
    assert (node.GetNodeReference(FIRST), node.GetNodeReference(SECOND)) == pair


def test_a_difference_is_no_map_of_the_artifact(scene: Any, pair: tuple[Any, Any]) -> None:
    with pytest.raises(InputError, match="artifact None"):
        map_from_node(add_difference(scene, *pair))


def test_results_of_one_method_are_told_apart_by_their_nodes(scene: Any, maps: MapSet) -> None:
    nodes = [result(scene, maps.array("chi_para"), maps.grid, "medi") for _ in range(2)]
    nodes[1].SetName("second try")
    assert add_difference(scene, *nodes).GetName() == "chi_para minus second try"


def test_a_second_call_renews_the_same_node(scene: Any, maps: MapSet, pair: tuple[Any, Any]) -> None:
    node, count = add_difference(scene, *pair), scene.GetNumberOfNodes()
    values = pair[0].GetImageData().GetPointData().GetScalars()
    values.Fill(0.25)
    pair[0].GetImageData().Modified()
    assert add_difference(scene, *pair) is node
    assert scene.GetNumberOfNodes() == count
    np.testing.assert_allclose(array_from_node(node), 0.25 - maps.array("chi_para")[::-1] * 0.5, atol=1e-7)
    assert add_difference(scene, *reversed(pair)) is not node


def test_another_grid_is_interpolated_and_said(scene: Any, maps: MapSet) -> None:
    wide = Grid((40, 40, 40), np.array([[-1.0, 0, 0, 60.0], [0, 1.0, 0, -30.0], [0, 0, 1.5, -20.0], [0, 0, 0, 1]]))
    first, second = result(scene, ramp(maps.grid), maps.grid, "medi"), result(scene, ramp(wide), wide, "tkd")
    node = add_difference(scene, first, second)
    assert grid_from_node(node).matches(maps.grid, 1e-9)
    inside = _covered(maps.grid, wide)
    assert 0.5 < inside.mean() < 1.0
    difference = array_from_node(node)
    np.testing.assert_allclose(difference[inside], 0.0, atol=2e-6)
    assert np.all(difference[~_covered(maps.grid, wide, -0.75)] == 0.0)
    said = json.loads(node.GetAttribute("ChiSeparation.Warnings"))
    assert "interpolated linearly" in said[0]
    assert "does not cover" in said[1]
    assert all(sentence in node.GetDescription() for sentence in said)


def _covered(grid: Grid, other: Grid, margin: float = 0.0) -> Array:
    """Voxels of a grid that lie between the voxel centres of another, ``margin`` voxels from its edge."""
    ras = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    index = (ras - other.affine[:3, 3]) @ np.linalg.inv(other.affine[:3, :3]).T
    return np.all((index >= margin) & (index <= np.array(other.shape) - 1 - margin), axis=-1)


def test_half_a_voxel_is_interpolated_in_the_right_direction(scene: Any) -> None:
    grid = Grid((6, 5, 4), np.diag([2.0, 2.0, 2.0, 1.0]))
    shifted = Grid((6, 5, 4), np.array([[2.0, 0, 0, 1.0], [0, 2.0, 0, 0], [0, 0, 2.0, 0], [0, 0, 0, 1]]))
    data = np.zeros(grid.shape)
    data[3] = 1.0  # at x = 7 mm on the shifted grid, so half of it at 6 and at 8 mm on the first
    node = add_difference(scene, result(scene, np.zeros(grid.shape), grid, "a"), result(scene, data, shifted, "b"))
    np.testing.assert_allclose(array_from_node(node)[:, 2, 2], [0, 0, 0, -0.5, -0.5, 0], atol=1e-6)


def test_a_difference_survives_a_scene_file(scene: Any, maps: MapSet, pair: tuple[Any, Any], tmp_path: Path) -> None:
    node = add_difference(scene, *pair)
    expected, name = array_from_node(node), node.GetName()
    again = read_mrb(write_mrb(scene, tmp_path / "scene.mrb"))
    found = again.GetFirstNodeByName(name)
    data, grid = as_made(array_from_node(found), grid_from_node(found), found.GetAttribute("ChiSeparation.Handedness"))
    np.testing.assert_allclose(data, expected, atol=1e-7)
    assert grid.matches(maps.grid)
    assert found.GetNodeReference(FIRST).GetAttribute("ChiSeparation.Method") == "closed-form"
    close_session(again)


def test_what_cannot_be_compared_is_refused(scene: Any, maps: MapSet, pair: tuple[Any, Any]) -> None:
    far = maps.grid.affine.copy()
    far[0, 3] += 900.0
    refused = {
        "twice": pair[0],
        "no artifact": add_image(scene, "magnitude", Image(np.ones(maps.grid.shape), maps.grid)),
        "brain_mask": add_map(scene, maps["brain_mask"]),
        "chi_para and chi_total": add_map(scene, maps["chi_total"]),
        "do not overlap": add_map(scene, replace(maps["chi_para"], grid=Grid(maps.grid.shape, far))),
    }
    count = scene.GetNumberOfNodes()
    for said, second in refused.items():
        with pytest.raises(InputError, match=said):
            add_difference(scene, pair[0], second)
    assert scene.GetNumberOfNodes() == count
