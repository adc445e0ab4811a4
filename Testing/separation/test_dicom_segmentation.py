"""Lesions as DICOM segments lie where they lay in the scanner, and keep their identities."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from ChiSeparationLib.report.dicom_objects import write_dicom
from ChiSeparationLib.report.dicom_segmentation import segmentation, tracking_uid
from ChiSeparationLib.report.dicom_source import DicomSource, read_source, save
from ChiSeparationLib.report.lesion_study import LesionStudy
from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from dicom_writer_for_tests import EnhancedFrame, Style, write_enhanced
from lesion_report_cases import (
    ECHO_TIMES_MS,
    GRIDS,
    HOSTILE,
    SLAB,
    grid_of,
    head,
    make_maps,
    make_study,
    named,
    native_grid,
    write_source,
)

#: Attributes of type 1 that the Segmentation IOD has for every object (DICOM PS3.3 A.51, C.8.20).
TYPE_1 = ("SOPClassUID", "SOPInstanceUID", "Modality", "SeriesInstanceUID", "SeriesNumber", "StudyInstanceUID",
          "FrameOfReferenceUID", "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions",
          "InstanceNumber", "ContentDate", "ContentTime", "ImageType", "SamplesPerPixel", "PhotometricInterpretation",
          "PixelRepresentation", "BitsAllocated", "BitsStored", "SegmentationType", "ContentLabel", "SegmentSequence",
          "NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
          "DimensionOrganizationSequence", "DimensionIndexSequence", "Rows", "Columns",
          "LossyImageCompression")  # fmt: skip
#: Of type 2: there, even if empty (patient and study modules, C.7.1.1 and C.7.2.1).
TYPE_2 = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
          "AccessionNumber", "ReferringPhysicianName", "ContentDescription", "ContentCreatorName",
          "PositionReferenceIndicator")  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DicomSource:
    folder = write_source(tmp_path_factory.mktemp("source"))
    return read_source([folder], make_maps(native_grid()))


def frame_places(image: Any, number: int) -> np.ndarray:
    """RAS of every pixel of a frame, shape (rows, columns, 3), from PS3.3 C.7.6.2.1.1 written out."""
    shared, own = image.SharedFunctionalGroupsSequence[0], image.PerFrameFunctionalGroupsSequence[number]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    row_mm, column_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    position = np.array(own.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
    rows, columns = np.meshgrid(np.arange(image.Rows), np.arange(image.Columns), indexing="ij")
    lps = position + columns[..., None] * column_mm * cosines[:3] + rows[..., None] * row_mm * cosines[3:]
    return np.asarray(lps * [-1.0, -1.0, 1.0])


def voxels_at(grid: Grid, ras: np.ndarray) -> tuple[np.ndarray, float]:
    """Nearest voxels, shape (..., 3), and how far off a voxel's centre the points are, mm."""
    inverse = np.linalg.inv(grid.affine)
    index = ras @ inverse[:3, :3].T + inverse[:3, 3]
    nearest = np.rint(index).astype(int)
    return nearest, float(np.abs((index - nearest) * grid.voxel_size_mm).max())


def labels_read_back(path: Path, study: LesionStudy) -> np.ndarray:
    """Labels on the study's grid, put there frame by frame by their places."""
    image = pydicom.dcmread(path)
    pixels = image.pixel_array.reshape(-1, image.Rows, image.Columns)
    labels = {item.SegmentNumber: int(item.TrackingID.split("_")[1]) for item in image.SegmentSequence}
    found = np.zeros(study.grid.shape, dtype=np.int32)
    for number, frame in enumerate(pixels):
        own = image.PerFrameFunctionalGroupsSequence[number].SegmentIdentificationSequence[0]
        nearest, off_mm = voxels_at(study.grid, frame_places(image, number))
        assert off_mm < 1e-4
        i, j, k = nearest[frame > 0].T
        found[i, j, k] = labels[own.ReferencedSegmentNumber]
    return found


@pytest.mark.parametrize("name", GRIDS)
def test_every_voxel_lies_where_it_lay(source: DicomSource, name: str, tmp_path: Path) -> None:
    study = make_study(GRIDS[name]())
    save(tmp_path / "segments.dcm", segmentation(source, study))
    np.testing.assert_array_equal(labels_read_back(tmp_path / "segments.dcm", study), study.lesions.data)


def test_enhanced_sources_in_an_archive_serve_as_well(tmp_path: Path) -> None:
    """One file holds all slices of both echoes; the segments refer to it."""
    volume = head(native_grid())
    frames = [
        EnhancedFrame("MAGNITUDE", time, k, np.rint(share * volume[:, :, k]).astype(np.uint16))
        for time, share in zip(ECHO_TIMES_MS, (0.8, 0.6), strict=True) for k in range(SLAB.shape[2])
    ]  # fmt: skip
    style = Style(image_type=("ORIGINAL", "PRIMARY", "VOLUME", "NONE"))
    enhanced = write_enhanced(tmp_path / "source.dcm", style, SLAB, frames)
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.write(tmp_path / "source.dcm", "a/b.dcm")
    study = make_study()
    source = read_source([tmp_path / "source.zip"], study.maps["closed-form"])
    save(tmp_path / "segments.dcm", segmentation(source, study))
    np.testing.assert_array_equal(labels_read_back(tmp_path / "segments.dcm", study), study.lesions.data)
    image = pydicom.dcmread(tmp_path / "segments.dcm")
    (referenced,) = image.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert referenced.ReferencedSOPInstanceUID == enhanced.SOPInstanceUID


def test_it_belongs_to_the_patient_and_the_frame_of_reference(source: DicomSource) -> None:
    image = segmentation(source, make_study())
    assert (image.PatientName, image.PatientID) == ("SECRET^NAME", "P-4711")
    assert image.StudyInstanceUID == Style().study
    assert image.FrameOfReferenceUID == Style().frame_of_reference
    assert image.SeriesInstanceUID != Style().series
    referenced = {one.ReferencedSOPInstanceUID for one in image.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert referenced == {one.SOPInstanceUID for one in source.images}
    assert len(referenced) == SLAB.shape[2]


def test_required_attributes_are_there(source: DicomSource) -> None:
    image = segmentation(source, make_study())
    assert [name for name in TYPE_1 if image.get(name) in (None, "", [])] == []
    assert [name for name in TYPE_2 if name not in image] == []
    assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4"


def test_segments_say_what_and_who_they_are(source: DicomSource) -> None:
    study = make_study()
    image = segmentation(source, study)
    assert [item.TrackingID for item in image.SegmentSequence] == ["Lesion_2", "Lesion_5", "Lesion_300"]
    for item in image.SegmentSequence:
        category, kind = item.SegmentedPropertyCategoryCodeSequence[0], item.SegmentedPropertyTypeCodeSequence[0]
        assert (category.CodeValue, kind.CodeValue) == ("49755003", "52988006")
        assert item.SegmentAlgorithmType == "SEMIAUTOMATIC"
        assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "drawn by hand"
        assert item.TrackingUID == tracking_uid(source, str(item.TrackingID))


def test_uids_last_and_change_with_what_they_name(source: DicomSource) -> None:
    study = make_study()
    first, again = segmentation(source, study), segmentation(source, study)
    assert first.SOPInstanceUID == again.SOPInstanceUID
    moved = replace(study, lesions=replace(study.lesions, data=np.roll(study.lesions.data, 1, axis=0)))
    other = segmentation(source, moved)
    assert other.SOPInstanceUID != first.SOPInstanceUID
    assert other.SeriesInstanceUID == first.SeriesInstanceUID
    uids = [[str(item.TrackingUID) for item in one.SegmentSequence] for one in (first, other)]
    assert uids[0] == uids[1]
    assert len(set(uids[0])) == 3
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids[0])


def test_any_text_in_a_name_can_be_written(source: DicomSource, tmp_path: Path) -> None:
    study = named(make_study(), HOSTILE)
    save(tmp_path / "segments.dcm", segmentation(source, study))
    image = pydicom.dcmread(tmp_path / "segments.dcm")
    label = str(image.SegmentSequence[0].SegmentLabel)
    assert label.startswith("<script>")
    assert "病変" in label
    assert len(label) <= 64


def test_patients_name_keeps_its_letters(tmp_path: Path) -> None:
    """The source is in Latin 1, what we write in UTF-8."""
    style = Style(patient="Müller^Jörg", extra=((0x00080005, "CS", "ISO_IR 100"),))
    source = read_source([write_source(tmp_path / "source", style=style)], make_maps(native_grid()))
    save(tmp_path / "segments.dcm", segmentation(source, make_study()))
    assert pydicom.dcmread(tmp_path / "segments.dcm").PatientName == "Müller^Jörg"


def test_source_may_lack_what_may_be_empty(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "source")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        del image.PatientBirthDate
        image.save_as(path)
    image = segmentation(read_source([folder], make_maps(native_grid())), make_study())
    assert image.PatientBirthDate in ("", None)


def test_no_lesion_is_no_segmentation(source: DicomSource) -> None:
    with pytest.raises(InputError, match="no lesion"):
        segmentation(source, make_study(lesions=False))


def test_another_patient_on_the_same_grid_is_refused(tmp_path: Path) -> None:
    folder = write_source(tmp_path, seed=1)
    with pytest.raises(InputError, match="unlike the maps' magnitude"):
        read_source([folder], make_maps(native_grid(), seed=0))


def test_another_place_is_refused(tmp_path: Path) -> None:
    folder = write_source(tmp_path)
    grid = grid_of(SLAB)
    moved = grid.affine.copy()
    moved[:3, 3] += 9.0
    with pytest.raises(InputError, match=r"covers .* of the maps' brain"):
        read_source([folder], make_maps(Grid(grid.shape, moved)))


def test_without_dicom_it_says_what_is_written_instead(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"written as \.seg\.nrrd"):
        read_source([tmp_path], make_maps(native_grid()))


def test_patients_name_stays_out_of_warnings(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Libraries warn of a name without a family's part, and quote it."""
    folder = write_source(tmp_path / "source", style=Style(patient="SECRETNAME"))
    with warnings.catch_warnings(record=True) as caught, caplog.at_level("DEBUG"):
        warnings.simplefilter("always")
        study = make_study()
        write_dicom(tmp_path / "out", read_source([folder], study.maps["closed-form"]), study)
    assert [str(one.message) for one in caught if "SECRETNAME" in str(one.message)] == []
    assert "SECRETNAME" not in caplog.text
    assert pydicom.dcmread(tmp_path / "out" / "segmentation.dcm").PatientName == "SECRETNAME"


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Writing and reading say what to install."""
    import sys

    from ChiSeparationLib.lesions.foreign_segmentations import read_dicom_segmentation
    from ChiSeparationLib.report import dicom_source
    from ChiSepPreprocessLib.errors import MissingDependencyError

    monkeypatch.setattr(dicom_source, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "highdicom.seg", None)
    with pytest.raises(MissingDependencyError, match="pip install highdicom"):
        dicom_source.read_source([tmp_path], make_study().maps["closed-form"])
    with pytest.raises(MissingDependencyError, match="pip install highdicom"):
        read_dicom_segmentation(tmp_path / "one.dcm")
