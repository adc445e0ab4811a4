"""``chisep lesions report`` from a folder of results to files that come back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib.cli import main
from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading_files import read_grades_csv, write_reading
from ChiSeparationLib.report.lesion_export import import_export
from ChiSepPreprocessLib.files import write_json, write_map, write_nifti
from lesion_report_cases import graded, make_labels, make_maps, make_study, native_grid, resampled_grid, write_source


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run with two pipelines and lesions."""
    folder, maps = tmp_path / "run", make_maps(native_grid())
    for name in ("magnitude", "brain_mask", "field_mask"):
        write_map(maps[name], maps.scan, folder / "maps")
    for pipeline in ("closed-form", "medi"):
        for name in ("chi_total", "chi_para", "chi_dia"):
            write_map(maps[name], maps.scan, folder / pipeline)
    write_json(folder / "provenance.json", {
        "version": "1", "fingerprint": "x", "methods": {"closed-form": {}, "medi": {}, "tkd": {"maps": ["chi_total"]}},
        "source": {"export": "classic"},
    })  # fmt: skip
    write_nifti(folder / "lesions" / "lesions.nii.gz", make_labels(maps.grid), maps.grid)
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["lesions", "report", *map(str, arguments)])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_a_run_becomes_an_export(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(results, "-o", tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["lesions"], told["judgements"]) == (2, 0)
    assert "report.html" in told["files"]
    assert "report.pdf" not in told["files"]
    assert "--dicom" in told["dicom"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Lesions on the maps of closed-form" in page
    assert "Lesions on the maps of medi" in page
    found = import_export(tmp_path / "out")
    labels = make_labels(native_grid())
    labels[labels == 300] = 0  # one voxel is too small to be graded
    np.testing.assert_array_equal(found.lesions.data, labels)


def test_a_reading_keeps_its_lesions(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading = graded(make_study(), "AB", comment="a comment").reading
    write_reading(tmp_path / "reading.json", reading)
    code = run(results, "--reading", tmp_path / "reading.json", "--pdf", "--suggestions", "-o", tmp_path / "out.zip")
    assert code == 0
    assert "3 lesions, 6 judgements" in capsys.readouterr().out
    assert import_export(tmp_path / "out.zip", make_maps(native_grid())).reading == reading


def test_dicom_is_written_on_request(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_source(tmp_path / "source")
    assert run(results, "--dicom", source, "-o", tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [name for name in told["files"] if name.endswith(".dcm")] == [
        *(f"dicom/pipeline-{n}-{name}.dcm" for n in (1, 2) for name in ("chi_dia", "chi_para", "chi_total")),
        "dicom/report-1.dcm", "dicom/report-2.dcm", "dicom/segmentation.dcm",
    ]  # fmt: skip


def test_dicom_of_another_patient_is_refused(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_source(tmp_path / "source", seed=1)
    assert run(results, "--dicom", source, "-o", tmp_path / "out") == 2
    assert "unlike the maps' magnitude" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nifti_sources_say_why_there_is_no_dicom(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(results / "provenance.json", {"methods": {"medi": {}}, "source": {"export": "NIfTI"}})
    assert run(results, "-o", tmp_path / "out") == 0
    assert "the source was not DICOM" in capsys.readouterr().out


def test_an_empty_mask_is_a_normal_report(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = native_grid()
    write_nifti(tmp_path / "none.nii.gz", np.zeros(grid.shape, dtype=np.uint8), grid)
    assert run(results, "--lesions", tmp_path / "none.nii.gz", "-o", tmp_path / "out") == 0
    assert "0 lesions" in capsys.readouterr().out
    assert "No lesions were found or drawn." in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_what_does_not_belong_together_is_refused(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_reading(tmp_path / "reading.json", graded(make_study(), "AB").reading)
    grid = resampled_grid()
    write_nifti(tmp_path / "other.nii.gz", make_labels(grid), grid)
    fewer = make_labels(native_grid())
    fewer[fewer == 300] = 0
    write_nifti(tmp_path / "fewer.nii.gz", fewer, native_grid())
    given = ("--reading", tmp_path / "reading.json", "-o", tmp_path / "out")
    for arguments, reason in (
        ((results, "--lesions", tmp_path / "other.nii.gz", *given), "no label map on the grid"),
        ((results, "--lesions", tmp_path / "fewer.nii.gz", *given), "Lesion_300"),
        ((results, "--lesions", tmp_path / "missing.nii.gz", *given), "no file"),
        ((results / "maps", *given), "without chi_para"),
    ):
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert reason in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_segmentations_that_we_wrote_serve_as_lesions(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slicer's file and the DICOM one, each with the two lesions that are large enough."""
    assert run(results, "--dicom", write_source(tmp_path / "source"), "-o", tmp_path / "out") == 0
    for number, name in enumerate(("lesions.seg.nrrd", "dicom/segmentation.dcm")):
        again = tmp_path / f"again-{number}"
        assert run(results, "--lesions", tmp_path / "out" / name, "-o", again) == 0
        found, first = import_export(again), import_export(tmp_path / "out")
        np.testing.assert_array_equal(found.lesions.data > 0, first.lesions.data > 0)
        assert sorted(one.volume_mm3 for one in found.reading.lesions) == pytest.approx(
            sorted(one.volume_mm3 for one in first.reading.lesions)
        )
    capsys.readouterr()


def test_what_the_page_warns_of_is_said(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(results, "-o", tmp_path / "out", "--json") == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)["warnings"]
    assert any(text.startswith("Left out") for text in told)
    assert shown.err.splitlines() == [f"warning: {text}" for text in told]


def test_grades_of_other_lesions_or_maps_are_refused_or_said(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = graded(make_study(), "AB").reading
    said = next(iter(reading))
    stray = replace(said, question=said.question._replace(lesion_id="Lesion_55"))
    write_reading(tmp_path / "stray.json", reading.said(stray))
    assert run(results, "--reading", tmp_path / "stray.json", "-o", tmp_path / "out") == 2
    assert "Lesion_55" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    other = replace(said, question=said.question._replace(pipeline="rts"))
    write_reading(tmp_path / "other.json", reading.said(other))
    assert run(results, "--reading", tmp_path / "other.json", "-o", tmp_path / "out") == 0
    assert "Graded, but without maps here, so that nothing was measured: rts." in capsys.readouterr().err


def test_readers_are_named_in_dicom_alone(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(results, "--name-reader", "-o", tmp_path / "out") == 2
    assert "no --dicom" in capsys.readouterr().err


def test_without_a_reading_nothing_looks_read(results: Path, tmp_path: Path) -> None:
    assert run(results, "-o", tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "0 of 2 with a reader" in page
    assert page.count("not graded") == 2 * 2 * 2
    assert not any(grade.value in page for grade in Grade)


def test_the_exports_table_can_be_compared(results: Path, tmp_path: Path) -> None:
    reading = graded(graded(make_study(), "AB", comment="=1+1"), "CD").reading
    write_reading(tmp_path / "reading.json", reading)
    assert run(results, "--reading", tmp_path / "reading.json", "-o", tmp_path / "out") == 0
    (found,) = read_grades_csv(tmp_path / "out" / "grades.csv")
    assert dict(found.judgements) == dict(reading.judgements)
