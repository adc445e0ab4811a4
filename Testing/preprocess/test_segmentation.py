"""Masks from segmentations as 3D Slicer saves them: on a grid of their own, cut to the segment, in LPS."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from ChiSepPreprocessLib.artifacts import Array, Grid, Map
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.given import on_grid, read_given_map
from ChiSepPreprocessLib.segmentation import read_segmentation

_AFFINE = np.eye(4)
_AFFINE[:3, :3] = Rotation.from_euler("xyz", (20, -12, 7), degrees=True).as_matrix() @ np.diag((1.0, 1.3, 2.0))
_AFFINE[:3, 3] = (-30.0, 12.0, 7.0)
_GRID = Grid((21, 17, 15), _AFFINE)
#: Where the segment's own image begins and ends in the grid.
_CUT = (slice(3, 18), slice(2, 14), slice(4, 13))


def save(path: Path, labels: Array, affine: Array) -> Path:
    """Write an image as ITK has it, in LPS."""
    image = SimpleITK.GetImageFromArray(labels.transpose(2, 1, 0).astype(np.uint8))
    size = np.linalg.norm(affine[:3, :3], axis=0)
    flip = np.array([-1.0, -1.0, 1.0])
    image.SetSpacing(size.tolist())
    image.SetDirection((flip[:, None] * affine[:3, :3] / size).ravel().tolist())
    image.SetOrigin((flip * affine[:3, 3]).tolist())
    SimpleITK.WriteImage(image, str(path))
    return path


@pytest.fixture
def brain() -> Array:
    mask = np.zeros(_GRID.shape, np.bool_)
    mask[5:16, 4:12, 6:11] = True
    mask[5, 4, 6] = False
    return mask


def cut(brain: Array) -> tuple[Array, Array]:
    affine = _AFFINE.copy()
    affine[:3, 3] += affine[:3, :3] @ [one.start for one in _CUT]
    return brain[_CUT], affine


def test_a_segment_comes_back_where_it_was_drawn(brain: Array, tmp_path: Path) -> None:
    path = save(tmp_path / "Brain.seg.nrrd", *cut(brain))
    one = read_given_map("brain_mask", path)
    assert one.grid.shape == (15, 12, 9)
    placed = on_grid(one, _GRID)
    np.testing.assert_array_equal(placed.data, brain)
    assert placed.grid is _GRID
    assert placed.options == {"segmentation": "nearest voxel"}


def test_one_segment_of_any_label_is_expected(brain: Array, tmp_path: Path) -> None:
    labels = brain.astype(np.uint8) * 7
    mask, grid = read_segmentation(save(tmp_path / "a.nrrd", labels, _AFFINE))
    np.testing.assert_array_equal(mask, brain)
    assert grid.matches(_GRID)
    labels[6, 6, 7] = 2
    for wrong, words in ((labels, "with 2 segments"), (labels * 0, "with 0 segments")):
        with pytest.raises(InputError, match=words):
            read_segmentation(save(tmp_path / "b.nrrd", wrong, _AFFINE))
    (tmp_path / "c.seg.nrrd").write_text("no image")
    with pytest.raises(InputError, match="cannot be read"):
        read_segmentation(tmp_path / "c.seg.nrrd")
    layers = SimpleITK.GetImageFromArray(np.ones((4, 4, 4, 2), np.uint8), isVector=True)
    SimpleITK.WriteImage(layers, str(tmp_path / "d.seg.nrrd"))
    with pytest.raises(InputError, match="several layers"):
        read_segmentation(tmp_path / "d.seg.nrrd")


def test_a_segment_elsewhere_is_refused_and_other_maps_are_left_alone(brain: Array, tmp_path: Path) -> None:
    away = _AFFINE.copy()
    away[0, 3] += 500.0
    one = read_given_map("brain_mask", save(tmp_path / "e.nrrd", brain, away))
    with pytest.raises(InputError, match="outside the GRE"):
        on_grid(one, _GRID)
    other = Map(name="brain_mask", data=brain, grid=Grid(_GRID.shape, away))
    assert on_grid(other, _GRID) is other
