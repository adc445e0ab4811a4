"""χ maps as DICOM Parametric Maps keep every value, its unit and its place; read back by other programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import dcm2niix
import nibabel
import numpy as np
import pydicom
import pytest

from ChiSeparationLib.report.dicom_parametric import SERIES_NUMBERS, parametric_map
from ChiSeparationLib.report.dicom_source import DicomSource, read_source, save
from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from lesion_report_cases import GRIDS, make_maps, native_grid, write_source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> DicomSource:
    folder = write_source(tmp_path_factory.mktemp("source"))
    return read_source([folder], make_maps(native_grid()))


def on_grid(data: np.ndarray, affine: np.ndarray, grid: Grid) -> np.ndarray:
    """Values of an image at the voxels of a grid, which must be its own in another order."""
    indices = np.stack(np.meshgrid(*(np.arange(size) for size in grid.shape), indexing="ij"), axis=-1)
    inverse = np.linalg.inv(affine) @ grid.affine
    found = indices @ inverse[:3, :3].T + inverse[:3, 3]
    nearest = np.rint(found).astype(int)
    assert np.abs(found - nearest).max() < 1e-3
    return np.asarray(data[tuple(np.moveaxis(nearest, -1, 0))])


@pytest.mark.parametrize("grid_name", GRIDS)
@pytest.mark.parametrize("name", SERIES_NUMBERS)
def test_dcm2niix_reads_every_value_at_its_place(
    source: DicomSource, grid_name: str, name: str, tmp_path: Path
) -> None:
    maps = make_maps(GRIDS[grid_name]())
    save(tmp_path / "in" / "map.dcm", parametric_map(source, maps[name], "closed-form"))
    command = [dcm2niix.bin, "-b", "n", "-f", "map", "-o", str(tmp_path), str(tmp_path / "in")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    image = nibabel.load(tmp_path / "map.nii")
    np.testing.assert_array_equal(on_grid(image.get_fdata(dtype=np.float32), image.affine, maps.grid), maps.array(name))


@pytest.mark.parametrize("grid_name", GRIDS)
def test_highdicom_reads_every_value_at_its_place(source: DicomSource, grid_name: str, tmp_path: Path) -> None:
    import highdicom

    maps = make_maps(GRIDS[grid_name]())
    save(tmp_path / "map.dcm", parametric_map(source, maps["chi_total"], "closed-form"))
    volume = highdicom.imread(tmp_path / "map.dcm").get_volume(apply_real_world_transform=True)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    np.testing.assert_array_equal(on_grid(volume.array, ras, maps.grid), maps.array("chi_total"))


def test_units_are_ucum_in_ppm_and_ppb(source: DicomSource) -> None:
    image = parametric_map(source, make_maps(native_grid())["chi_para"], "closed-form")
    mappings = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    told = {(one.MeasurementUnitsCodeSequence[0].CodeValue, one.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator,
             one.RealWorldValueSlope, one.RealWorldValueIntercept) for one in mappings}  # fmt: skip
    assert told == {("[ppm]", "UCUM", 1.0, 0.0), ("[ppb]", "UCUM", 1000.0, 0.0)}
    quantity = mappings[0].QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    assert (quantity.CodeValue, quantity.CodingSchemeDesignator) == ("chi_para", "99CHISEP")


def test_required_attributes_are_there(source: DicomSource) -> None:
    image = parametric_map(source, make_maps(native_grid())["chi_dia"], "closed-form")
    needed = ("SOPClassUID", "SeriesInstanceUID", "SeriesNumber", "Manufacturer", "ManufacturerModelName",
              "DeviceSerialNumber", "SoftwareVersions", "FrameOfReferenceUID", "ContentLabel", "ContentDate",
              "ImageType", "ContentQualification", "NumberOfFrames", "BitsAllocated", "FloatPixelData",
              "BurnedInAnnotation",
              "RecognizableVisualFeatures", "LossyImageCompression", "DimensionIndexSequence")  # fmt: skip
    assert [name for name in needed if image.get(name) in (None, "", [])] == []
    assert (image.SOPClassUID, image.ContentQualification) == ("1.2.840.10008.5.1.4.1.1.30", "RESEARCH")
    shared = image.SharedFunctionalGroupsSequence[0]
    assert {"ParametricMapFrameTypeSequence", "PixelMeasuresSequence", "PlaneOrientationSequence",
            "FrameVOILUTSequence", "PixelValueTransformationSequence"} <= set(shared.dir())  # fmt: skip


def test_each_pipeline_and_map_is_a_series_of_its_own(source: DicomSource) -> None:
    maps = make_maps(native_grid())
    every = [parametric_map(source, maps[name], pipeline) for pipeline in ("a", "b") for name in SERIES_NUMBERS]
    assert len({one.SeriesInstanceUID for one in every}) == 6
    again = parametric_map(source, maps["chi_para"], "a")
    assert again.SOPInstanceUID == every[0].SOPInstanceUID
    assert pydicom.uid.UID(again.SOPInstanceUID).is_valid


def test_other_maps_are_refused(source: DicomSource) -> None:
    with pytest.raises(InputError, match="magnitude"):
        parametric_map(source, make_maps(native_grid())["magnitude"], "closed-form")
