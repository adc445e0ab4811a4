"""What is written as DICOM comes back: values, phase in radians, echo times and the place of every voxel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from ChiSepPreprocessLib.artifacts import Acquisition, Grid
from ChiSepPreprocessLib.dicom.decoder import decode
from ChiSepPreprocessLib.dicom.headers import read_frames
from ChiSepPreprocessLib.dicom.series import stacks_of
from ChiSepPreprocessLib.loading import LoadOptions, inspect, load_acquisition, load_image, load_spin_echo
from dicom_writer_for_tests import (
    Array,
    EnhancedFrame,
    Slab,
    Style,
    philips_styles,
    rotation,
    write_enhanced,
    write_siemens_gre,
    write_volume,
)

ECHO_TIMES_MS = (7.7, 12.73, 17.76)


def _stored(slab: Slab, echoes: int = 3, seed: int = 1) -> tuple[Array, Array]:
    """Magnitude and phase as 12 stored bits, each voxel different, phase over the whole range."""
    random = np.random.default_rng(seed)
    shape = (*slab.shape, echoes)
    phase = random.integers(0, 4096, shape)
    phase[0, 0, 0], phase[1, 0, 0] = 0, 4095
    return random.integers(0, 4096, shape), phase


def _assert_in_place(grid: Grid, slab: Slab) -> None:
    """Every corner and an inner voxel within 1e-4 mm of the standard's formula."""
    i, j, k = (n - 1 for n in slab.shape)
    for voxel in [(0, 0, 0), (i, 0, 0), (0, j, 0), (0, 0, k), (i, j, k), (3, 5, 2)]:
        found = (grid.affine @ [*voxel, 1.0])[:3]
        assert np.abs(found - slab.ras(*voxel)).max() < 1e-4


@pytest.mark.parametrize(
    "axes",
    [
        np.eye(3),
        rotation(20.0, -12.0, 7.0),
        np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),  # sagittal
        rotation(80.0, 5.0, -3.0),  # oblique coronal
    ],
    ids=["axial", "double oblique", "sagittal", "coronal"],
)
def test_siemens_series_come_back_exactly(tmp_path: Path, axes: Array) -> None:
    slab = Slab(axes=axes)
    magnitude, phase = _stored(slab)
    write_siemens_gre(tmp_path, slab, ECHO_TIMES_MS, magnitude, phase)

    loaded = load_acquisition([tmp_path])

    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)
    np.testing.assert_allclose(loaded.gre_phase, np.pi * (2.0 * phase - 4096.0) / 4096.0, atol=1e-6)
    assert loaded.scan.echo_times_s == pytest.approx([0.0077, 0.01273, 0.01776], abs=1e-12)
    assert loaded.scan.field_strength_t == 3.0
    assert loaded.scan.imaging_frequency_hz == pytest.approx(123.25e6)
    _assert_in_place(loaded.grid, slab)
    # B0 is scanner z: its part along each voxel axis is that axis' z cosine.
    np.testing.assert_allclose(loaded.scan.b0_direction_ijk, axes[2], atol=1e-6)
    assert loaded.source["b0_tilt_deg"] == pytest.approx(np.degrees(np.arccos(np.abs(axes[2]).max())), abs=1e-4)


def test_slices_against_the_normal_come_back_in_place(tmp_path: Path) -> None:
    """A left-handed stack, whose slices advance against row × column, is read from its positions."""
    slab = Slab(slice_step_mm=-2.3)
    magnitude, phase = _stored(slab)
    write_siemens_gre(tmp_path, slab, ECHO_TIMES_MS, magnitude, phase)
    loaded = load_acquisition([tmp_path])
    last = slab.shape[2] - 1
    for k in range(slab.shape[2]):
        np.testing.assert_array_equal(loaded.gre_magnitude[:, :, last - k], magnitude[:, :, k])
        found = (loaded.grid.affine @ [4, 2, last - k, 1.0])[:3]
        assert np.abs(found - slab.ras(4, 2, k)).max() < 1e-4


def _write_philips(folder: Path, slab: Slab, magnitude: Array, phase: Array) -> None:
    for style, stored in zip(philips_styles(), (magnitude, phase), strict=True):
        for echo in (1, 0):
            write_volume(folder, style, slab, (2.3, 4.6)[echo], stored[..., echo])


def test_philips_series_of_both_components_is_taken_apart(tmp_path: Path) -> None:
    slab = Slab()
    magnitude, phase = _stored(slab, echoes=2)
    _write_philips(tmp_path, slab, magnitude, phase)

    loaded = load_acquisition([tmp_path])

    # (PV·RS + RI)/(RS·SS) with RI = 0 is PV/SS.
    np.testing.assert_allclose(loaded.gre_magnitude, magnitude / 2.4e-4, rtol=1e-6)
    np.testing.assert_allclose(loaded.gre_phase, phase * (2 * np.pi / 4095) - np.pi, atol=5e-4)
    # Precise values beat the rounded milliradians of the rescale, which miss by 1.3e-4 of ±π.
    rescaled = (phase * (2 * 3142 / 4095) - 3142) / ((2 * 3142 / 4095) * (4095 / (2 * np.pi)))
    np.testing.assert_allclose(loaded.gre_phase, rescaled, atol=1e-6)
    assert loaded.scan.echo_times_s == (0.0023, 0.0046)
    assert loaded.source["vendor"] == "Philips"
    assert loaded.warnings == ()
    _assert_in_place(loaded.grid, slab)


def _ge_truth(slab: Slab) -> tuple[Array, Array, Array]:
    """Amplitude, phase, and the stored complex signal: conjugate, with the sign of slices alternating."""
    i, j, k, echo = np.meshgrid(*[np.arange(n) for n in (*slab.shape, 3)], indexing="ij")
    truth = np.angle(np.exp(1j * (0.3 + 0.2 * i + 0.1 * j - 0.15 * k) * (echo + 1)))
    amplitude = 1000.0 + 10.0 * i + 3.0 * j + 2.0 * k
    return amplitude, truth, amplitude * np.exp(-1j * truth) * np.where(k % 2, -1.0, 1.0)


def _write_ge(folder: Path, slab: Slab, parts: dict[int, Array]) -> None:
    for number, part in parts.items():
        style = Style(manufacturer="GE MEDICAL SYSTEMS", image_type=("ORIGINAL", "PRIMARY", "OTHER"), ge=number)
        for e, time in enumerate(ECHO_TIMES_MS):
            write_volume(folder, style, slab, time, np.round(part[..., e]))


@pytest.mark.parametrize("polar", [False, True], ids=["real and imaginary", "magnitude and phase"])
def test_ge_gets_the_sign_of_the_field_and_slices_that_do_not_alternate(tmp_path: Path, polar: bool) -> None:
    slab = Slab()
    amplitude, truth, stored = _ge_truth(slab)
    parts = {0: np.abs(stored), 1: 1000.0 * np.angle(stored)} if polar else {2: stored.real, 3: stored.imag}
    _write_ge(tmp_path, slab, parts)

    loaded = load_acquisition([tmp_path])

    np.testing.assert_allclose(loaded.gre_magnitude, amplitude, atol=0.8)  # half a quantum in both parts
    assert np.abs(np.angle(np.exp(1j * (loaded.gre_phase - truth)))).max() < 8e-4
    assert np.abs(loaded.gre_phase).max() <= np.float32(np.pi)
    assert loaded.source["phase_sign"] == "negated"
    assert [("alternates" in w, "opposite sign" in w) for w in loaded.warnings] == [(True, False), (False, True)]


def test_enhanced_multiframe_equals_classic(tmp_path: Path) -> None:
    slab = Slab()
    magnitude, phase = _stored(slab, echoes=2)
    style = Style(manufacturer="SIEMENS", scanning=None, image_type=("ORIGINAL", "PRIMARY", "M", "NONE"))
    frames = [
        EnhancedFrame(name, (4.0, 9.0)[echo], k, part[:, :, k, echo], rescale)
        for k in reversed(range(slab.shape[2]))
        for echo in (1, 0)
        for name, part, rescale in (("PHASE", phase, (2.0, -4096.0)), ("MAGNITUDE", magnitude, (1.0, 0.0)))
    ]
    write_enhanced(tmp_path / "one", style, slab, frames)
    loaded = load_acquisition([tmp_path / "one"])
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)
    np.testing.assert_allclose(loaded.gre_phase, np.pi * (2.0 * phase - 4096.0) / 4096.0, atol=1e-6)
    assert loaded.scan.echo_times_s == (0.004, 0.009)
    _assert_in_place(loaded.grid, slab)


def test_the_decoder_gives_the_numbers_of_a_standard_decoder(tmp_path: Path) -> None:
    """RLE, lossless: dcm2niix, which decodes other compression, agrees with the plain files in order and sign."""
    slab = Slab()
    stored = _stored(slab, echoes=1)[0][..., 0] - 2000
    files = write_volume(tmp_path / "plain", philips_styles()[0], slab, 2.3, stored)
    for file in files:
        image = dcmread(file)
        image.compress(RLELossless, generate_instance_uid=False)
        image.save_as(file)
    (stack,) = stacks_of(frame for file in files for frame in read_frames(file))
    np.testing.assert_array_equal(decode(stack.frames), stored.transpose(2, 1, 0))


def _study(folder: Path) -> tuple[Slab, Slab]:
    """Write a whole study in one folder: gradient echo, dual-echo TSE, FLAIR, a T1 and a localizer."""
    slab, se_slab = Slab(), Slab(shape=(7, 9, 5), slice_step_mm=4.0)
    magnitude, phase = _stored(slab)
    write_siemens_gre(folder, slab, ECHO_TIMES_MS, magnitude, phase)
    se_stored = np.random.default_rng(2).integers(0, 4096, (*se_slab.shape, 2))
    tse = Style(scanning="SE", sequence_name="*tse2d1_7", series="1.2.3.1.7", echo_train=7, repetition_ms=4000.0,
                frame_of_reference="1.2.3.8")  # fmt: skip
    for echo, time in enumerate((100.0, 10.0)):
        write_volume(folder, tse, se_slab, time, se_stored[..., 1 - echo])
    flair = replace(tse, scanning=["SE", "IR"], inversion_ms=2500.0, series="1.2.3.1.8", repetition_ms=9000.0)
    write_volume(folder, flair, se_slab, 90.0, se_stored[..., 0])
    mprage = Style(scanning=["GR", "IR"], inversion_ms=900.0, series="1.2.3.1.6", repetition_ms=2300.0)
    write_volume(folder, mprage, slab, 2.9, magnitude[..., 0])
    localizer = Style(series="1.2.3.1.5", repetition_ms=8.6)
    for axes in (np.eye(3), rotation(90.0, 0.0, 0.0)):
        write_volume(folder, localizer, Slab(axes=axes), 4.0, magnitude[..., 0])
    return slab, se_slab


def test_a_whole_study_gives_every_part(tmp_path: Path) -> None:
    slab, se_slab = _study(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image")

    loaded = load_acquisition([tmp_path])

    np.testing.assert_array_equal(loaded.gre_magnitude, _stored(slab)[0])
    assert loaded.spin_echo is not None and loaded.flair is not None
    assert (loaded.spin_echo.echo_times_s, loaded.spin_echo.is_turbo) == ((0.01, 0.1), True)
    expected = np.random.default_rng(2).integers(0, 4096, (*se_slab.shape, 2))
    np.testing.assert_array_equal(loaded.spin_echo.magnitude, expected)
    np.testing.assert_array_equal(loaded.flair.data, expected[..., 0])
    _assert_in_place(loaded.flair.grid, replace(se_slab))
    assert loaded.source["files_skipped"] == 1
    scans = {(row.scan, row.role) for row in inspect([tmp_path]).series}
    assert sorted(role for _, role in scans) == ["flair", "gre", "gre", "other", "tse"]


def test_parts_from_several_folders_and_repeated_paths(tmp_path: Path) -> None:
    """Files given twice, in any order and mix, count once."""
    slab = Slab()
    magnitude, phase = _stored(slab)
    write_siemens_gre(tmp_path / "all", slab, ECHO_TIMES_MS, magnitude, phase)
    files = sorted((tmp_path / "all").iterdir(), key=lambda path: hash(path.name))
    loaded = load_acquisition(files[5:], gre_phase=[*files, tmp_path / "all"])
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)
    assert loaded.source["files"] == len(files)


def test_stated_values_overrule_headers(tmp_path: Path) -> None:
    slab = Slab()
    magnitude, phase = _stored(slab)
    write_siemens_gre(tmp_path, slab, ECHO_TIMES_MS, magnitude, phase)
    options = LoadOptions(echo_times_s=(0.008, 0.013, 0.018), field_strength_t=2.9, flip_phase=True)
    plain, stated = load_acquisition([tmp_path]), load_acquisition([tmp_path], options=options)
    np.testing.assert_array_equal(stated.gre_phase, -plain.gre_phase)
    assert (stated.scan.echo_times_s, stated.scan.field_strength_t) == ((0.008, 0.013, 0.018), 2.9)
    assert stated.source["phase_sign"] == "negated"
    (warning,) = stated.warnings
    assert "7.7, 12.73, 17.76" in warning


def test_echo_times_missing_from_headers_follow_the_echo_numbers(tmp_path: Path) -> None:
    slab = Slab()
    magnitude, phase = _stored(slab)
    write_siemens_gre(tmp_path, slab, ECHO_TIMES_MS, magnitude, phase)
    for file in tmp_path.iterdir():
        image = dcmread(file)
        image.EchoNumbers = 1 + ECHO_TIMES_MS.index(float(image.EchoTime))
        del image.EchoTime
        image.save_as(file)
    loaded = load_acquisition([tmp_path], options=LoadOptions(echo_times_s=(0.004, 0.009, 0.014)))
    np.testing.assert_array_equal(loaded.gre_magnitude, magnitude)
    assert loaded.scan.echo_times_s == (0.004, 0.009, 0.014)


def test_field_strength_follows_from_the_imaging_frequency(tmp_path: Path) -> None:
    slab = Slab()
    write_siemens_gre(tmp_path, slab, ECHO_TIMES_MS, *_stored(slab), style=Style(field_strength_t=None))
    loaded = load_acquisition([tmp_path])
    assert loaded.scan.field_strength_t == pytest.approx(123.25 / 42.577478461, rel=1e-9)


def test_single_images(tmp_path: Path) -> None:
    slab = Slab()
    stored = _stored(slab)[0]
    files = write_volume(tmp_path / "t1", Style(scanning="SE"), slab, 12.0, stored[..., 0])
    image = load_image(files)
    np.testing.assert_array_equal(image.data, stored[..., 0])
    _assert_in_place(image.grid, slab)
    write_volume(tmp_path / "mese", Style(scanning="SE", echo_train=2), slab, 15.0, stored[..., 1])
    write_volume(tmp_path / "mese", Style(scanning="SE", echo_train=2), slab, 30.0, stored[..., 2])
    multi_echo = load_spin_echo([tmp_path / "mese"])
    assert (multi_echo.echo_times_s, multi_echo.is_turbo) == ((0.015, 0.03), False)
    np.testing.assert_array_equal(multi_echo.magnitude, stored[..., 1:])


def test_flair_without_inversion_in_its_header_is_taken_where_it_is_named(tmp_path: Path) -> None:
    slab = Slab()
    magnitude, phase = _stored(slab)
    write_siemens_gre(tmp_path / "gre", slab, ECHO_TIMES_MS, magnitude, phase)
    write_volume(tmp_path / "flair", Style(scanning="SE", series="1.2.3.1.8"), slab, 90.0, magnitude[..., 2])
    loaded = load_acquisition([tmp_path / "gre"], flair=[tmp_path / "flair"])
    assert loaded.flair is not None
    np.testing.assert_array_equal(loaded.flair.data, magnitude[..., 2])
    assert "not FLAIR by its header" in loaded.warnings[0]


def test_nothing_about_the_patient_is_kept(tmp_path: Path) -> None:
    slab = Slab()
    write_siemens_gre(tmp_path, slab, ECHO_TIMES_MS, *_stored(slab))
    loaded: Acquisition = load_acquisition([tmp_path])
    frames = [replace(frame, path=Path()) for file in tmp_path.iterdir() for frame in read_frames(file)]
    text = f"{dict(loaded.source)} {loaded.warnings} {frames}"
    for secret in ("SECRET", "4711", "1970", "1.2.3.1", "1.2.3.9"):
        assert secret not in text


def test_files_without_preamble_are_read(tmp_path: Path) -> None:
    """Some archives send the data set alone, in implicit little endian."""
    slab = Slab(axes=rotation(20.0, -12.0, 7.0))
    magnitude, phase = _stored(slab)
    write_siemens_gre(tmp_path, slab, ECHO_TIMES_MS, magnitude, phase)
    expected = load_acquisition([tmp_path])
    for file in list(tmp_path.iterdir()):
        image = dcmread(file)
        del image.file_meta
        image.preamble = None
        image.save_as(file, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert file.read_bytes()[128:132] != b"DICM"
    read = load_acquisition([tmp_path])
    np.testing.assert_array_equal(read.gre_phase, expected.gre_phase)
    assert read.grid.matches(expected.grid)
