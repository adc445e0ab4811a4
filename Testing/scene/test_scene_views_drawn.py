"""Views as Slicer draws them: the same place in every view, empty where nothing is shown, legends where they belong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array, Grid, Image, Map
from ChiSepPreprocessLib.errors import MissingDependencyError
from ChiSepPreprocessLib.scene import renderer, slice_view
from ChiSepPreprocessLib.scene.layouts import COMPARISON, FOUR_GRID, Layout, slice_node
from ChiSepPreprocessLib.scene.nodes import add_image, add_map
from ChiSepPreprocessLib.scene.session import application_logic, load_slicer
from ChiSepPreprocessLib.scene.views import blend, jump_to, show_comparison, show_maps
from ChiSepPreprocessLib.scene.volume_display import choose_colors, set_interpolation, set_legend
from ChiSepPreprocessLib.scene.windows import GREY

SIZE = (200, 160)

#: The maps' grid, and FLAIR's, which is coarser, wider and turned the other way round.
MAP_GRID = Grid((40, 40, 20), np.array([[2.0, 0, 0, -39], [0, 2, 0, -39], [0, 0, 3, -28.5], [0, 0, 0, 1]]))
FLAIR_GRID = Grid((30, 30, 20), np.array([[-4.0, 0, 0, 58], [0, -4, 0, 58], [0, 0, 6, -57], [0, 0, 0, 1]]))

#: Bright block around this point in every volume, RAS mm.
MARKER = np.array([12.0, -16.0, 9.0])


class DrawnView:
    """A slice view with Slicer's managers over the slice node of one of our views."""

    def __init__(self, scene: Any, node: Any) -> None:
        from vtkmodules.vtkRenderingCore import vtkRenderer
        from vtkmodules.vtkRenderingUI import vtkGenericRenderWindowInteractor

        module, application = load_slicer(), application_logic(scene)
        self.window, canvas = renderer.offscreen_window(SIZE), vtkRenderer()
        canvas.GetActiveCamera().ParallelProjectionOn()
        self.window.AddRenderer(canvas)
        self.interactor = vtkGenericRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.image = slice_view._image_actor(canvas)
        self.logic = module.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application)
        application.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(scene)
        self.logic.SetSliceNode(node)
        node.SetMappedInLayout(1)
        self.group = module.vtkMRMLDisplayableManagerGroup()
        self.group.Initialize(slice_view._manager_factory(module, application), canvas)
        self.group.SetMRMLDisplayableNode(node)
        self.logic.ResizeSliceNode(*SIZE)

    def draw(self) -> Array:
        """Pixels, the top row first."""
        self.image.GetMapper().SetInputConnection(self.logic.GetImageDataConnection())
        self.window.Render()
        return slice_view._read_pixels(self.window)

    def close(self, scene: Any) -> None:
        self.group.SetMRMLDisplayableNode(None)
        application_logic(scene).GetSliceLogics().RemoveItem(self.logic)
        self.logic.SetMRMLScene(None)
        self.window.Finalize()


@pytest.fixture(autouse=True, scope="module")
def _renderer() -> None:
    """Skip, and say why, on a machine that cannot draw off screen."""
    try:
        renderer.check_renderer()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture
def opened(scene: Any) -> Iterator[Callable[[Layout], dict[str, DrawnView]]]:
    """Opens the views of a layout, as Slicer's window does."""
    views: list[DrawnView] = []

    def open_layout(layout: Layout) -> dict[str, DrawnView]:
        found = {view.key: DrawnView(scene, slice_node(scene, view)) for view in layout.views}
        views.extend(found.values())
        return found

    yield open_layout
    for view in views:
        view.close(scene)


def marked(grid: Grid, value: float, rest: float) -> Array:
    ras = np.moveaxis(np.indices(grid.shape), 0, -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    return np.where(np.all(np.abs(ras - MARKER) < 9.0, axis=-1), value, rest).astype(np.float32)


@pytest.fixture
def volumes(scene: Any) -> dict[str, Any]:
    """FLAIR and three maps, black but for the marker."""
    made = {"flair": add_image(scene, "flair", Image(marked(FLAIR_GRID, 500.0, 0.0), FLAIR_GRID))}
    made["flair"].GetDisplayNode().SetWindowLevelMinMax(0.0, 500.0)
    for name in ("chi_para", "chi_dia", "chi_total"):
        made[name] = add_map(scene, Map(name=name, data=marked(MAP_GRID, 1.0, 0.0), grid=MAP_GRID))
        choose_colors(made[name], GREY)
        made[name].GetDisplayNode().SetWindowLevelMinMax(0.0, 1.0)
    return made


def middle_of_bright(picture: Array) -> Array:
    """Mean row and column of the bright pixels."""
    bright = np.argwhere(picture.mean(axis=-1) > 128)
    assert len(bright) > 50
    return np.asarray(bright.mean(axis=0))


def test_every_view_shows_the_same_place_at_the_same_scale(
    scene: Any, volumes: dict[str, Any], opened: Callable[[Layout], dict[str, DrawnView]]
) -> None:
    show_maps(scene, volumes)
    views = opened(FOUR_GRID)
    show_maps(scene, volumes)
    jump_to(scene, (0.0, 0.0, MARKER[2]))
    # 81.6 mm fill the height of 160 pixels; patient's right is on the left, anterior on top.
    expected = np.array([80.0 - MARKER[1] * 160 / 81.6, 100.0 - MARKER[0] * 160 / 81.6])
    for view in views.values():
        assert np.abs(middle_of_bright(view.draw()) - expected).max() < 4.0


def test_a_jump_centres_the_point(
    scene: Any, volumes: dict[str, Any], opened: Callable[[Layout], dict[str, DrawnView]]
) -> None:
    show_maps(scene, volumes, orientation="Coronal")
    views = opened(FOUR_GRID)
    assert views["chi_para"].draw().mean() < 5.0  # the middle slice misses the marker
    jump_to(scene, MARKER.tolist())
    for view in views.values():
        assert np.abs(middle_of_bright(view.draw()) - [80.0, 100.0]).max() < 6.0


def test_the_view_of_what_is_missing_is_black(
    scene: Any, volumes: dict[str, Any], opened: Callable[[Layout], dict[str, DrawnView]]
) -> None:
    show_maps(scene, {**volumes, "flair": None})
    views = opened(FOUR_GRID)
    jump_to(scene, MARKER.tolist())
    assert views["flair"].draw().max() == 0
    assert views["chi_para"].draw().max() == 255


def test_a_map_mixes_with_its_underlay_by_its_opacity(
    scene: Any, volumes: dict[str, Any], opened: Callable[[Layout], dict[str, DrawnView]]
) -> None:
    under = add_image(scene, "under", Image(np.full(MAP_GRID.shape, 100.0), MAP_GRID))
    under.GetDisplayNode().SetWindowLevelMinMax(0.0, 200.0)
    show_maps(scene, volumes, underlay=under, opacity=0.5)
    view = opened(FOUR_GRID)["chi_para"]
    jump_to(scene, MARKER.tolist())
    for opacity, inside, outside in ((0.0, 127, 127), (0.5, 191, 64), (1.0, 255, 0)):
        blend(scene, opacity)
        picture = view.draw()
        assert np.abs(picture[80, 100].astype(int) - inside).max() <= 2, opacity
        assert np.abs(picture[40, 100].astype(int) - outside).max() <= 2, opacity


def test_interpolation_smooths_edges_and_can_be_off(
    scene: Any, volumes: dict[str, Any], opened: Callable[[Layout], dict[str, DrawnView]]
) -> None:
    show_maps(scene, volumes)
    view = opened(FOUR_GRID)["chi_para"]
    jump_to(scene, MARKER.tolist())
    set_interpolation(volumes["chi_para"], False)
    assert set(np.unique(view.draw())) == {0, 255}
    set_interpolation(volumes["chi_para"], True)
    assert len(np.unique(view.draw())) > 10


def test_a_legend_stands_in_the_views_of_its_map_even_in_views_opened_later(
    scene: Any, volumes: dict[str, Any], opened: Callable[[Layout], dict[str, DrawnView]]
) -> None:
    show_maps(scene, volumes)
    early = opened(FOUR_GRID)
    dark = {key: view.draw().astype(int) for key, view in early.items()}
    set_legend(volumes["chi_para"], True)
    assert np.abs(early["chi_para"].draw() - dark["chi_para"]).max() > 100
    assert np.abs(early["chi_dia"].draw() - dark["chi_dia"]).max() == 0
    show_comparison(scene, volumes["chi_para"], volumes["chi_dia"], None)
    late = opened(COMPARISON)
    show_comparison(scene, volumes["chi_para"], volumes["chi_dia"], None)
    with_legend, without = late["first"].draw().astype(int), late["second"].draw().astype(int)
    assert np.abs(with_legend - without).max() > 100
    set_legend(volumes["chi_para"], False)
    np.testing.assert_array_equal(late["first"].draw(), without)
