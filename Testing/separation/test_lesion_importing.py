"""Lesions of other tools: every kind of file, other grids, overlaps, specks, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner

from ChiSeparationLib.cli import app
from ChiSeparationLib.lesions.importing import import_lesions
from ChiSepPreprocessLib.artifacts import Array, Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_nifti, write_nifti

GRID = Grid((30, 32, 20), np.array([[-1.0, 0, 0, 14], [0, 1, 0, -15], [0, 0, 2, -18], [0, 0, 0, 1]]))


def _boxes(*corners: tuple[int, int, int], edge: int = 4) -> Array:
    """A box for each corner, numbered."""
    labels = np.zeros(GRID.shape, dtype=np.int16)
    for number, (i, j, k) in enumerate(corners, start=1):
        labels[i : i + edge, j : j + edge, k : k + edge] = number
    return labels


def _nrrd(path: Path, layers: list[Array], segments: list[tuple[int, int, str]]) -> Path:
    """As Slicer stores segments: layers as components, and where each segment is as text."""
    images = [SimpleITK.GetImageFromArray(layer.T.astype(np.uint8)) for layer in layers]
    image = images[0] if len(images) == 1 else SimpleITK.Compose(images)
    flip = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(GRID.voxel_size_mm)
    image.SetDirection((flip @ GRID.directions).ravel().tolist())
    image.SetOrigin((flip @ GRID.affine[:3, 3]).tolist())
    for number, (layer, value, name) in enumerate(segments):
        for key, text in (("LabelValue", value), ("Layer", layer), ("Name", name)):
            image.SetMetaData(f"Segment{number}_{key}", str(text))
    SimpleITK.WriteImage(image, str(path))
    return path


def test_a_mask_falls_into_its_parts_and_a_label_map_does_not(tmp_path: Path) -> None:
    labels = _boxes((2, 2, 2), (20, 20, 8))
    write_nifti(tmp_path / "mask.nii.gz", (labels > 0).astype(np.uint8), GRID)
    assert import_lesions(tmp_path / "mask.nii.gz", GRID).labelled.lesions.data.max() == 2
    labels[25, 5:9, 3:9] = 2  # a second part of lesion 2
    write_nifti(tmp_path / "labels.nii.gz", labels, GRID)
    found = import_lesions(tmp_path / "labels.nii.gz", GRID).labelled
    assert found.lesions.data.max() == 2
    assert found.source_labels == (2, 1)
    assert found.lesions.method == "imported: label map"


@pytest.mark.parametrize(
    ("value", "parts", "number", "doubted"),
    [(12, 1, 12, False), (12, 2, 1, True), (1, 1, 1, False), (1, 2, 1, False), (255, 1, 1, False)],
)
def test_a_lone_lesion_keeps_its_number(tmp_path: Path, value: int, parts: int, number: int, doubted: bool) -> None:
    """A mask's value is no number, and several parts of one value are lesions of a mask."""
    labels = _boxes(*((2, 2, 2), (20, 20, 8))[:parts])
    write_nifti(tmp_path / "les.nii.gz", value * (labels > 0), GRID)
    found = import_lesions(tmp_path / "les.nii.gz", GRID).with_file_numbers().labelled.lesions
    assert np.unique(found.data).tolist() == [0, *range(number, number + parts)]
    assert any("taken for a mask" in text for text in found.warnings) == doubted


def test_a_label_map_and_a_segmentation_keep_numbers_and_names_if_asked(tmp_path: Path) -> None:
    labels = np.where(_boxes((2, 2, 2)), 12, 0) + np.where(_boxes((20, 20, 8)), 3, 0)
    labels[25, 5:9, 3:9] = 3
    write_nifti(tmp_path / "les.nii.gz", labels, GRID)
    found = import_lesions(tmp_path / "les.nii.gz", GRID)
    assert (found.labelled.source_labels, found.labelled.lesions.data.max()) == ((3, 12), 2)
    np.testing.assert_array_equal(found.with_file_numbers().labelled.lesions.data, labels)
    path = _nrrd(tmp_path / "les.seg.nrrd", [labels], [(0, 12, "left"), (0, 3, "right")])
    kept = import_lesions(path, GRID).with_file_numbers()
    np.testing.assert_array_equal(kept.labelled.lesions.data, labels)
    assert kept.names == {12: "left", 3: "right"}


def test_a_segment_of_the_background_is_refused(tmp_path: Path) -> None:
    path = _nrrd(tmp_path / "les.seg.nrrd", [_boxes((2, 2, 2))], [(0, 0, "everything else")])
    with pytest.raises(InputError, match="whole numbers from 1"):
        import_lesions(path, GRID)


def test_what_is_too_small_is_not_called_an_empty_mask(tmp_path: Path) -> None:
    speck = np.zeros(GRID.shape, np.uint8)
    speck[4, 4, 4] = 1
    write_nifti(tmp_path / "les.nii.gz", speck, GRID)
    warnings = import_lesions(tmp_path / "les.nii.gz", GRID).labelled.lesions.warnings
    assert "No lesion is left." in warnings and "The lesion mask is empty." not in warnings


@pytest.mark.parametrize("limit", [np.nan, -1.0])
def test_a_smallest_volume_must_be_one(tmp_path: Path, limit: float) -> None:
    write_nifti(tmp_path / "les.nii.gz", _boxes((2, 2, 2)), GRID)
    with pytest.raises(InputError, match="smallest volume"):
        import_lesions(tmp_path / "les.nii.gz", GRID, minimum_volume_mm3=limit)


def test_a_probability_map_needs_its_threshold(tmp_path: Path) -> None:
    chance = np.where(_boxes((2, 2, 2)), 0.4, 0.0) + np.where(_boxes((20, 20, 8)), 0.8, 0.0)
    write_nifti(tmp_path / "p.nii.gz", chance, GRID)
    with pytest.raises(InputError, match="state the threshold"):
        import_lesions(tmp_path / "p.nii.gz", GRID)
    found = [import_lesions(tmp_path / "p.nii.gz", GRID, threshold=t).labelled.lesions for t in (0.3, 0.5)]
    assert [one.data.max() for one in found] == [2, 1]
    assert found[1].options["threshold"] == 0.5
    with pytest.raises(InputError, match="between 0 and 1"):
        import_lesions(tmp_path / "p.nii.gz", GRID, threshold=1.5)
    write_nifti(tmp_path / "labels.nii.gz", _boxes((2, 2, 2), (20, 20, 8)), GRID)
    with pytest.raises(InputError, match="needs no threshold"):
        import_lesions(tmp_path / "labels.nii.gz", GRID, threshold=0.5)


def test_one_segment_for_each_lesion_keeps_its_name(tmp_path: Path) -> None:
    labels = _boxes((2, 2, 2), (20, 20, 8))
    path = _nrrd(tmp_path / "two.seg.nrrd", [labels], [(0, 1, "rim: links"), (0, 2, "病変")])
    found = import_lesions(path, GRID)
    np.testing.assert_array_equal(found.labelled.lesions.data > 0, labels > 0)
    by_place = {found.names[int(found.labelled.lesions.data[i, j, k])] for i, j, k in ((3, 3, 3), (21, 21, 9))}
    assert by_place == {"rim: links", "病変"}


def test_one_segment_for_all_falls_into_its_parts(tmp_path: Path) -> None:
    labels = (_boxes((2, 2, 2), (20, 20, 8)) > 0).astype(np.int16)
    found = import_lesions(_nrrd(tmp_path / "one.seg.nrrd", [labels], [(0, 1, "lesions")]), GRID)
    assert found.labelled.lesions.data.max() == 2
    assert not found.names


def test_overlapping_segments_are_resolved_and_said(tmp_path: Path) -> None:
    large, small = np.zeros(GRID.shape, np.int16), np.zeros(GRID.shape, np.int16)
    large[4:14, 4:14, 4:8], small[12:16, 10:16, 4:8] = 1, 1
    path = _nrrd(tmp_path / "over.seg.nrrd", [large, small], [(0, 1, "large"), (1, 1, "small")])
    found = import_lesions(path, GRID)
    labels = found.labelled.lesions.data
    assert labels[13, 12, 5] == labels[15, 15, 5] != labels[5, 5, 5]
    assert found.names[int(labels[13, 12, 5])] == "small"
    assert any("overlap in 32 voxels" in text for text in found.labelled.lesions.warnings)


def test_dicom_seg_lands_where_it_was_drawn(tmp_path: Path) -> None:
    labels = _boxes((2, 2, 2), (20, 20, 8))
    _write_dicom_seg(tmp_path / "lesions.dcm", labels)
    found = import_lesions(tmp_path / "lesions.dcm", GRID)
    np.testing.assert_array_equal(found.labelled.lesions.data > 0, labels > 0)
    assert set(found.names.values()) == {"lesion 1", "lesion 2"}
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 40)
    with pytest.raises(InputError, match="DICOM SEG"):
        import_lesions(tmp_path / "broken.dcm", GRID)


def test_lesions_on_another_grid_are_resampled_and_those_that_are_lost_counted(tmp_path: Path) -> None:
    labels = _boxes((2, 2, 2), (20, 20, 8))
    labels[10, 10, 10] = 3  # between the centres of the coarse grid
    write_nifti(tmp_path / "les.nii.gz", labels, GRID)
    affine = GRID.affine @ np.diag([2.0, 2.0, 1.0, 1.0])
    affine[:3, 3] += GRID.affine[:3, :3] @ [1.0, 1.0, 0.0]
    found = import_lesions(tmp_path / "les.nii.gz", Grid((14, 15, 20), affine)).labelled.lesions
    assert found.data.max() == 2
    assert np.count_nonzero(found.data) * found.grid.voxel_volume_mm3 == pytest.approx(2 * 64 * 2, rel=0.3)
    assert found.warnings[0].startswith("Lost on the way")


def test_another_patients_lesions_are_refused(tmp_path: Path) -> None:
    write_nifti(tmp_path / "les.nii.gz", _boxes((2, 2, 2)), GRID)
    away = GRID.affine.copy()
    away[:3, 3] += 200
    with pytest.raises(InputError, match="outside the maps"):
        import_lesions(tmp_path / "les.nii.gz", Grid(GRID.shape, away))


def test_lesions_outside_a_mask_are_flagged(tmp_path: Path) -> None:
    write_nifti(tmp_path / "les.nii.gz", _boxes((2, 2, 2), (20, 20, 8)), GRID)
    brain = np.zeros(GRID.shape, dtype=np.bool_)
    brain[:15] = True
    found = import_lesions(tmp_path / "les.nii.gz", GRID, masks={"brain mask": brain})
    assert found.outside["brain mask"] == (int(found.labelled.lesions.data[21, 21, 9]),)
    assert any("Outside the brain mask" in text for text in found.labelled.lesions.warnings)


def test_an_empty_mask_is_a_result(tmp_path: Path) -> None:
    write_nifti(tmp_path / "les.nii.gz", np.zeros(GRID.shape, np.uint8), GRID)
    found = import_lesions(tmp_path / "les.nii.gz", GRID).labelled.lesions
    assert not found.data.any()
    assert "empty" in found.warnings[-1]


def test_a_thousand_specks_are_left_out_and_counted(tmp_path: Path) -> None:
    grid = Grid((40, 40, 20), np.eye(4))
    specks = np.zeros(grid.shape, np.uint8)
    specks[::3, ::3, ::3] = 1
    specks[4:12, 4:12, 4:12] = 1
    write_nifti(tmp_path / "les.nii.gz", specks, grid)
    found = import_lesions(tmp_path / "les.nii.gz", grid)
    assert found.labelled.lesions.data.max() == 1
    assert len(found.labelled.dropped) > 1000
    many = import_lesions(tmp_path / "les.nii.gz", grid, minimum_volume_mm3=0.0).labelled.lesions
    assert any("check that this is a lesion mask" in text for text in many.warnings)


@pytest.mark.parametrize("value", [-1.0, 0.5, np.nan])
def test_what_is_no_mask_is_refused(tmp_path: Path, value: float) -> None:
    data = np.zeros(GRID.shape, np.float32)
    data[2, 2, 2] = value
    write_nifti(tmp_path / "les.nii.gz", data, GRID)
    with pytest.raises(InputError, match=r"lesions: got les|NaN"):
        import_lesions(tmp_path / "les.nii.gz", GRID)


def test_the_command_numbers_and_lists_another_tools_mask(tmp_path: Path) -> None:
    write_nifti(tmp_path / "flair.nii.gz", np.ones(GRID.shape, np.float32), GRID)
    write_nifti(tmp_path / "les.nii.gz", _boxes((2, 2, 2), (20, 20, 8)), GRID)
    arguments = ["lesions", "segment", "--flair", str(tmp_path / "flair.nii.gz"), "--mask",
                 str(tmp_path / "les.nii.gz"), "-o", str(tmp_path / "out"), "--json"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert [one["lesion_id"] for one in content["lesions"]] == ["Lesion_1", "Lesion_2"]
    assert content["lesions"][0]["volume_mm3"] == pytest.approx(128.0)
    labels, grid = read_nifti(tmp_path / "out" / "lesions.nii.gz")
    assert grid.matches(GRID)
    assert labels.max() == 2
    lines = (tmp_path / "out" / "lesions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("lesion_id,place,volume_mm3")
    assert len(lines) == 3
    sidecar = json.loads((tmp_path / "out" / "lesions.json").read_text(encoding="utf-8"))
    assert sidecar["method"] == "imported: label map"
    lines = CliRunner().invoke(app, [*arguments[:-2], str(tmp_path / "again"), "--progress-json"]).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert events[-1] == {"event": "result", "output": str(tmp_path / "again"), "maps": ["lesions"]}


def _write_dicom_seg(path: Path, labels: Array) -> None:
    """A multi-segment object on single-slice images of the grid."""
    import highdicom
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
    from highdicom.sr.coding import CodedConcept
    from pydicom.uid import generate_uid

    lesion = CodedConcept("52988006", "SCT", "Lesion")
    category = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
    images = _slices()
    segments = [
        SegmentDescription(number, f"lesion {number}", category, lesion, SegmentAlgorithmTypeValues.MANUAL)
        for number in range(1, int(labels.max()) + 1)
    ]
    # Frames are (row j, column i) of the slice k.
    pixels = np.stack([labels[:, :, k].T for k in range(GRID.shape[2])]).astype(np.uint8)
    one = highdicom.seg.Segmentation(
        images, pixels, SegmentationTypeValues.BINARY, segments, generate_uid(), 1, generate_uid(), 1,
        "none", "none", "1", "1", omit_empty_frames=True,
    )  # fmt: skip
    one.save_as(path)


def _slices() -> list[object]:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    flip = np.diag([-1.0, -1.0, 1.0])
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    columns = (flip @ GRID.directions[:, 0]).tolist(), (flip @ GRID.directions[:, 1]).tolist()
    made: list[object] = []
    for k in range(GRID.shape[2]):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID, one.SOPInstanceUID = MRImageStorage, generate_uid()
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.Modality, one.PatientID, one.PatientName = "MR", "phantom", "Phantom^"
        one.PatientBirthDate = one.PatientSex = one.StudyDate = one.StudyTime = one.AccessionNumber = ""
        one.StudyID, one.SeriesNumber, one.InstanceNumber = "1", 1, k + 1
        one.Rows, one.Columns = GRID.shape[1], GRID.shape[0]
        one.ImageOrientationPatient = [*columns[0], *columns[1]]
        one.ImagePositionPatient = (flip @ (GRID.affine @ [0, 0, k, 1])[:3]).tolist()
        one.PixelSpacing = [GRID.voxel_size_mm[1], GRID.voxel_size_mm[0]]
        one.SliceThickness = GRID.voxel_size_mm[2]
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation, one.SamplesPerPixel = 15, 0, 1
        one.PhotometricInterpretation = "MONOCHROME2"
        one.PixelData = np.zeros((one.Rows, one.Columns), np.uint16).tobytes()
        made.append(one)
    return made


def test_a_brain_mask_on_another_grid_is_taken_by_its_place(tmp_path: Path) -> None:
    """Half as many voxels of twice the size; in another place it is refused."""
    write_nifti(tmp_path / "flair.nii.gz", np.ones(GRID.shape, np.float32), GRID)
    write_nifti(tmp_path / "les.nii.gz", _boxes((2, 2, 2), (20, 20, 8)), GRID)
    twice = np.diag([2.0, 2.0, 2.0, 1.0])
    twice[:3, 3] = 0.5
    coarse = Grid(tuple(n // 2 for n in GRID.shape), GRID.affine @ twice)
    away = Grid(coarse.shape, np.eye(4) + 1000 * np.eye(4, k=3))
    for name, grid in (("coarse", coarse), ("away", away)):
        write_nifti(tmp_path / f"{name}.nii.gz", np.ones(grid.shape, np.uint8), grid)
    arguments = ["lesions", "segment", "--flair", str(tmp_path / "flair.nii.gz"), "--mask",
                 str(tmp_path / "les.nii.gz"), "-o", str(tmp_path / "out"), "--json", "--brain-mask"]  # fmt: skip
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "coarse.nii.gz")])
    assert result.exit_code == 0, result.output
    refused = CliRunner().invoke(app, [*arguments, str(tmp_path / "away.nii.gz")])
    assert isinstance(refused.exception, InputError) and "no voxel of it in the FLAIR" in str(refused.exception)
