"""The table of series says what each is, what it will be used as, and what is missing; it names nobody."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ChiSepPreprocessLib.dicom.description import series_description
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.loading import load_acquisition
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.study_table import StudyRow, StudyTable, Use, study_table
from dicom_writer_for_tests import Array, Slab, Style, siemens_styles, write_siemens_gre, write_volume

SLAB = Slab(shape=(9, 10, 8))
TIMES_MS = (5.0, 10.0)
SPIN_ECHO = Style(scanning="SE", sequence_name="*se2d", series="1.2.3.1.7", repetition_ms=3000.0)
FLAIR = Style(
    scanning=["SE", "IR"], sequence_name="*tir2d", series="1.2.3.1.8", inversion_ms=2400.0, repetition_ms=9000.0
)


def _stored(*echoes: int) -> Array:
    return np.random.default_rng(4).integers(0, 4096, (*SLAB.shape, *echoes))


def _write_gre(folder: Path, style: Style | None = None) -> None:
    write_siemens_gre(folder, SLAB, TIMES_MS, _stored(2), _stored(2), style)


def _write_spin_echo(folder: Path, style: Style = SPIN_ECHO) -> None:
    for echo, time in enumerate((12.0, 90.0)):
        write_volume(folder, style, SLAB, time, _stored(2)[..., echo])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    _write_gre(folder)
    _write_spin_echo(folder)
    write_volume(folder, FLAIR, SLAB, 100.0, _stored())
    return folder


def _table(folder: Path) -> StudyTable:
    table = study_table([folder])
    for secret in ("SECRET", "NAME", "4711", "1970", "1.2.3.1"):
        assert secret not in repr(table)
    return table


def _by_use(table: StudyTable) -> dict[Use, StudyRow]:
    return {row.use: row for row in table.rows}


def _edit(folder: Path, change: Callable[..., object], where: Callable[..., object] = lambda image: True) -> None:
    for file in folder.iterdir():
        image = dcmread(file)
        if where(image):
            change(image)
            image.save_as(file)


def test_whole_study(study: Path) -> None:
    table = _table(study)
    assert [(row.use, row.component, row.echoes) for row in table.rows] == [
        (Use.GRE_MAGNITUDE, "magnitude", 2),
        (Use.GRE_PHASE, "phase", 2),
        (Use.SE_MAGNITUDE, "spin echo magnitude", 2),
        (Use.FLAIR, "FLAIR", 1),
    ]
    assert table.rows[0].scan == table.rows[1].scan != table.rows[2].scan
    assert table.rows[0].echo_times_s == (0.005, 0.01)
    assert table.rows[2].echo_times_s == (0.012, 0.09)
    assert {row.shape for row in table.rows} == {(9, 10, 8)}
    assert {row.voxel_size_mm for row in table.rows} == {(0.8, 1.1, 2.3)}
    assert table.missing == ()
    assert {row.missing for row in table.rows} == {()}
    assert table.can_reconstruct


def test_rows_hold_their_files_alone(study: Path) -> None:
    uses = _by_use(_table(study))
    assert [len(uses[use].files) for use in (Use.GRE_MAGNITUDE, Use.GRE_PHASE, Use.SE_MAGNITUDE, Use.FLAIR)] == [
        16, 16, 16, 8,
    ]  # fmt: skip
    chosen = [*uses[Use.GRE_MAGNITUDE].files, *uses[Use.GRE_PHASE].files]
    assert load_acquisition(chosen).spin_echo is None
    assert [row.use for row in study_table(chosen).rows] == [Use.GRE_MAGNITUDE, Use.GRE_PHASE]


def test_table_tells_what_loading_uses(study: Path) -> None:
    """The uses are those of the loader, not a second opinion."""
    uses, acquisition = _by_use(_table(study)), load_acquisition([study])
    assert acquisition.spin_echo is not None
    assert uses[Use.SE_MAGNITUDE].echo_times_s == acquisition.spin_echo.echo_times_s
    assert uses[Use.GRE_PHASE].echo_times_s == acquisition.scan.echo_times_s
    assert acquisition.flair is not None
    assert uses[Use.FLAIR].shape == acquisition.flair.grid.shape


def test_archive_leaves_no_files_that_vanish(study: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "study"), "zip", study)
    table = study_table([Path(archive)])
    assert [row.use for row in table.rows] == [Use.GRE_MAGNITUDE, Use.GRE_PHASE, Use.SE_MAGNITUDE, Use.FLAIR]
    assert {row.files for row in table.rows} == {()}


def test_description_is_the_operators(study: Path) -> None:
    _edit(study, lambda image: setattr(image, "SeriesDescription", " gre  me6\nsag "))
    assert {row.description for row in _table(study).rows} == {"gre me6 sag"}


@pytest.mark.parametrize(
    "description",
    ["SECRET gre", "gre_secretly", "scan of name", "P-4711", "gre 4711", "born 19700101", "NAME^SECRET"],
)
def test_description_with_the_patient_is_withheld(tmp_path: Path, description: str) -> None:
    (file, *_) = write_volume(tmp_path, Style(), SLAB, 5.0, _stored())
    image = dcmread(file)
    image.SeriesDescription = description
    image.save_as(file)
    assert series_description(file) == ""


def test_short_names_hide_words_and_not_syllables(tmp_path: Path) -> None:
    (file, *_) = write_volume(tmp_path, replace(Style(), patient="LI^WU", patient_id="7"), SLAB, 5.0, _stored())
    for description, shown in (("light gre", "light gre"), ("gre Li", ""), ("gre 7", ""), ("gre 17", "gre 17")):
        image = dcmread(file)
        image.SeriesDescription = description
        image.save_as(file)
        assert series_description(file) == shown


def test_description_of_a_broken_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(400))
    assert series_description(tmp_path / "noise") == ""
    assert series_description(tmp_path / "absent") == ""


def test_magnitude_without_phase(tmp_path: Path) -> None:
    for echo, time in enumerate(TIMES_MS):
        write_volume(tmp_path, Style(), SLAB, time, _stored(2)[..., echo])
    table = _table(tmp_path)
    (row,) = table.rows
    assert (row.use, row.component) == (Use.NOTHING, "magnitude")
    assert row.missing == ("The phase is missing: export the phase images of this scan and add them.",)
    assert not table.can_reconstruct
    assert [text.split(":")[0] for text in table.missing] == [
        "There is no spin echo series, so R2 cannot be measured",
        "There is no FLAIR series to find lesions on",
    ]


def test_phase_without_magnitude(tmp_path: Path) -> None:
    for echo, time in enumerate(TIMES_MS):
        write_volume(tmp_path, siemens_styles()[1], SLAB, time, _stored(2)[..., echo])
    (row,) = _table(tmp_path).rows
    assert row.component == "phase"
    assert row.missing == ("The magnitude is missing: export the magnitude images of this scan and add them.",)


def test_two_gradient_echoes_must_be_chosen_from(tmp_path: Path) -> None:
    _write_gre(tmp_path)
    _write_gre(tmp_path, replace(Style(), series="1.2.3.1.5", repetition_ms=50.0))
    rows = _table(tmp_path).rows
    assert [row.use for row in rows] == [Use.NOTHING] * 4
    assert {row.missing for row in rows} == {("2 gradient echo scans are there and none is used: choose one.",)}
    chosen = study_table([file for row in rows[:2] for file in row.files])
    assert [row.use for row in chosen.rows] == [Use.GRE_MAGNITUDE, Use.GRE_PHASE]


def test_a_lone_magnitude_beside_the_scan_lacks_nothing(study: Path) -> None:
    """A localizer needs no phase: nothing is missing where another scan is used."""
    write_volume(study, replace(Style(), series="1.2.3.1.6", repetition_ms=8.0), SLAB, 4.0, _stored())
    table = _table(study)
    (row,) = (row for row in table.rows if row.use == Use.NOTHING)
    assert row.missing == ()
    assert table.can_reconstruct


def test_two_spin_echoes_must_be_chosen_from(study: Path) -> None:
    _write_spin_echo(study, replace(SPIN_ECHO, series="1.2.3.1.9", repetition_ms=4000.0))
    rows = [row for row in _table(study).rows if row.component == "spin echo magnitude"]
    assert [row.use for row in rows] == [Use.NOTHING] * 2
    assert {row.missing for row in rows} == {("2 spin echo scans are there and none is used: choose one.",)}
    assert load_acquisition([study]).spin_echo is None


def test_single_spin_echo_lacks_the_other_echo(tmp_path: Path) -> None:
    _write_gre(tmp_path)
    write_volume(tmp_path, SPIN_ECHO, SLAB, 12.0, _stored())
    (row,) = (row for row in _table(tmp_path).rows if row.component == "spin echo magnitude")
    assert row.missing == ("One echo cannot tell a decay: add the series of the other echoes, at least 2.",)


def test_silent_headers_are_to_be_stated(tmp_path: Path) -> None:
    style = replace(Style(), field_strength_t=None, imaging_frequency_mhz=None)
    for echo, one in enumerate(siemens_styles(style) * 2):
        write_volume(tmp_path, replace(one, extra=((0x00180086, "IS", echo // 2 + 1),)), SLAB, None, _stored())
    rows = _table(tmp_path).rows
    assert [row.echo_times_s for row in rows] == [(None, None)] * 2
    for row in rows:
        assert row.missing == (
            "The headers do not tell the echo times: state them, one for each echo.",
            "The headers do not tell the field strength: state it in tesla.",
        )


def test_missing_slice_is_said_at_the_row(tmp_path: Path) -> None:
    stored = np.tile(_stored(), 2)
    for one in siemens_styles():
        for time in TIMES_MS:
            write_volume(tmp_path, one, SLAB, time, stored, skip=(3,) if one.rescale else ())
    magnitude, phase = _table(tmp_path).rows
    assert phase.voxel_size_mm is None
    assert "a gap of 4.60 mm" in phase.missing[0]
    assert not any("gap" in text for text in magnitude.missing)


def test_thin_slab_is_said(tmp_path: Path) -> None:
    slab = replace(SLAB, shape=(9, 10, 3))
    write_siemens_gre(tmp_path, slab, TIMES_MS, _stored(2)[:, :, :3], _stored(2)[:, :, :3])
    table = _table(tmp_path)
    assert {row.missing for row in table.rows} == {
        ("It has 3 slices, and 8 are needed: check that all were exported.",)
    }
    assert not table.can_reconstruct


def test_phase_difference_is_no_phase(tmp_path: Path) -> None:
    magnitude, phase = siemens_styles()
    for time in TIMES_MS:
        write_volume(tmp_path, magnitude, SLAB, time, _stored())
    write_volume(tmp_path, replace(phase, sequence_name="*fm2d2r"), SLAB, 10.0, _stored())
    rows = {row.component: row for row in _table(tmp_path).rows}
    assert rows["phase difference"].missing == (
        "A phase difference cannot stand in for phase: export the phase images of each echo.",
    )


def test_damaged_file_is_counted(study: Path) -> None:
    file = min(study.iterdir())
    file.write_bytes(file.read_bytes()[:300])
    table = _table(study)
    assert table.missing == ("1 of 56 files are damaged: copy or export them again.",)
    assert {row.use for row in table.rows} == {Use.NOTHING}


def test_two_patients_are_counted_and_not_named(study: Path) -> None:
    _write_gre(study, replace(Style(), patient="OTHER^NAME", patient_id="P-4712", study="1.2.3.2", series="1.2.3.2.1"))
    table = _table(study)
    assert "2 patients" in table.missing[0]
    assert "OTHER" not in repr(table)


def test_other_images_are_of_no_use(study: Path) -> None:
    mprage = replace(Style(), scanning=["GR", "IR"], series="1.2.3.1.30", inversion_ms=900.0)
    write_volume(study, mprage, SLAB, 3.0, _stored())
    row = _table(study).rows[-1]
    assert (row.component, row.use, row.missing) == ("other", Use.NOTHING, ())


def test_nifti_without_sidecar_is_asked_about(tmp_path: Path) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9, 2), np.float32), np.diag([1, 1, 2, 1])), tmp_path / "gre.nii")
    (row,) = study_table([tmp_path]).rows
    assert row.description == "gre.nii"
    assert row.missing == ("The file does not tell what it is: choose it as magnitude, phase, spin echo or FLAIR.",)
    assert row.files == (tmp_path / "gre.nii",)


def test_empty_folder(tmp_path: Path) -> None:
    table = study_table([tmp_path])
    assert table.rows == ()
    assert table.missing[0].startswith("There is no gradient echo series")
    with pytest.raises(InputError, match="does not exist"):
        study_table([tmp_path / "absent"])


def test_looking_can_be_stopped(study: Path) -> None:
    with pytest.raises(CancelledError):
        study_table([study], Reporter(lambda status: False))
