"""Scene files: all comes back in a fresh scene, whole or not at all, and nothing from outside the file."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Grid, Image, Map, MapSet
from ChiSepPreprocessLib.errors import InputError, OutputError
from ChiSepPreprocessLib.scene.colors import DIVERGING, PARA, SIZE, color_table
from ChiSepPreprocessLib.scene.mrb import check_mrb, read_mrb, write_mrb
from ChiSepPreprocessLib.scene.nodes import add_image, add_lesions, add_map, add_maps, map_from_node
from ChiSepPreprocessLib.scene.session import close_session, open_session

NAMES = ("chi_para", "chi_total", "r2star", "brain_mask")
GRADE = 'Grade 3: loss of myelin, {"rim": true}, χ⁺'


@pytest.fixture
def file(scene: Any, maps: MapSet, tmp_path: Path) -> Path:
    add_maps(scene, maps, folder_name="Patient 7", extra_images={"magnitude": Image(maps.array("r2star"), maps.grid)})
    add_lesions(scene, maps["lesions"], {3: {"ChiSeparation.Grade": GRADE}}, folder_name="Patient 7")
    return write_mrb(scene, tmp_path / "results of é" / "patient 7.mrb")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Content of a small scene file."""
    grid, session = Grid((5, 6, 7), np.eye(4)), open_session()
    data = np.random.default_rng(5).random(grid.shape, dtype=np.float32)
    add_map(session.scene, Map(name="chi_para", data=data, grid=grid))
    content = write_mrb(session.scene, tmp_path_factory.mktemp("bundle") / "scene.mrb").read_bytes()
    close_session(session.scene)
    return content


@pytest.fixture
def copy(bundle: bytes, tmp_path: Path) -> Path:
    """A scene file to damage."""
    path = tmp_path / "scene.mrb"
    path.write_bytes(bundle)
    return path


@pytest.fixture
def loaded(file: Path) -> Any:
    fresh = read_mrb(file)
    yield fresh
    close_session(fresh)


@pytest.mark.parametrize("name", NAMES)
def test_maps_survive(loaded: Any, maps: MapSet, name: str) -> None:
    before, after = maps[name], map_from_node(loaded.GetFirstNodeByName(name))
    np.testing.assert_array_equal(after.data, before.data)
    assert after.data.dtype == before.data.dtype
    np.testing.assert_allclose(after.grid.affine, before.grid.affine, rtol=0.0, atol=1e-9)
    assert (after.method, after.options, after.warnings) == (before.method, before.options, before.warnings)


def test_colors_windows_and_units_survive(loaded: Any) -> None:
    for name, table, limits in (("chi_para", PARA, (0.0, 0.1)), ("chi_total", DIVERGING, (-0.1, 0.1))):
        node = loaded.GetFirstNodeByName(name)
        display, colors = node.GetDisplayNode(), node.GetDisplayNode().GetColorNode()
        assert colors.GetName() == table
        lookup = colors.GetLookupTable()
        found = np.array([lookup.GetTableValue(index)[:3] for index in range(SIZE)])
        np.testing.assert_allclose(found, color_table(table), atol=0.51 / 255)
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == pytest.approx(limits)
        assert not display.GetAutoWindowLevel()
        assert node.GetVoxelValueUnits().GetCodeValue() == "[ppm]"


def test_the_folder_survives(loaded: Any) -> None:
    hierarchy = loaded.GetSubjectHierarchyNode()
    folder = hierarchy.GetItemChildWithName(hierarchy.GetSceneItemID(), "Patient 7")
    names = {hierarchy.GetItemName(item) for item in _children(hierarchy, folder)}
    assert names == {*NAMES, "magnitude", "lesions"}


def _children(hierarchy: Any, folder: int) -> list[int]:
    return [hierarchy.GetItemByPositionUnderParent(folder, n) for n in range(hierarchy.GetNumberOfItemChildren(folder))]


def test_lesions_and_grades_survive(loaded: Any, maps: MapSet) -> None:
    import slicer.util
    from vtkmodules.vtkCommonCore import reference

    node = loaded.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    segmentation = node.GetSegmentation()
    assert [segmentation.GetNthSegmentID(n) for n in range(3)] == ["Lesion_1", "Lesion_3", "Lesion_40"]
    text = reference("")
    segmentation.GetSegment("Lesion_3").GetTag("ChiSeparation.Grade", text)
    assert str(text) == GRADE
    for label in (1, 3, 40):
        labels = slicer.util.arrayFromSegmentInternalBinaryLabelmap(node, f"Lesion_{label}")
        inside = labels == segmentation.GetSegment(f"Lesion_{label}").GetLabelValue()
        # Slicer may crop the stored image; the centre in RAS tells that the voxels lie where they did.
        image = node.GetBinaryLabelmapInternalRepresentation(f"Lesion_{label}")
        assert inside.sum() == (maps.array("lesions") == label).sum()
        np.testing.assert_allclose(_center(image, inside), _expected_center(maps, label), rtol=0.0, atol=1e-9)


def _center(image: Any, inside: np.ndarray) -> np.ndarray:
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    matrix, extent = vtkMatrix4x4(), image.GetExtent()
    image.GetImageToWorldMatrix(matrix)
    ijk = np.argwhere(inside).mean(axis=0)[::-1] + extent[::2]
    return np.array(matrix.MultiplyPoint([*ijk, 1.0])[:3])


def _expected_center(maps: MapSet, label: int) -> np.ndarray:
    ijk = np.argwhere(maps.array("lesions") == label).mean(axis=0)
    return (maps.grid.affine @ [*ijk, 1.0])[:3]


def test_the_file_names_the_version_that_wrote_it(copy: Path) -> None:
    with zipfile.ZipFile(copy) as archive:
        text = archive.read("scene/scene.mrml").decode()
    assert f'version="slicer-core {version("slicer-core").rpartition(".")[0]} 0"' in text


def test_reading_twice_into_one_scene_replaces_it(file: Path, loaded: Any) -> None:
    read_mrb(file, loaded)
    assert loaded.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_a_second_file_replaces_the_first_and_leaves_nothing_beside_it(scene: Any, file: Path) -> None:
    write_mrb(scene, file)
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    check_mrb(file)


def test_other_endings_are_refused(scene: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ends with"):
        write_mrb(scene, tmp_path / "scene.zip")


def test_a_place_that_cannot_be_written_is_named(scene: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        write_mrb(scene, tmp_path / "file" / "scene.mrb")


def test_a_failed_write_leaves_the_older_file(
    scene: Any, maps: MapSet, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()
    monkeypatch.setattr(zipfile, "is_zipfile", lambda _path: False)
    with pytest.raises(OutputError, match="Cannot write"):
        write_mrb(scene, file)
    assert file.read_bytes() == before
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def _with_scene_text(file: Path, change: Callable[[str], str]) -> None:
    changed = file.with_name("changed.mrb")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name.endswith(".mrml") else content)
    changed.replace(file)


@pytest.mark.parametrize("place", ["/etc/passwd", "../../secret.nrrd", "C:\\secret.nrrd", "..%2Fsecret.nrrd"])
def test_references_to_files_outside_are_refused(copy: Path, place: str) -> None:
    _with_scene_text(copy, lambda text: re.sub(r'fileName="[^"]+\.nrrd"', lambda _m: f'fileName="{place}"', text))
    with pytest.raises(InputError, match="files inside the bundle"):
        read_mrb(copy)


def test_references_to_addresses_are_refused(copy: Path) -> None:
    _with_scene_text(copy, lambda text: text.replace("fileName=", 'uri="https://example.org/x.nrrd" fileName=', 1))
    with pytest.raises(InputError, match=r"example\.org"):
        read_mrb(copy)


@pytest.mark.parametrize("member", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "C:/outside.txt"])
def test_members_outside_are_refused(copy: Path, member: str) -> None:
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr(member, "x")
    with pytest.raises(InputError, match="members inside the bundle"):
        read_mrb(copy)


def test_links_are_refused(copy: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="the member link"):
        read_mrb(copy)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_cut_files_are_refused(copy: Path, keep: float) -> None:
    os.truncate(copy, int(copy.stat().st_size * keep))
    with pytest.raises(InputError, match="damaged"):
        read_mrb(copy)


def test_changed_bytes_are_noticed(copy: Path) -> None:
    content = bytearray(copy.read_bytes())
    with zipfile.ZipFile(copy) as archive:
        member = max(archive.infolist(), key=lambda one: one.compress_size)
    content[member.header_offset + 200 : member.header_offset + 230] = bytes(30)
    copy.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_mrb(copy)


def test_other_archives_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_mrb(tmp_path / "none.mrb")
    with zipfile.ZipFile(tmp_path / "other.mrb", "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(InputError, match="exactly one"):
        read_mrb(tmp_path / "other.mrb")


def test_a_cleared_scene_can_be_filled_again(scene: Any, maps: MapSet, tmp_path: Path) -> None:
    scene.Clear(0)
    add_image(scene, "magnitude", Image(maps.array("r2star"), maps.grid))
    check_mrb(write_mrb(scene, tmp_path / "again.mrb"))
