"""Pictures drawn by Slicer's slice views: sides, colours, what shows through, and what is left in the scene."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.io import imread

from ChiSepPreprocessLib.artifacts import Grid, Image, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError, MissingDependencyError
from ChiSepPreprocessLib.scene import renderer
from ChiSepPreprocessLib.scene.colors import CATEGORICAL, DIVERGING, PARA, color_table
from ChiSepPreprocessLib.scene.nodes import add_lesions, add_maps, map_from_node
from ChiSepPreprocessLib.scene.pictures import slice_pictures
from ChiSepPreprocessLib.scene.slice_view import Region, slice_view

SIZE = (500, 410)
STRIP = 0.20  # of the width, for the legend

#: Marker in RAS mm: right, anterior, superior of the brain's middle, so that every mirror image is noticed.
MARKER_MM = np.array([18.0, 24.0, 12.0])


def tilted_affine(handedness: int) -> np.ndarray:
    """Axes tilted by 20° about x and 10° about z; 2 × 2.5 × 3 mm, the brain's middle at the origin."""
    tilt, turn = np.deg2rad([20.0, 10.0])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.diag([-2.0 * handedness, -2.5, 3.0])
    affine[:3, 3] = -affine[:3, :3] @ [30.0, 30.0, 20.0]
    return affine


def head(handedness: int) -> tuple[MapSet, Image, Map]:
    """Ellipsoidal brain in a head; chi_total +0.09 in the marker, -0.09 opposite, 0.03 elsewhere; one lesion."""
    grid = Grid((61, 61, 41), tilted_affine(handedness))
    ijk = np.moveaxis(np.indices(grid.shape), 0, -1)
    ras = ijk @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    brain = np.sum((ras / [38.0, 48.0, 34.0]) ** 2, axis=-1) < 1.0
    magnitude = 600.0 * (np.sum((ras / [46.0, 56.0, 42.0]) ** 2, axis=-1) < 1.0)
    chi = np.where(brain, 0.03, 0.0)
    chi[np.linalg.norm(ras - MARKER_MM, axis=-1) < 9.0] = 0.09
    chi[np.linalg.norm(ras + MARKER_MM, axis=-1) < 9.0] = -0.09
    para = np.clip(chi, 0.0, None)
    lesion = np.linalg.norm(ras - MARKER_MM * [-1, 1, 1], axis=-1) < 9.0
    arrays = {"chi_total": chi.astype(np.float32), "chi_para": para.astype(np.float32), "brain_mask": brain}
    scan = ScanParameters(echo_times_s=(0.005,), field_strength_t=3.0, b0_direction_ijk=grid.b0_direction_ijk)
    maps = MapSet(grid, scan, {name: Map(name=name, data=data, grid=grid) for name, data in arrays.items()})
    return maps, Image(magnitude.astype(np.float32), grid), Map(name="lesions", data=lesion.astype(np.uint8), grid=grid)


@pytest.fixture(autouse=True, scope="module")
def _renderer() -> None:
    """Skip, and say why, on a machine that cannot draw off screen."""
    try:
        renderer.check_renderer()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(params=[1, -1], ids=["right-handed", "left-handed"])
def nodes(request: pytest.FixtureRequest, scene: Any) -> dict[str, Any]:
    maps, magnitude, lesions = head(request.param)
    made = add_maps(scene, maps, folder_name="Phantom", extra_images={"magnitude": magnitude})
    return {**made, "lesions": add_lesions(scene, lesions, folder_name="Phantom")}


def nearest_color(table: str, value: float, low: float, high: float) -> np.ndarray:
    colors = color_table(table)
    return colors[round((value - low) / (high - low) * (len(colors) - 1))] * 255.0


def center_of(picture: np.ndarray, color: np.ndarray, tolerance: float = 6.0) -> tuple[float, float]:
    """Mean (row, column) of pixels of a colour, left of the legend, from -1 to 1 about the image's middle."""
    width = round(picture.shape[1] * (1.0 - STRIP))
    rows, columns = np.nonzero(np.abs(picture[:, :width].astype(float) - color).max(axis=-1) <= tolerance)
    assert rows.size > 50, "the colour is not there"
    return 2.0 * rows.mean() / picture.shape[0] - 1.0, 2.0 * columns.mean() / width - 1.0


@pytest.mark.parametrize(
    ("orientation", "right", "up"),
    [
        # Radiological: the patient's left is on the right; the sagittal view looks from the patient's left.
        ("Axial", np.array([-1.0, 0, 0]), np.array([0, 1.0, 0])),
        ("Coronal", np.array([-1.0, 0, 0]), np.array([0, 0, 1.0])),
        ("Sagittal", np.array([0, -1.0, 0]), np.array([0, 0, 1.0])),
    ],
)
def test_sides_are_right(
    scene: Any, nodes: dict[str, Any], tmp_path: Path, orientation: str, right: np.ndarray, up: np.ndarray
) -> None:
    for sign in (1.0, -1.0):
        (path,) = slice_pictures(
            scene, nodes["magnitude"], nodes["chi_total"], tmp_path, orientations=[orientation],
            center_ras=tuple(sign * MARKER_MM), size_px=SIZE,
        )  # fmt: skip
        row, column = center_of(imread(path), nearest_color(DIVERGING, sign * 0.09, -0.1, 0.1))
        assert np.sign(column) == np.sign(sign * right @ MARKER_MM)
        assert np.sign(-row) == np.sign(sign * up @ MARKER_MM)


def test_the_marker_lies_at_its_millimetres(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    mask = map_from_node(nodes["brain_mask"])
    inside = np.argwhere(mask.data)
    ends = inside.min(axis=0) - 0.5, inside.max(axis=0) + 0.5
    corners = [[ends[side][axis] for axis, side in enumerate(sides)] for sides in np.ndindex(2, 2, 2)]
    box = np.array(corners) @ mask.grid.affine[:3, :3].T + mask.grid.affine[:3, 3]
    # The box fills the image beside the legend, 10 % of its extent left free.
    image_px = np.array([SIZE[0] * (1.0 - STRIP), SIZE[1]])
    mm_per_px = np.max(np.ptp(box[:, :2], axis=0) * 1.1 / image_px)
    (path,) = slice_pictures(scene, nodes["magnitude"], nodes["chi_total"], tmp_path, orientations=["Axial"],
                             center_ras=tuple(MARKER_MM), size_px=SIZE)  # fmt: skip
    row, column = center_of(imread(path), nearest_color(DIVERGING, 0.09, -0.1, 0.1))
    found = (box.max(axis=0) + box.min(axis=0))[:2] / 2.0 - np.array([column, row]) * image_px / 2.0 * mm_per_px
    np.testing.assert_allclose(found, MARKER_MM[:2], atol=0.5)


@pytest.mark.parametrize(("orientation", "letters"), [("Axial", "RLAP"), ("Coronal", "RLSI"), ("Sagittal", "APSI")])
def test_letters_name_the_sides(scene: Any, nodes: dict[str, Any], orientation: str, letters: str) -> None:
    region = Region(np.array([3.0, -12.0, 7.26]), np.array(list(np.ndindex(2, 2, 2))) * 50.0 - 25.0)
    with slice_view(scene, SIZE) as view:
        view.show(nodes["magnitude"], nodes["chi_total"], 1.0)
        view.draw(orientation, region)
        assert "".join(actor.GetInput() for actor in view.letters) == letters
        where = {"Axial": "S 7.3 mm", "Coronal": "P 12.0 mm", "Sagittal": "R 3.0 mm"}
        assert view.position.GetInput() == where[orientation]


@pytest.fixture
def axial(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> Iterator[np.ndarray]:
    nodes["lesions"].GetDisplayNode().SetVisibility(False)
    paths = slice_pictures(scene, nodes["magnitude"], nodes["chi_para"], tmp_path, orientations=["Axial"],
                           center_ras=(0.0, 0.0, 0.0), size_px=SIZE)  # fmt: skip
    return imread(paths[0])


def test_values_have_the_legends_colors(axial: np.ndarray) -> None:
    middle = axial[SIZE[1] // 2 - 30, round(SIZE[0] * (1 - STRIP) / 2)]
    np.testing.assert_allclose(middle, nearest_color(PARA, 0.03, 0.0, 0.1), atol=3)


def test_the_grey_image_shows_outside_the_mask(axial: np.ndarray) -> None:
    width = round(SIZE[0] * (1.0 - STRIP))
    grey = axial[:, :width].astype(float)
    # The head's skull lies between brain and air: bright, without hue.
    bright = (grey.min(axis=-1) > 120.0) & (np.ptp(grey, axis=-1) < 2.0)
    assert bright.mean() > 0.05
    center = axial[SIZE[1] // 2 - 30 : SIZE[1] // 2 + 30, width // 2 - 30 : width // 2 + 30]
    assert np.all(np.ptp(center.astype(float), axis=-1) > 20.0)


def test_the_legend_has_the_whole_table_and_stands_beside_the_brain(axial: np.ndarray) -> None:
    width = round(SIZE[0] * (1.0 - STRIP))
    strip = axial[:, width + 1 :].astype(float)
    for color in color_table(PARA)[[16, 64, 128, 192, 240]] * 255.0:
        assert np.any(np.abs(strip - color).max(axis=-1) <= 3.0)
    # Nothing but black, white-grey letters and the bar's colours; the head itself does not reach into the strip.
    text = (np.ptp(strip, axis=-1) < 3.0) & (strip.max(axis=-1) > 100.0)
    assert 0.01 < text.mean() < 0.15
    assert np.all(strip[: SIZE[1] // 12] == 0.0)
    assert np.all(strip[:, :3] == 0.0)


def test_a_wide_head_is_covered_behind_the_legend(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    nodes["magnitude"].GetImageData().GetPointData().GetScalars().Fill(600.0)
    paths = slice_pictures(scene, nodes["magnitude"], nodes["chi_para"], tmp_path, orientations=["Sagittal"],
                           center_ras=(0.0, 0.0, 0.0), size_px=SIZE)  # fmt: skip
    picture, width = imread(paths[0]), round(SIZE[0] * (1.0 - STRIP))
    middle = SIZE[1] // 2
    assert picture[middle - 20, width - 10].min() > 120
    assert picture[middle - 60 : middle + 60, width + 1 : width + 5].max() == 0


def test_zero_inside_the_brain_is_drawn(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    paths = slice_pictures(scene, nodes["magnitude"], nodes["chi_para"], tmp_path, orientations=["Axial"],
                           center_ras=tuple(-MARKER_MM), size_px=SIZE)  # fmt: skip
    # chi_para is zero in the diamagnetic marker: black there, not the grey image.
    center_of(imread(paths[0])[130:280, 150:300], np.zeros(3), tolerance=2.0)


def test_lesions_are_outlined_over_the_map(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    paths = slice_pictures(scene, nodes["magnitude"], nodes["chi_para"], tmp_path, orientations=["Axial"],
                           center_ras=tuple(MARKER_MM), size_px=SIZE)  # fmt: skip
    picture = imread(paths[0]).astype(float)
    line = np.abs(picture - np.array(CATEGORICAL[0]) * 255.0).max(axis=-1) <= 3.0
    rows, columns = np.nonzero(line)
    assert rows.size > 50
    middle = picture[round(rows.mean()), round(columns.mean())]
    np.testing.assert_allclose(middle, nearest_color(PARA, 0.03, 0.0, 0.1), atol=3)


def test_pictures_leave_the_scene_as_it_was(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    def content() -> tuple[list[str], int]:
        hierarchy = scene.GetSubjectHierarchyNode()
        return [scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())], hierarchy.GetNumberOfItems()

    before = content()
    slice_pictures(scene, nodes["magnitude"], nodes["chi_total"], tmp_path, size_px=SIZE)
    assert content() == before


def test_a_png_name_puts_all_side_by_side(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "all.png"
    assert slice_pictures(scene, nodes["magnitude"], nodes["chi_total"], path, size_px=SIZE) == [path]
    assert imread(path).shape == (SIZE[1], 3 * SIZE[0], 3)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_gets_one_file_each(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    paths = slice_pictures(scene, nodes["magnitude"], nodes["chi_total"], tmp_path / "new", size_px=SIZE)
    assert [one.name for one in paths] == [f"chi_total_{name}.png" for name in ("axial", "coronal", "sagittal")]


def test_without_a_grey_image_the_map_stands_on_black(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    paths = slice_pictures(scene, None, nodes["chi_para"], tmp_path, orientations=["Axial"], size_px=SIZE)
    picture = imread(paths[0]).astype(float)
    grey = (picture.min(axis=-1) > 120.0) & (np.ptp(picture, axis=-1) < 2.0)
    assert grey.mean() < 0.05
    np.testing.assert_allclose(picture[SIZE[1] // 2 - 30, 200], nearest_color(PARA, 0.03, 0.0, 0.1), atol=3)


def test_pictures_are_the_same_each_time(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    first, second = (
        imread(slice_pictures(scene, nodes["magnitude"], nodes["chi_total"], tmp_path / name, size_px=SIZE)[0])
        for name in ("a.png", "b.png")
    )
    np.testing.assert_array_equal(first, second)


def test_bad_choices_are_refused(scene: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Axial, Coronal, Sagittal"):
        slice_pictures(scene, nodes["magnitude"], nodes["chi_total"], tmp_path, orientations=["Oblique"])
    nodes["brain_mask"].GetImageData().GetPointData().GetScalars().Fill(0)
    with pytest.raises(InputError, match="no voxel inside"):
        slice_pictures(scene, nodes["magnitude"], nodes["chi_total"], tmp_path, mask=nodes["brain_mask"])


def test_a_missing_renderer_names_the_packages_and_leaves_no_file(
    scene: Any, nodes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renderer._window_class.cache_clear()
    monkeypatch.setattr(renderer, "_TRIAL", "import os; os.abort()")
    try:
        with pytest.raises(MissingDependencyError, match=r"libegl1 libegl-mesa0 .*libosmesa6"):
            slice_pictures(scene, nodes["magnitude"], nodes["chi_total"], tmp_path)
    finally:
        renderer._window_class.cache_clear()
    assert not list(tmp_path.iterdir())


def test_the_trial_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer.check_renderer()

    def never(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("a second trial")

    monkeypatch.setattr(subprocess, "run", never)
    renderer.check_renderer()


def test_no_opengl_library_ends_in_one_clear_error(tmp_path: Path) -> None:
    """The real thing: a window class that cannot start, in a process of its own that must survive."""
    code = (
        "from ChiSepPreprocessLib.errors import MissingDependencyError\n"
        "from ChiSepPreprocessLib.scene.renderer import offscreen_window\n"
        "try: offscreen_window((8, 8))\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    # Empty folders in place of the drivers' lists: EGL finds no vendor, and OSMesa no library.
    environment = {
        "PATH": "", "__EGL_VENDOR_LIBRARY_DIRS": str(tmp_path), "LIBGL_DRIVERS_PATH": str(tmp_path),
        "VTK_DEFAULT_OPENGL_WINDOW": "vtkEGLRenderWindow",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, "libegl1" in done.stdout) == (0, True), done.stdout + done.stderr
