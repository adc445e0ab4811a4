"""Lesions from FLAIR: analytic images with known lesions, bad input, and patients with consensus lesions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from ChiSeparationLib.lesions.segmentation.options import SegmentationOptions
from ChiSeparationLib.lesions.segmentation.prominence import prominence
from ChiSeparationLib.lesions.segmentation.segment import NONE_FOUND, segment_lesions
from ChiSeparationLib.lesions.segmentation.smoothing import smoothed_inside
from ChiSepPreprocessLib.artifacts import Array, Grid, Image
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti

#: Centre (mm from the middle) and radius, mm.
LESIONS = ((20.0, 10.0, 5.0, 5.0), (-22.0, -15.0, 10.0, 3.5), (18.0, -20.0, -12.0, 2.5))


def _head(
    size_mm: tuple[float, float, float] = (1.5, 1.5, 1.5), *, lesions: bool = True, scale: float = 1.0,
    slope: float = 0.0, tilt: Array | None = None,
) -> tuple[Image, Array]:  # fmt: skip
    """A brain of white matter, folded bright cortex and dark ventricles, and its lesions."""
    directions = np.eye(3) if tilt is None else tilt
    shape = tuple(round(140.0 / size) for size in size_mm)
    affine = np.eye(4)
    affine[:3, :3] = directions * size_mm
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    grid = Grid(shape, affine)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(index @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    radius = np.sqrt((x / 58) ** 2 + (y / 64) ** 2 + (z / 55) ** 2)
    folded = (radius > 0.6) & (np.sin(x / 5) > -0.1)
    image = np.where((radius > 0.9) | folded, 108.0, 90.0)  # cortex, in folds of 15 mm
    image[(np.abs(np.abs(x) - 6) < 3) & (np.abs(y) < 20) & (np.abs(z) < 6)] = 15.0
    mask = np.zeros(shape, dtype=np.bool_)
    for a, b, c, r in LESIONS if lesions else ():
        mask |= (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 <= r**2
    image[mask] = 140.0
    image = ndimage.gaussian_filter(image, [0.7 / size for size in size_mm])
    image += np.random.default_rng(1).normal(0, 4, shape)
    image *= scale * (1 + slope * x / 58)
    return Image(np.where(radius < 1, image, 0).astype(np.float32), grid), mask


def _dice(found: Array, truth: Array) -> float:
    return float(2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)))


def test_lesions_are_found_where_they_are_and_nothing_else() -> None:
    flair, truth = _head()
    found = segment_lesions(flair)
    labels = found.labelled.lesions.data
    assert labels.max() == len(LESIONS)
    assert _dice(labels > 0, truth) > 0.95
    assert 90 < found.statistics["tissue_median"] < 108  # between white and grey matter
    assert not found.labelled.lesions.warnings


def test_scale_of_the_image_changes_nothing() -> None:
    one, other = (segment_lesions(_head(scale=scale)[0]) for scale in (1.0, 3e-4))
    np.testing.assert_array_equal(one.labelled.lesions.data, other.labelled.lesions.data)


def test_uneven_coils_are_evened_out() -> None:
    """From the left to the right the sensitivity doubles."""
    flair, truth = _head(slope=0.33)
    found = segment_lesions(flair)
    assert found.statistics["field_maximum"] / found.statistics["field_minimum"] > 1.5
    assert _dice(found.labelled.lesions.data > 0, truth) > 0.95
    assert found.labelled.lesions.data.max() == len(LESIONS)


@pytest.mark.parametrize("size_mm", [(1.0, 1.0, 3.0), (2.0, 1.2, 1.2)])
def test_voxels_may_be_long_and_turned(size_mm: tuple[float, float, float]) -> None:
    angle = np.deg2rad(25)
    turned = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    flair, truth = _head(size_mm, tilt=turned)
    labels = segment_lesions(flair).labelled.lesions.data
    met = np.unique(ndimage.label(truth, np.ones((3, 3, 3)))[0][labels > 0])
    assert np.count_nonzero(met) >= 2  # the smallest is hardly thicker than a slice
    assert _dice(labels > 0, truth) > 0.94


def test_a_healthy_brain_gives_an_empty_result_that_says_so() -> None:
    found = segment_lesions(_head(lesions=False)[0]).labelled.lesions
    assert not found.data.any()
    assert found.warnings[-1] == NONE_FOUND


def test_a_brain_mask_takes_the_place_of_brain_extraction() -> None:
    flair, truth = _head()
    brain = flair.data != 0
    head = np.where(brain, flair.data, np.float32(60.0))
    with pytest.raises(InputError, match=r"brain mask: got none"):
        segment_lesions(Image(head, flair.grid))
    assert _dice(segment_lesions(Image(head, flair.grid), brain).labelled.lesions.data > 0, truth) > 0.8


def test_what_is_no_brain_is_refused() -> None:
    flair, _ = _head((3.0, 3.0, 3.0))
    with pytest.raises(InputError, match="ml that are not 0"):
        segment_lesions(Image(flair.data, Grid(flair.grid.shape, np.diag([1.0, 1.0, 1.0, 1.0]))))
    with pytest.raises(InputError, match="same value"):
        segment_lesions(Image(np.where(flair.data != 0, np.float32(7), np.float32(0)), flair.grid))
    with pytest.raises(InputError, match="NaN"):
        segment_lesions(Image(np.where(flair.data != 0, np.float32(np.nan), np.float32(0)), flair.grid))
    with pytest.raises(InputError, match="brain mask"):
        segment_lesions(flair, np.ones((2, 2, 2), dtype=np.bool_))
    with pytest.raises(InputError, match="growth"):
        SegmentationOptions(growth=1.0)
    with pytest.raises(InputError, match="SD"):
        SegmentationOptions(contrast=float("nan"))


def test_prominence_is_the_height_above_the_best_way_out() -> None:
    """A ridge from the rim keeps nothing; a peak beyond a valley keeps its height above the valley."""
    line = np.array([5, 4, 6, 1, 7, 9, 2, 0], dtype=np.float32).reshape(1, 1, -1)
    inside, rim = np.ones_like(line, dtype=bool), np.zeros_like(line, dtype=bool)
    rim[..., 0] = True
    expected = [0, 0, 2, 0, 6, 8, 1, 0]  # ways end at the left: lowest point on the way is 5, 4, 4, 1, 1, 1, 1, 0
    np.testing.assert_allclose(prominence(line, inside, rim).ravel(), expected)


def test_smoothing_does_not_darken_the_border() -> None:
    mask = np.zeros((9, 9, 9), dtype=np.bool_)
    mask[2:7, 2:7, 2:7] = True
    smooth = smoothed_inside(np.where(mask, np.float32(5), np.float32(100)), mask, 1.5, (1.0, 1.0, 2.0))
    np.testing.assert_allclose(smooth[mask], 5.0, rtol=1e-5)


@pytest.mark.parametrize(("patient", "dice", "sensitivity"), [("patient19", 0.78, 20), ("patient07", 0.49, 9)])
def test_patients_with_consensus_lesions(real_data: Path, patient: str, dice: float, sensitivity: int) -> None:
    """Measured 0.805 and 0.516; 20 of 35 and 9 of 17 lesions above 20 mm³."""
    data, grid = read_nifti(real_data / "ms" / patient / "flair.nii.gz")
    truth = read_nifti(real_data / "ms" / patient / "lesions_consensus.nii.gz")[0] > 0
    labels = segment_lesions(Image(data, grid)).labelled.lesions.data
    assert _dice(labels > 0, truth) > dice
    true, _ = ndimage.label(truth, np.ones((3, 3, 3)))
    large = np.flatnonzero(np.bincount(true.ravel())[1:] * grid.voxel_volume_mm3 > 20) + 1
    assert np.isin(large, np.unique(true[labels > 0])).sum() >= sensitivity
    false = labels.max() - np.count_nonzero(np.unique(labels[truth]))
    assert false <= 2
