"""Window, colours, legend and interpolation of one volume, and the way back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Image, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.colors import DIVERGING, PARA, RATE, TABLE_NAMES
from ChiSepPreprocessLib.scene.difference import add_difference
from ChiSepPreprocessLib.scene.nodes import add_image, add_map
from ChiSepPreprocessLib.scene.session import load_slicer
from ChiSepPreprocessLib.scene.volume_display import (
    choose_colors,
    choose_window,
    chosen_window,
    has_legend,
    renew_legend,
    reset_display,
    set_interpolation,
    set_legend,
    window_choices,
)
from ChiSepPreprocessLib.scene.windows import (
    COLOR_TITLES,
    GREY,
    PRESETS,
    WindowPreset,
    color_tables,
    difference_window,
)


def window_of(node: Any) -> tuple[float, float, str]:
    display = node.GetDisplayNode()
    return display.GetWindowLevelMin(), display.GetWindowLevelMax(), display.GetColorNode().GetName()


def legend_of(node: Any) -> Any:
    return load_slicer().vtkSlicerColorLogic.GetColorLegendDisplayNode(node)


@pytest.fixture
def para(scene: Any, maps: MapSet) -> Any:
    return add_map(scene, maps["chi_para"])


def test_titles_say_range_and_unit(para: Any) -> None:
    titles = [one.title for one in window_choices(para)]
    assert titles[:2] == ["Brain (0 to 0.1 ppm)", "Iron-rich nuclei (0 to 0.2 ppm)"]
    assert WindowPreset(name="Brain", unit="1", minimum=0, maximum=1.5, color_table=GREY).title == "Brain (0 to 1.5)"


def test_titles_are_unique_and_every_table_has_one() -> None:
    for choices in PRESETS.values():
        assert len({one.title for one in choices}) == len(choices)
    assert set(COLOR_TITLES) == {*TABLE_NAMES, GREY}
    assert len(set(COLOR_TITLES.values())) == len(COLOR_TITLES)


@pytest.mark.parametrize("name", ["Brain", "Iron-rich nuclei", "White matter", "Veins and bleeds"])
def test_a_chosen_window_is_shown_and_found_again(para: Any, name: str) -> None:
    choose_window(para, name)
    expected = next(one for one in PRESETS["chi_para"] if one.name == name)
    assert window_of(para) == (expected.minimum, expected.maximum, PARA)
    assert chosen_window(para) == name


def test_a_window_of_ones_own_is_none_of_the_presets(para: Any) -> None:
    para.GetDisplayNode().SetWindowLevelMinMax(0.0, 0.1234)
    assert chosen_window(para) == ""


def test_unknown_windows_and_tables_are_refused(scene: Any, maps: MapSet, para: Any) -> None:
    with pytest.raises(InputError, match="Brain, Iron-rich nuclei"):
        choose_window(para, "Heart")
    with pytest.raises(InputError, match="it has no unit"):
        choose_window(add_image(scene, "image", Image(maps.array("chi_para"), maps.grid)), "Brain")
    with pytest.raises(InputError, match="ChiSep Para"):
        choose_colors(para, "Rainbow")


def test_colors_change_and_the_range_stays(para: Any) -> None:
    choose_window(para, "White matter")
    choose_colors(para, GREY)
    assert window_of(para) == (0.0, 0.05, GREY)
    assert chosen_window(para) == "White matter"


@pytest.mark.parametrize(
    ("artifact", "tables"),
    [("chi_para", (PARA, GREY)), ("chi_total", (DIVERGING, GREY)), ("r2star", (RATE, GREY)), ("magnitude", (GREY,)),
     ("field_sigma", (GREY,))],
)  # fmt: skip
def test_only_tables_with_the_right_zero_are_offered(artifact: str, tables: tuple[str, ...]) -> None:
    assert color_tables(artifact) == tables


@pytest.mark.parametrize("artifact", PRESETS)
def test_windows_of_differences_are_symmetric_and_narrower(artifact: str) -> None:
    window = difference_window(artifact)
    assert window.minimum == -window.maximum < 0
    assert window.maximum == PRESETS[artifact][0].maximum / 2
    assert (window.color_table, window.unit) == (DIVERGING, PRESETS[artifact][0].unit)


def test_reset_goes_back_to_what_a_map_came_with(scene: Any, maps: MapSet) -> None:
    node = add_map(scene, maps["chi_total"])
    before = window_of(node)
    choose_window(node, "White matter")
    choose_colors(node, GREY)
    set_interpolation(node, False)
    set_legend(node, True)
    reset_display(node)
    assert window_of(node) == before == (-0.1, 0.1, DIVERGING)
    assert node.GetDisplayNode().GetInterpolate()
    assert not has_legend(node)


def test_reset_of_a_grey_image_finds_the_range_of_its_values(scene: Any, maps: MapSet) -> None:
    node = add_image(scene, "image", Image(1000.0 * maps.array("chi_para"), maps.grid))
    before = window_of(node)
    node.GetDisplayNode().SetWindowLevelMinMax(0.0, 1.0)
    choose_colors(node, PARA)
    reset_display(node)
    assert window_of(node) == pytest.approx(before)
    flat = add_image(scene, "flat", Image(np.full(maps.grid.shape, 7.0), maps.grid))
    reset_display(flat)
    assert window_of(flat)[:2] == (7.0, 8.0)


def test_reset_of_a_difference_goes_back_to_its_window(scene: Any, maps: MapSet, para: Any) -> None:
    node = add_difference(scene, para, add_map(scene, maps["chi_para"]))
    choose_colors(node, GREY)
    node.GetDisplayNode().SetWindowLevelMinMax(0.0, 1.0)
    assert chosen_window(node) == ""
    reset_display(node)
    assert window_of(node) == (-0.05, 0.05, DIVERGING)
    assert chosen_window(node) == "Difference"


def test_interpolation_goes_off_and_on(para: Any) -> None:
    set_interpolation(para, False)
    assert not para.GetDisplayNode().GetInterpolate()
    set_interpolation(para, True)
    assert para.GetDisplayNode().GetInterpolate()


def test_the_legend_comes_once_and_goes(scene: Any, para: Any) -> None:
    set_legend(para, False)
    assert legend_of(para) is None
    assert not has_legend(para)
    for _ in range(2):
        set_legend(para, True)
    assert has_legend(para)
    assert scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 1
    set_legend(para, False)
    assert not has_legend(para)


def test_the_legend_names_quantity_and_unit_with_exact_numbers(scene: Any, maps: MapSet, para: Any) -> None:
    choose_window(para, "Iron-rich nuclei")
    set_legend(para, True)
    legend = legend_of(para)
    assert legend.GetTitleText() == "chi para\n(ppm)"
    assert (legend.GetLabelFormat(), legend.GetNumberOfLabels()) == ("%.2f", 6)  # 0.00, 0.04 ... 0.20
    other = add_map(scene, Map(name="chi_para", data=maps.array("chi_para"), grid=maps.grid, method="medi"))
    node = add_difference(scene, para, other)
    set_legend(node, True)
    assert legend_of(node).GetTitleText() == "difference\nchi para\n(ppm)"
    set_legend(add_image(scene, "image", Image(maps.array("chi_para"), maps.grid)), True)


def test_a_renewed_legend_keeps_its_settings(scene: Any, para: Any) -> None:
    set_legend(para, True)
    legend = legend_of(para)
    legend.SetTitleText("iron")
    for _ in range(2):
        renew_legend(para)
    assert legend_of(para) is legend
    assert (has_legend(para), legend.GetTitleText()) == (True, "iron")
    assert scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 1
    assert para.GetNumberOfDisplayNodes() == 2


def test_without_a_legend_there_is_nothing_to_renew(scene: Any, para: Any) -> None:
    count = scene.GetNumberOfNodes()
    renew_legend(para)
    assert scene.GetNumberOfNodes() == count
