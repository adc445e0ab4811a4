"""The page of quality control: orientation of its slices, and a file that opens and is small."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from ChiSepPhantoms import Phantom
from ChiSepPreprocessLib.artifacts import Acquisition, Grid, MapSet, ScanParameters
from ChiSepPreprocessLib.quality.picture import encoded, write_quality_picture
from ChiSepPreprocessLib.quality.record import quality_record
from ChiSepPreprocessLib.quality.summary import echo_rows, subtitle, summary_rows
from ChiSepPreprocessLib.quality.views import Planes

Image = pytest.importorskip("PIL.Image", reason="pictures need matplotlib, which brings Pillow")
pytest.importorskip("matplotlib", reason="pictures need matplotlib")

_MOST_BYTES = 400_000
_SIZE_MM = (1.0, 1.5, 2.5)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_slices_lie_as_radiologists_look_at_them(order: tuple[int, int, int], signs: tuple[int, int, int]) -> None:
    """Every one of the 48 orientations, and 10° off it; volumes that hold R, A and S coordinates."""
    tilt = np.deg2rad(10.0)
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    for voxel, world in enumerate(order):
        affine[:3, voxel] = turn @ (np.eye(3)[world] * signs[voxel] * _SIZE_MM[voxel])
    shape = (14, 16, 18)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"))
    right, anterior, superior = np.tensordot(affine[:3, :3], index, 1)
    mask = np.zeros(shape, np.bool_)
    mask[2:-2, 3:-1, 1:-4] = True
    planes = Planes(Grid(shape, affine), mask)
    falls = {"R": right, "L": -right, "A": anterior, "P": -anterior, "S": superior}
    for number, view in enumerate(planes.views):
        leftwards, upwards = planes.cut(falls[view.left])[number], planes.cut(falls[view.top])[number]
        assert np.all(np.diff(leftwards, axis=1) < 0)
        assert np.all(np.diff(upwards, axis=0) < 0)
        height = np.abs(np.diff(upwards, axis=0)).mean() / np.abs(np.diff(leftwards, axis=1)).mean()
        assert view.aspect == pytest.approx(height, rel=0.02)
        assert planes.cut(mask)[number].any()
    assert [(view.left, view.right) for view in planes.views] == [("R", "L"), ("R", "L"), ("A", "P")]


def test_middle_is_that_of_the_mask() -> None:
    mask = np.zeros((20, 20, 20), np.bool_)
    mask[4:9, 10:17, 2:5] = True
    index = np.stack(np.meshgrid(*(np.arange(20),) * 3, indexing="ij"))
    planes = Planes(Grid(mask.shape, np.eye(4)), mask)
    assert (planes.cut(index[2])[0] == 3).all()
    assert (planes.cut(index[1])[1] == 13).all()
    assert (planes.cut(index[0])[2] == 6).all()


def draw(path: Path, acquisition: Acquisition, maps: MapSet) -> np.ndarray:
    write_quality_picture(path, quality_record(acquisition, maps), acquisition, maps)
    with Image.open(path) as page:
        assert page.format == "PNG"
        assert page.text == {}
        return np.asarray(page.convert("RGB"))


def alarms(pixels: np.ndarray) -> int:
    """Pixels in the colour of warnings in the upper fifth of the page."""
    upper = pixels[: pixels.shape[0] // 5].astype(int)
    return int(np.sum((np.abs(upper - (0xB3, 0x46, 0x0E)) < 24).all(axis=2)))


def test_page_is_small_a4_and_shows_its_warnings(patient: Phantom, tmp_path: Path) -> None:
    good = draw(tmp_path / "good.png", patient.acquisition, patient.truth)
    assert (tmp_path / "good.png").stat().st_size <= _MOST_BYTES
    assert good.shape[0] / good.shape[1] == pytest.approx(297 / 210, rel=2e-3)
    turned = replace(patient.acquisition, gre_phase=patient.acquisition.gre_phase[..., ::-1].copy())
    bad = draw(tmp_path / "bad.png", turned, patient.truth)
    assert alarms(good) == 0
    assert alarms(bad) > 500
    assert list(tmp_path.glob(".part*")) == []


def test_noise_over_half_of_the_page_still_fits() -> None:
    """Fewer levels of colour make room; white and black stay what they are."""
    page = np.full((700, 500, 3), 255, np.uint8)
    page[:350] = np.clip(np.random.default_rng(0).normal(150, 30, (350, 500, 1)), 1, 254)
    page[0, 0] = 0
    content = encoded(page, most_bytes=150_000)
    with Image.open(io.BytesIO(content)) as read:
        levels = np.asarray(read)
    assert len(content) <= 150_000
    assert (levels[350:] == 255).all()
    assert (levels[0, 0] == 0).all()
    assert np.abs(levels.astype(int) - page).max() < 16


def test_page_of_one_echo_and_no_maps(patient: Phantom, tmp_path: Path) -> None:
    whole = patient.acquisition
    scan: ScanParameters = replace(whole.scan, echo_times_s=whole.scan.echo_times_s[:1])
    one = replace(whole, gre_magnitude=whole.gre_magnitude[..., :1], gre_phase=whole.gre_phase[..., :1], scan=scan,
                  spin_echo=None)  # fmt: skip
    mask = patient.truth["brain_mask"]
    draw(tmp_path / "one.png", one, MapSet(mask.grid, scan, {"brain_mask": mask}))


def test_tables_mark_what_is_beyond_a_limit(patient: Phantom) -> None:
    record = quality_record(patient.acquisition, patient.truth)
    assert not any(row.is_broken for row in summary_rows(record))
    small = replace(record, mask=replace(record.mask, volume_ml=300.0))
    (marked,) = (row for row in summary_rows(small) if row.is_broken)
    assert marked.cells == ("Brain mask (adults 1100 to 1700 ml)", "300 ml")
    assert len(echo_rows(record)) == 7
    assert "2.20 × 2.00 × 2.50 mm" in subtitle(record)
    assert all(len(row.cells) == 2 for row in summary_rows(record))
