"""The structured report holds every measure and grade of a lesion, and names nobody who was not to be named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import highdicom
import pydicom
import pytest

from ChiSeparationLib.lesions.reading import Question
from ChiSeparationLib.report.dicom_objects import write_dicom
from ChiSeparationLib.report.dicom_report import structured_report
from ChiSeparationLib.report.dicom_segmentation import segmentation, tracking_uid
from ChiSeparationLib.report.dicom_source import DicomSource, read_source, save
from ChiSeparationLib.report.lesion_study import LesionStudy, Source
from lesion_report_cases import graded, make_maps, make_study, native_grid, write_source

READER = "Ünal, Ayşe"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DicomSource:
    folder = write_source(tmp_path_factory.mktemp("source"))
    return read_source([folder], make_maps(native_grid()))


@pytest.fixture(scope="module")
def study() -> LesionStudy:
    return graded(make_study(), READER, comment="secret comment")


@pytest.fixture(scope="module")
def report(source: DicomSource, study: LesionStudy, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Written and read back."""
    path = tmp_path_factory.mktemp("report") / "report.dcm"
    save(path, structured_report(source, study, segmentation(source, study), study.sources[0]))
    return highdicom.sr.srread(path)


def groups(report: Any) -> list[Any]:
    return list(report.content.get_volumetric_roi_measurement_groups())


def test_it_is_a_measurement_report(report: Any) -> None:
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert str(report.PatientID) == "P-4711"


def test_each_lesion_is_a_group_with_its_identity(report: Any, source: DicomSource) -> None:
    found = groups(report)
    assert [one.tracking_identifier for one in found] == ["Lesion_2", "Lesion_5", "Lesion_300"]
    assert [one.tracking_uid for one in found] == [
        tracking_uid(source, name) for name in ("Lesion_2", "Lesion_5", "Lesion_300")
    ]
    assert {one.finding_type.value for one in found} == {"52988006"}


def test_groups_refer_to_their_segments(report: Any, source: DicomSource, study: LesionStudy) -> None:
    segments = segmentation(source, study)
    for number, group in enumerate(groups(report), 1):
        (item,) = [one for one in group[0].ContentSequence if one.name.value == "121191"]
        referenced = item.ReferencedSOPSequence[0]
        assert referenced.ReferencedSOPInstanceUID == segments.SOPInstanceUID
        assert referenced.ReferencedSegmentNumber == number


def test_measures_come_back_with_code_and_unit(report: Any, study: LesionStudy) -> None:
    """The mean of chi_para of lesion 2, and its volume, by code."""
    group = groups(report)[0]
    row = study.row("Lesion_2", "closed-form")
    assert row is not None
    found = {}
    for one in group.get_measurements():
        derivation = one.derivation.value if one.derivation is not None else ""
        found[one.name.value, derivation] = (one.value, one.unit.value)
    assert found["118565006", ""] == (pytest.approx(row.geometry["volume_mm3"]), "mm3")
    for name, code in (("chi_para", "chi_para"), ("chi_dia", "chi_dia"), ("chi_total", "126396")):
        values = row.measures[name].values
        assert found[code, "373098007"] == (pytest.approx(values["mean_ppb"]), "[ppb]")
        assert found[code, "contrast"] == (pytest.approx(values["contrast_ppb"]), "[ppb]")
        assert found[code, "contrast_sd"] == (pytest.approx(values["contrast_sd"]), "1")


def test_grades_come_back_as_codes(report: Any) -> None:
    evaluations = {one.name.value: one.value.value for one in groups(report)[0].get_qualitative_evaluations()}
    assert evaluations == {
        "chi_para_grade": "hyper", "chi_para_sure": "confidence-2",
        "chi_dia_grade": "subtle-hypo", "chi_dia_sure": "confidence-2",
    }  # fmt: skip


def test_readers_and_comments_stay_out_unless_asked(source: DicomSource, study: LesionStudy, report: Any) -> None:
    assert "Ünal" not in str(report)
    assert "secret comment" not in str(report)
    segments = segmentation(source, study)
    with_name = structured_report(source, study, segments, study.sources[0], name_reader=True)
    person = next(item for item in with_name.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121008")
    assert str(person.PersonName) == "Ünal, Ayşe^"
    assert "secret comment" not in str(with_name)


def test_every_reading_has_a_report(source: DicomSource, tmp_path: Path) -> None:
    study = graded(make_study(), "A", "B")
    notes = write_dicom(tmp_path, source, study)
    assert notes == []
    reports = [pydicom.dcmread(path) for path in sorted(tmp_path.glob("report-*.dcm"))]
    assert len(reports) == 2
    assert len({one.SOPInstanceUID for one in reports}) == 2
    assert {path.name for path in tmp_path.iterdir()} == {
        "segmentation.dcm", "report-1.dcm", "report-2.dcm",
        "pipeline-1-chi_para.dcm", "pipeline-1-chi_dia.dcm", "pipeline-1-chi_total.dcm",
    }  # fmt: skip
    for path in tmp_path.iterdir():
        assert pydicom.dcmread(path, stop_before_pixels=True).StudyInstanceUID == source.images[0].StudyInstanceUID


def test_without_grades_there_are_measures_alone(source: DicomSource) -> None:
    study = make_study()
    made = structured_report(source, study, segmentation(source, study), Source("closed-form", "", 1))
    assert "chi_para_grade" not in str(made)
    assert "126396" in str(made)


def test_uid_changes_with_a_grade(source: DicomSource, study: LesionStudy) -> None:
    segments = segmentation(source, study)
    question = Question("Lesion_2", "chi_para", "closed-form", READER)
    fewer = dataclasses.replace(study, reading=study.reading.without(question))
    first, again, other = (
        structured_report(source, one, segments, study.sources[0]).SOPInstanceUID for one in (study, study, fewer)
    )
    assert first == again != other


def test_no_lesion_is_told(source: DicomSource, tmp_path: Path) -> None:
    notes = write_dicom(tmp_path, source, make_study(lesions=False))
    assert notes == ["There is no lesion, so there is no DICOM segmentation or report."]
    assert not list(tmp_path.glob("[rs]e*.dcm"))
