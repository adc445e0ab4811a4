"""The written DICOM, read back by pydicom with geometry worked out by hand, and by dcm2niix."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import dcm2niix
import nibabel
import numpy as np
import pydicom
import pytest

from ChiSepPhantoms import Phantom, PhantomOptions, write_dicom_study
from ChiSepPhantoms.geometry import rotation
from ChiSepPreprocessLib.artifacts import Acquisition, Grid, Image, MapSet, ScanParameters, SpinEcho
from ChiSepPreprocessLib.errors import InputError

OPTIONS = PhantomOptions(seed=4, echo_times_s=(0.004, 0.0101, 0.0163))


def _grid(shape: tuple[int, int, int], voxel_mm: tuple[float, float, float], turn: tuple[float, float, float]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = rotation(turn) @ np.diag([-1.0, -1.0, 1.0]) * voxel_mm
    affine[:3, 3] = 31.5, 42.25, -17.125
    return Grid(shape, affine)


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    """Noise on small, oblique, anisotropic grids: no two voxels are alike."""
    rng = np.random.default_rng(2)
    grid, se_grid, flair_grid = (_grid(shape, size, turn) for shape, size, turn in (
        ((12, 10, 7), (1.0, 1.25, 2.0), (20.0, -12.0, 8.0)), ((9, 11, 5), (1.5, 1.5, 3.0), (0.0, 0.0, 0.0)),
        ((8, 8, 6), (1.0, 1.0, 1.0), (-5.0, 0.0, 3.0)),
    ))  # fmt: skip
    scan = ScanParameters(echo_times_s=OPTIONS.echo_times_s, field_strength_t=3.0,
                          b0_direction_ijk=grid.b0_direction_ijk, imaging_frequency_hz=127.73e6)  # fmt: skip
    acquisition = Acquisition(
        gre_magnitude=rng.uniform(0, 1000, (12, 10, 7, 3)).astype(np.float32),
        gre_phase=rng.uniform(-np.pi, np.pi, (12, 10, 7, 3)).astype(np.float32), grid=grid, scan=scan,
        spin_echo=SpinEcho(rng.uniform(0, 500, (9, 11, 5, 2)).astype(np.float32), (0.015, 0.03), se_grid),
        flair=Image(rng.uniform(0, 500, (8, 8, 6)).astype(np.float32), flair_grid),
    )  # fmt: skip
    return Phantom(acquisition=acquisition, truth=MapSet(grid, scan), labels=np.zeros(grid.shape, np.int16), lesions=(),
                   options=OPTIONS, iron={}, noise_sigma=1.0)  # fmt: skip


@pytest.fixture(scope="module", params=["siemens", "philips"])
def study(request: pytest.FixtureRequest, phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    write_dicom_study(phantom, folder, request.param)
    return folder


def _radians(dataset: pydicom.Dataset) -> np.ndarray:
    stored = dataset.pixel_array.astype(float)
    if dataset.Manufacturer == "SIEMENS":
        assert (float(dataset.RescaleSlope), float(dataset.RescaleIntercept)) == (2.0, -4096.0)
        return np.pi * (2 * stored - 4096) / 4096
    assert dataset.RescaleType == "mrad"
    rescaled = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    # Philips: floating point value = rescaled / (slope · scale slope), which is radians for phase.
    radians = rescaled / (float(dataset.RescaleSlope) * dataset[0x2005, 0x100E].value)
    np.testing.assert_allclose(radians, rescaled / 1000, rtol=1e-6, atol=1e-7)
    return np.asarray(radians)


def test_gre_slices_hold_the_right_values_at_the_right_places(phantom: Phantom, study: Path) -> None:
    one, seen = phantom.acquisition, set()
    magnitude_unit = None
    for path in sorted(study.glob("00[23]_*/*.dcm")):
        dataset = pydicom.dcmread(path)
        echo = int(np.argmin(np.abs(np.array(one.scan.echo_times_s) - float(dataset.EchoTime) / 1e3)))
        assert echo == dataset.EchoNumbers - 1
        # DICOM, part 3, C.7.6.2.1.1: rows step along the second, columns along the first direction; LPS → RAS.
        along_row, along_column = np.array(dataset.ImageOrientationPatient, dtype=float).reshape(2, 3)
        corner, (row_mm, column_mm) = np.array(dataset.ImagePositionPatient, dtype=float), dataset.PixelSpacing
        row, column = 4, 7
        world = (corner + along_row * float(column_mm) * column + along_column * float(row_mm) * row) * [-1, -1, 1]
        index = np.linalg.inv(one.grid.affine) @ [*world, 1]
        np.testing.assert_allclose(index[:3], np.round(index[:3]), atol=1e-6)
        i, j, k = np.round(index[:3]).astype(int)
        component = dataset.ImageType[2 if dataset.Manufacturer == "SIEMENS" else 3]
        if component == "P":
            turned = np.exp(1j * (_radians(dataset)[row, column] - one.gre_phase[i, j, k, echo]))
            assert abs(np.angle(turned)) < 1.001 * np.pi / 4095
        else:
            slope = float(dataset.get("RescaleSlope", 1.0))
            value = dataset.pixel_array[row, column] * slope / one.gre_magnitude[i, j, k, echo]
            magnitude_unit = magnitude_unit or value
            assert value == pytest.approx(magnitude_unit, rel=0.01)
        seen.add((component, echo, k))
    assert len(seen) == 2 * 3 * 7


def test_headers_name_the_scan_and_nobody(study: Path) -> None:
    datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in study.rglob("*.dcm")]
    assert {str(one.PatientName) for one in datasets} == {"SIMULATED^PATIENT"}
    assert len({one.StudyInstanceUID for one in datasets}) == len({one.FrameOfReferenceUID for one in datasets}) == 1
    assert len({one.SOPInstanceUID for one in datasets}) == len(datasets)
    series = {str(one.SeriesDescription): one for one in datasets}
    philips = datasets[0].Manufacturer == "Philips"
    assert len({one.SeriesInstanceUID for one in datasets}) == len(series) == (3 if philips else 4)
    assert series["flair"].InversionTime == pytest.approx(2497, abs=1)
    assert list(series["flair"].ScanningSequence) == ["SE", "IR"]
    assert series["se_multiecho"].ScanningSequence == "SE"
    gre = series["gre_qsm" if philips else "gre_qsm_pha"]
    assert (gre.ScanningSequence, gre.MRAcquisitionType, gre.FlipAngle) == ("GR", "3D", 15)
    assert float(gre.ImagingFrequency) == pytest.approx(127.73)
    assert all(one.file_meta.MediaStorageSOPClassUID.name == "MR Image Storage" for one in datasets)
    assert all(uid.is_valid for one in datasets for uid in (one.SOPInstanceUID, one.SeriesInstanceUID))


def test_uids_depend_on_the_seed_alone(phantom: Phantom, study: Path, tmp_path: Path) -> None:
    vendor = pydicom.dcmread(next(study.rglob("*.dcm"))).Manufacturer.lower()
    write_dicom_study(phantom, tmp_path, vendor)
    first, again = (sorted(folder.rglob("*.dcm")) for folder in (study, tmp_path))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_dcm2niix_finds_the_same_volumes(phantom: Phantom, study: Path, tmp_path: Path) -> None:
    command = [dcm2niix.bin, "-z", "n", "-b", "y", "-f", "%s_%e", "-o", str(tmp_path), str(study)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    one, found = phantom.acquisition, 0
    assert one.spin_echo is not None
    for path in sorted(tmp_path.glob("*.nii")):
        note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        image = nibabel.load(path)
        if note["SeriesNumber"] == 4:
            grid, data, times = one.spin_echo.grid, one.spin_echo.magnitude, one.spin_echo.echo_times_s
        elif note["SeriesNumber"] == 5:
            assert one.flair is not None
            grid, data, times = one.flair.grid, one.flair.data[..., None], (0.12,)
        else:
            grid, times = one.grid, one.scan.echo_times_s
            data = one.gre_phase if "PHASE" in note["ImageType"] else one.gre_magnitude
        echo = int(np.argmin(np.abs(np.array(times) - note["EchoTime"])))
        _same_volume(image, data[..., echo], grid, "PHASE" in note["ImageType"], note["Manufacturer"])
        found += 1
    assert found == 2 * 3 + 2 + 1


def _same_volume(image: nibabel.Nifti1Image, data: np.ndarray, grid: Grid, is_phase: bool, maker: str) -> None:
    """dcm2niix may flip axes; each of our voxels is looked up at its place in the scanner."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    there = (index @ grid.affine[:3, :3].T + grid.affine[:3, 3] - image.affine[:3, 3]) @ np.linalg.inv(
        image.affine[:3, :3]
    ).T
    assert np.abs(there - np.round(there)).max() < 1e-3
    values = image.get_fdata()[tuple(np.round(there).astype(int).T)]
    if not is_phase:
        assert np.corrcoef(values, data.ravel())[0, 1] > 0.999999
        return
    radians = values * np.pi / 4096 if maker == "Siemens" else values
    # Half a step of 2π / 4095, and dcm2niix rounds Philips' scaling to single precision.
    assert np.abs(np.angle(np.exp(1j * (radians - data.ravel())))).max() < 1.6 * np.pi / 4095


def test_unknown_vendor_is_refused(phantom: Phantom, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="siemens"):
        write_dicom_study(phantom, tmp_path, "other")


def test_the_loader_reads_the_study_back_exactly(phantom: Phantom, study: Path) -> None:
    """Geometry to 1e-4 mm, phase and magnitude to half the stored quantum, every echo and image in its place."""
    from ChiSepPreprocessLib.loading import load_acquisition

    written, read = phantom.acquisition, load_acquisition([study])
    assert read.grid.matches(written.grid, tolerance_mm=1e-4)
    assert read.scan.echo_times_s == pytest.approx(written.scan.echo_times_s, abs=1e-9)
    assert read.scan.imaging_frequency_hz == pytest.approx(127.73e6, abs=1.0)
    quantum_rad = 2 * np.pi / 4096
    turned = np.angle(np.exp(1j * (read.gre_phase.astype(float) - written.gre_phase)))
    assert np.abs(turned).max() <= quantum_rad / 2 * 1.01
    assert read.spin_echo is not None and written.spin_echo is not None
    assert read.flair is not None and written.flair is not None
    assert read.spin_echo.grid.matches(written.spin_echo.grid, tolerance_mm=1e-4)
    assert read.flair.grid.matches(written.flair.grid, tolerance_mm=1e-4)
    for found, expected in (
        (read.gre_magnitude, written.gre_magnitude),
        (read.spin_echo.magnitude, written.spin_echo.magnitude),
        (read.flair.data, written.flair.data),
    ):
        scale = float(expected.max() / found.max())  # magnitude has no unit: the largest value is stored exactly
        assert np.abs(found * scale - expected).max() <= 0.501 * scale * _quantum(found)


def _quantum(values: np.ndarray) -> float:
    """Smallest step between stored values."""
    steps = np.diff(np.unique(values.astype(np.float64)))
    return float(steps[steps > 1e-6 * steps.max()].min())
