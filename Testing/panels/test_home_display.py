"""The display tools of the home page in the test host: views, windows, colours, places; and the page's life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Map
from ChiSepPreprocessLib.scene.layouts import (
    FOUR_GRID,
    FOUR_ROW,
    composite_node,
    crosshair,
    current_layout,
    slice_node,
)
from ChiSepPreprocessLib.scene.nodes import add_lesions, add_map
from ChiSepPreprocessLib.scene.volume_display import chosen_window, has_legend
from home_scene import GRID, SHOWN, add_everything, headings, open_steps
from host.fixtures import Fake, Open

if TYPE_CHECKING:
    from host.running import Host


@pytest.fixture
def panel(open_panel: Open, fake: Fake) -> Any:
    return open_panel("ChiSeparation", fake("succeed"))


@pytest.fixture
def shown(panel: Any, host: Host) -> Any:
    """A panel with its maps on the screen."""
    panel.made = add_everything(host.scene)
    panel.ui.viewButton.click()
    host.wait_until(lambda: panel.ui.gridLayoutButton.enabled)
    panel.ui.rowLayoutButton.click()
    assert current_layout(host.scene) is FOUR_ROW
    return panel


def test_layouts_need_maps(panel: Any) -> None:
    assert not panel.ui.gridLayoutButton.enabled
    assert not panel.ui.rowLayoutButton.enabled
    assert not panel.ui.ownLayoutButton.enabled
    assert panel.ui.viewLabel.text == "There are no χ maps to look at yet."


def test_window_and_colours_of_the_chosen_map(shown: Any) -> None:
    ui, node = shown.ui, shown.made["chi_dia"]
    ui.mapComboBox.currentIndex = ui.mapComboBox.findText("chi_dia")
    assert ui.windowComboBox.currentText == "Brain (0 to 0.06 ppm)"
    ui.windowComboBox.currentIndex = ui.windowComboBox.findData("Calcification")
    assert chosen_window(node) == "Calcification"
    ui.colorComboBox.currentIndex = ui.colorComboBox.findText("Grey")
    assert node.GetDisplayNode().GetColorNode().GetName() == "Grey"
    assert chosen_window(node) == "Calcification"
    node.GetDisplayNode().SetWindowLevelMinMax(0.0, 0.123)
    shown.updatePage()
    assert ui.windowComboBox.currentIndex == -1
    assert chosen_window(shown.made["chi_para"]) == "Brain"


def test_underlay_and_blend_leave_the_views_where_they_are(shown: Any, host: Host) -> None:
    ui, made = shown.ui, shown.made
    para = FOUR_ROW.views[1]
    slice_node(host.scene, para).JumpSliceByCentering(10.0, 5.0, 20.0)
    before = [slice_node(host.scene, para).GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    assert not ui.opacitySlider.enabled
    ui.underlayComboBox.setCurrentNode(made["flair"])
    ui.opacitySlider.value = 0.4
    composite = composite_node(host.scene, para)
    assert (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()) == (
        made["flair"].GetID(), made["chi_para"].GetID(),
    )  # fmt: skip
    assert composite.GetForegroundOpacity() == pytest.approx(0.4)
    assert ui.opacitySlider.enabled
    ui.underlayComboBox.setCurrentNode(None)
    assert composite.GetBackgroundVolumeID() == made["chi_para"].GetID()
    assert not composite.GetForegroundVolumeID()
    after = [slice_node(host.scene, para).GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    assert after == before


def test_legends(shown: Any) -> None:
    shown.ui.legendCheckBox.checked = True
    assert all(has_legend(shown.made[name]) for name in SHOWN[1:])
    shown.ui.legendCheckBox.checked = False
    assert not any(has_legend(shown.made[name]) for name in SHOWN[1:])


def test_jump_to_a_nucleus_says_that_it_is_approximate(shown: Any, host: Host) -> None:
    box = shown.ui.placeComboBox
    assert box.count == 14
    assert box.currentIndex == -1
    host.press("Down", box)
    assert box.currentText == "Caudate, right (approximate)"
    assert "estimate" in shown.ui.placeNoteLabel.text
    assert crosshair(host.scene).GetCrosshairRAS()[0] == pytest.approx(13.0, abs=10.0)


def test_own_regions_are_jumped_to(shown: Any, host: Host) -> None:
    labels = np.zeros(GRID.shape, np.int16)
    labels[10:12, 10:12, 10:12] = 1
    regions = add_lesions(host.scene, Map(name="lesions", data=labels, grid=GRID))
    shown.ui.regionsComboBox.setCurrentNode(regions)
    assert shown.ui.placeComboBox.count == 1
    assert shown.ui.placeComboBox.itemText(0) == "Lesion 1"
    shown.ui.regionsComboBox.setCurrentNode(None)
    assert shown.ui.placeComboBox.count == 14


def test_mask_that_is_no_brain_says_why_there_are_no_places(panel: Any, host: Host) -> None:
    small = np.zeros(GRID.shape, bool)
    small[:3, :3, :3] = True
    add_map(host.scene, Map(name="brain_mask", data=small, grid=GRID))
    panel.ui.viewButton.click()
    host.wait_until(lambda: "Choose a segmentation of the nuclei" in panel.ui.placeNoteLabel.text)
    assert panel.ui.placeComboBox.count == 0


# Life


def test_two_scenes_in_a_row(shown: Any, host: Host) -> None:
    host.scene.Clear(0)
    assert headings(shown) == ["next", "missing", "missing", "missing"]
    assert shown.ui.mapComboBox.count == 0
    shown.made = add_everything(host.scene)
    host.wait_until(lambda: headings(shown)[2] == "done")
    shown.ui.viewButton.click()
    shown.ui.gridLayoutButton.click()
    assert current_layout(host.scene) is FOUR_GRID
    assert headings(shown) == ["done"] * 4


def test_reload_opens_the_page_again(shown: Any, host: Host) -> None:
    again = host.reload("ChiSeparation")
    assert again is not shown
    assert shown.Observations == []
    assert open_steps(again) == [4]
    assert headings(again)[2] == "done"
