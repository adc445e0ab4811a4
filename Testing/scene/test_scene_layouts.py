"""Layouts: registered once, shown with their own views, the user's layout and crosshair kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest

from ChiSepPreprocessLib.scene.layouts import (
    COMPARISON,
    FOUR_GRID,
    FOUR_ROW,
    LAYOUTS,
    Layout,
    composite_node,
    crosshair,
    current_layout,
    layout_xml,
    register_layouts,
    restore_layout,
    show_layout,
)
from ChiSepPreprocessLib.scene.session import application_logic, load_slicer

#: Slicer's layout of one Red view.
ONE_UP = 6


@pytest.fixture(params=[True, False], ids=["as in Slicer", "without an application"])
def laid_out(request: pytest.FixtureRequest, scene: Any) -> Iterator[Any]:
    """A scene, with or without the layout logic that Slicer's window has."""
    logic = None
    if request.param:
        logic = load_slicer().vtkMRMLLayoutLogic()
        logic.SetMRMLApplicationLogic(application_logic(scene))
        logic.SetMRMLScene(scene)
    yield scene
    if logic is not None:
        logic.SetMRMLScene(None)


def layout_node(scene: Any) -> Any:
    assert scene.GetNumberOfNodesByClass("vtkMRMLLayoutNode") == 1
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode")


@pytest.mark.parametrize(("layout", "rows"), [(FOUR_GRID, [2, 2]), (FOUR_ROW, [4]), (COMPARISON, [3])])
def test_descriptions_hold_their_views_row_by_row(layout: Layout, rows: list[int]) -> None:
    root = ElementTree.fromstring(layout_xml(layout))
    assert [len(row.findall("item")) for row in root.findall("item/layout")] == rows
    tags = [view.get("singletontag") for view in root.iter("view")]
    assert tags == [view.tag for view in layout.views]


def test_views_have_names_of_their_own() -> None:
    places = {view for layout in LAYOUTS for view in layout.views}
    assert len({view.tag for view in places}) == len(places) == 7
    assert not {view.tag for view in places} & {"Red", "Green", "Yellow"}
    assert FOUR_GRID.group == FOUR_ROW.group != COMPARISON.group
    assert min(layout.number for layout in LAYOUTS) >= 500


def test_a_layout_comes_to_the_screen_with_its_views(laid_out: Any) -> None:
    views = show_layout(laid_out, FOUR_GRID)
    assert list(views) == ["flair", "chi_para", "chi_dia", "chi_total"]
    assert layout_node(laid_out).GetViewArrangement() == FOUR_GRID.number
    assert current_layout(laid_out) is FOUR_GRID
    for view in FOUR_GRID.views:
        node = views[view.key]
        assert (node.GetLayoutName(), node.GetLayoutLabel(), node.GetViewGroup()) == (view.tag, view.label, 572)
        assert tuple(round(255 * part) for part in node.GetLayoutColor()) == tuple(bytes.fromhex(view.color[1:]))


def test_showing_twice_adds_nothing(laid_out: Any) -> None:
    first = show_layout(laid_out, FOUR_GRID)
    numbers, count = register_layouts(laid_out), laid_out.GetNumberOfNodes()
    assert show_layout(laid_out, FOUR_GRID) == first
    assert (register_layouts(laid_out), laid_out.GetNumberOfNodes()) == (numbers, count)
    assert show_layout(laid_out, FOUR_ROW) == first  # the same views, arranged anew


def test_another_extensions_layout_keeps_its_number(laid_out: Any) -> None:
    register_layouts(laid_out)
    node = layout_node(laid_out)
    theirs = layout_xml(COMPARISON).replace("ChiSep", "Other")
    node.SetLayoutDescription(FOUR_GRID.number, theirs)
    numbers = register_layouts(laid_out)
    assert numbers[FOUR_GRID] not in {layout.number for layout in LAYOUTS}
    assert node.GetLayoutDescription(FOUR_GRID.number) == theirs
    show_layout(laid_out, FOUR_GRID)
    assert node.GetViewArrangement() == numbers[FOUR_GRID]
    assert current_layout(laid_out) is FOUR_GRID


def test_the_users_layout_and_crosshair_come_back(laid_out: Any) -> None:
    register_layouts(laid_out)
    layout_node(laid_out).SetViewArrangement(ONE_UP)
    crosshair(laid_out).SetCrosshairMode(crosshair(laid_out).ShowIntersection)
    for layout in (FOUR_GRID, COMPARISON, FOUR_GRID):
        show_layout(laid_out, layout)
        crosshair(laid_out).SetCrosshairMode(crosshair(laid_out).ShowSmallBasic)
    restore_layout(laid_out)
    assert layout_node(laid_out).GetViewArrangement() == ONE_UP
    assert crosshair(laid_out).GetCrosshairMode() == crosshair(laid_out).ShowIntersection
    assert current_layout(laid_out) is None


def test_a_layout_that_the_user_chose_meanwhile_stays(laid_out: Any) -> None:
    show_layout(laid_out, FOUR_GRID)
    layout_node(laid_out).SetViewArrangement(ONE_UP)
    restore_layout(laid_out)
    assert layout_node(laid_out).GetViewArrangement() == ONE_UP
    show_layout(laid_out, COMPARISON)
    restore_layout(laid_out)
    assert layout_node(laid_out).GetViewArrangement() == ONE_UP


def test_restoring_before_anything_was_shown_changes_nothing(laid_out: Any) -> None:
    register_layouts(laid_out)
    layout_node(laid_out).SetViewArrangement(ONE_UP)
    crosshair(laid_out).SetCrosshairMode(crosshair(laid_out).ShowBasic)
    restore_layout(laid_out)
    assert layout_node(laid_out).GetViewArrangement() == ONE_UP
    assert crosshair(laid_out).GetCrosshairMode() == crosshair(laid_out).ShowBasic


@pytest.mark.parametrize("singletons_too", [0, 1], ids=["as closing a scene does", "everything"])
def test_layouts_survive_the_end_of_a_scene(laid_out: Any, singletons_too: int) -> None:
    show_layout(laid_out, FOUR_GRID)
    held = layout_node(laid_out)  # as Slicer's layout manager does, without which the layout logic crashes
    laid_out.Clear(singletons_too)
    del held
    views = show_layout(laid_out, FOUR_ROW)
    assert all(node.GetScene() is laid_out for node in views.values())
    assert all(composite_node(laid_out, view).GetScene() is laid_out for view in FOUR_ROW.views)
    assert layout_node(laid_out).GetViewArrangement() == FOUR_ROW.number
    restore_layout(laid_out)
    assert current_layout(laid_out) is None


def test_layers_made_before_the_view_are_taken_over_by_its_logic(laid_out: Any) -> None:
    nodes = show_layout(laid_out, FOUR_GRID)
    ours = composite_node(laid_out, FOUR_GRID.views[0])
    logic = load_slicer().vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application_logic(laid_out))
    logic.SetMRMLScene(laid_out)
    logic.SetSliceNode(nodes["flair"])
    assert logic.GetSliceCompositeNode() is ours
    logic.SetMRMLScene(None)
