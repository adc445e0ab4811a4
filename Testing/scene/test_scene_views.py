"""Views: the right volumes, linked by Slicer's own link logic, one scale and one place, jumps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Grid, Image
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.layouts import COMPARISON, FOUR_GRID, FOUR_ROW, composite_node, crosshair
from ChiSepPreprocessLib.scene.nodes import add_image
from ChiSepPreprocessLib.scene.session import application_logic, load_slicer
from ChiSepPreprocessLib.scene.views import blend, jump_to, show_comparison, show_maps

PATIENT_GRID = Grid((20, 30, 10), np.diag([2.0, 2.0, 3.0, 1.0]) + np.array([[0, 0, 0, 7.0], *np.zeros((3, 4))]))
HEAD_GRID = Grid((16, 16, 16), np.diag([-6.0, -6.0, 6.0, 1.0]))


@pytest.fixture
def volumes(scene: Any) -> dict[str, Any]:
    """FLAIR of the whole head, and three maps on a smaller grid."""
    random = np.random.default_rng(4)
    grids = {"flair": HEAD_GRID, "chi_para": PATIENT_GRID, "chi_dia": PATIENT_GRID, "chi_total": PATIENT_GRID}
    return {name: add_image(scene, name, Image(random.random(grid.shape), grid)) for name, grid in grids.items()}


def layers(scene: Any, layout: Any) -> dict[str, tuple[str | None, str | None]]:
    found = {}
    for view in layout.views:
        node = composite_node(scene, view)
        names = (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID())
        found[view.key] = tuple(scene.GetNodeByID(one).GetName() if one else None for one in names)
    return found  # type: ignore[return-value]


def center(node: Any) -> np.ndarray:
    matrix = node.GetSliceToRAS()
    return np.array([matrix.GetElement(row, 3) for row in range(3)])


@pytest.mark.parametrize("layout", [FOUR_GRID, FOUR_ROW], ids=["grid", "row"])
def test_every_view_shows_its_volume(scene: Any, volumes: dict[str, Any], layout: Any) -> None:
    show_maps(scene, volumes, layout=layout)
    assert layers(scene, layout) == {name: (name, None) for name in volumes}


def test_maps_lie_over_the_underlay(scene: Any, volumes: dict[str, Any]) -> None:
    under = add_image(scene, "magnitude", Image(np.ones(PATIENT_GRID.shape), PATIENT_GRID))
    show_maps(scene, volumes, underlay=under, opacity=0.4)
    shown = layers(scene, FOUR_GRID)
    assert shown["flair"] == ("flair", None)
    assert {shown[name] for name in ("chi_para", "chi_dia", "chi_total")} == {
        ("magnitude", "chi_para"), ("magnitude", "chi_dia"), ("magnitude", "chi_total"),
    }  # fmt: skip
    assert composite_node(scene, FOUR_GRID.views[1]).GetForegroundOpacity() == 0.4
    blend(scene, 0.25)
    assert {composite_node(scene, view).GetForegroundOpacity() for view in FOUR_GRID.views} == {0.25}


@pytest.mark.parametrize("missing", ["flair", "chi_para", "chi_dia", "chi_total"])
def test_the_view_of_a_missing_volume_is_empty(scene: Any, volumes: dict[str, Any], missing: str) -> None:
    show_maps(scene, volumes)
    show_maps(scene, {**volumes, missing: None})
    assert layers(scene, FOUR_GRID)[missing] == (None, None)
    others = [name for name in volumes if name != missing]
    assert [layers(scene, FOUR_GRID)[name][0] for name in others] == others


def test_flair_alone_is_shown_too(scene: Any, volumes: dict[str, Any]) -> None:
    nodes = show_maps(scene, {"flair": volumes["flair"]})
    np.testing.assert_allclose(center(nodes["flair"])[:2], [-45.0, -45.0], atol=1e-6)


def test_all_views_have_one_scale_and_place_around_the_maps(scene: Any, volumes: dict[str, Any]) -> None:
    nodes = show_maps(scene, volumes)
    # The maps span 6 to 46, -1 to 59 and -1.5 to 28.5 mm; 2 % of room around the longest in-plane side, 60 mm.
    for node in nodes.values():
        np.testing.assert_allclose(center(node), [26.0, 29.0, 13.5], atol=1e-6)
        np.testing.assert_allclose(node.GetFieldOfView()[:2], [61.2, 61.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("orientation", "extent_mm"), [("Axial", (40, 60)), ("Coronal", (40, 30)), ("Sagittal", (60, 30))]
)
def test_everything_fits_into_views_of_any_shape(
    scene: Any, volumes: dict[str, Any], orientation: str, extent_mm: tuple[float, float]
) -> None:
    for node in show_maps(scene, volumes).values():
        node.SetDimensions(400, 100, 1)
    for node in show_maps(scene, volumes, orientation=orientation).values():
        assert node.GetOrientation() == orientation
        width, height, _ = node.GetFieldOfView()
        assert width / 400 == pytest.approx(height / 100)
        assert width >= extent_mm[0]
        assert height >= extent_mm[1]
        assert min(width / extent_mm[0], height / extent_mm[1]) == pytest.approx(1.02)


def test_showing_again_undoes_panning_and_zooming(scene: Any, volumes: dict[str, Any]) -> None:
    node = show_maps(scene, volumes)["flair"]
    before = (center(node).tolist(), node.GetFieldOfView(), node.GetXYZOrigin())
    node.SetFieldOfView(10.0, 10.0, 1.0)
    node.SetSliceOrigin(5.0, 5.0, 0.0)
    node.JumpSliceByCentering(0.0, 0.0, 0.0)
    show_maps(scene, volumes)
    assert (center(node).tolist(), node.GetFieldOfView(), node.GetXYZOrigin()) == before


def test_scrolling_one_view_scrolls_all_and_no_other(scene: Any, volumes: dict[str, Any]) -> None:
    nodes = show_maps(scene, volumes)
    link = load_slicer().vtkMRMLSliceLinkLogic()
    link.SetMRMLApplicationLogic(application_logic(scene))
    link.SetMRMLScene(scene)
    red = scene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    before = red.GetSliceOffset()
    moved = nodes["chi_para"]
    moved.SetInteracting(1)
    moved.SetInteractionFlags(moved.SliceToRASFlag)
    moved.SetSliceOffset(20.0)
    moved.SetInteracting(0)
    assert [node.GetSliceOffset() for node in nodes.values()] == [20.0] * 4
    assert red.GetSliceOffset() == before
    link.SetMRMLScene(None)


def test_volumes_loaded_later_leave_the_views_alone(scene: Any, volumes: dict[str, Any]) -> None:
    show_maps(scene, volumes)
    later = add_image(scene, "later", Image(np.ones((4, 4, 4)), Grid((4, 4, 4), np.eye(4))))
    application = application_logic(scene)
    application.GetSelectionNode().SetActiveVolumeID(later.GetID())
    application.PropagateVolumeSelection(0)
    assert layers(scene, FOUR_GRID) == {name: (name, None) for name in volumes}


def test_views_share_a_crosshair(scene: Any, volumes: dict[str, Any]) -> None:
    show_maps(scene, volumes)
    assert crosshair(scene).GetCrosshairMode() == crosshair(scene).ShowSmallBasic


def test_a_jump_takes_every_view_and_the_crosshair_there(scene: Any, volumes: dict[str, Any]) -> None:
    nodes = show_maps(scene, volumes)
    jump_to(scene, (10.0, 12.5, 21.0))
    for node in nodes.values():
        np.testing.assert_allclose(center(node), [10.0, 12.5, 21.0], atol=1e-9)
    assert tuple(crosshair(scene).GetCrosshairRAS()) == (10.0, 12.5, 21.0)


def test_a_comparison_shows_both_results_alike(scene: Any, volumes: dict[str, Any]) -> None:
    first, second, difference = volumes["chi_para"], volumes["chi_dia"], volumes["chi_total"]
    first.GetDisplayNode().SetWindowLevelMinMax(-0.25, 0.5)
    nodes = show_comparison(scene, first, second, difference)
    assert list(nodes) == ["first", "second", "difference"]
    assert layers(scene, COMPARISON) == {
        "first": ("chi_para", None), "second": ("chi_dia", None), "difference": ("chi_total", None),
    }  # fmt: skip
    display = second.GetDisplayNode()
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-0.25, 0.5)
    assert display.GetColorNodeID() == first.GetDisplayNode().GetColorNodeID()
    assert all(composite_node(scene, view).GetHotLinkedControl() for view in COMPARISON.views)


def test_volumes_of_an_earlier_scene_leave_nothing_behind(scene: Any, volumes: dict[str, Any]) -> None:
    show_maps(scene, volumes)
    scene.Clear(0)
    image = add_image(scene, "QSM", Image(np.ones(PATIENT_GRID.shape), PATIENT_GRID))
    show_maps(scene, {"chi_total": image})
    assert layers(scene, FOUR_GRID) == {
        "flair": (None, None), "chi_para": (None, None), "chi_dia": (None, None), "chi_total": ("QSM", None),
    }  # fmt: skip


def test_what_cannot_be_shown_is_refused_before_anything_changes(scene: Any, volumes: dict[str, Any]) -> None:
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="at least one of flair"):
        show_maps(scene, {})
    with pytest.raises(InputError, match="at least one of flair"):
        show_maps(scene, {"r2star": volumes["chi_para"]})
    with pytest.raises(InputError, match="Oblique"):
        show_maps(scene, volumes, orientation="Oblique")
    with pytest.raises(InputError, match="opacity"):
        show_maps(scene, volumes, opacity=1.5)
    with pytest.raises(InputError, match="no voxels"):
        show_maps(scene, {"chi_para": empty})
    with pytest.raises(InputError, match="position"):
        jump_to(scene, (0.0, float("nan"), 0.0))
    with pytest.raises(InputError, match="opacity"):
        blend(scene, -0.1)
    assert scene.GetNumberOfNodes() == count
