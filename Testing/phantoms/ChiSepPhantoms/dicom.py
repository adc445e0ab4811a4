"""The simulated examination as classic DICOM series, as Siemens or Philips scanners write them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSepPreprocessLib.artifacts import Acquisition, Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import writing
from ChiSepPreprocessLib.progress import Reporter

from .geometry import Volume
from .signals import FLAIR_INVERSION_S
from .study import Phantom

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

_LEVELS = 4095
_DATE = "20200101"
_PHILIPS, _PHILIPS_MR = "Philips Imaging DD 001", "Philips MR Imaging DD 001"
_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """How stored integers mean values: value = stored · slope + intercept."""

    slope: float
    intercept: float
    unit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Stack:
    """One volume of a series: an echo's magnitude or phase."""

    stored: Volume
    scale: _Scale | None
    component: str
    echo: int
    echo_time_s: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Series:
    """One DICOM series."""

    number: int
    name: str
    grid: Grid
    stacks: list[_Stack]
    attributes: dict[str, Any]


def write_dicom_study(phantom: Phantom, folder: Path, vendor: str = "siemens", report: Reporter | None = None) -> None:
    """Write the examination as MR Image Storage, one folder for each series and one file for each slice.

    ``"siemens"``: magnitude and phase of the GRE are separate series; phase is stored from 0 to 4095 with slope 2 and
    intercept −4096, so that π · value / 4096 is radians. ``"philips"``: one series holds both for all echoes; phase
    is in milliradians by its rescale, and the private scale slope (2005,100E) is there.

    Parameters
    ----------
    phantom : Phantom
        The examination.
    folder : Path
        Where to write; made if missing.
    vendor : {"siemens", "philips"}
        Style.
    report : Reporter, optional
        Progress; can cancel.

    Raises
    ------
    InputError
        If the vendor is unknown.
    OutputError
        If a file cannot be written.
    """
    if vendor not in ("siemens", "philips"):
        raise InputError("vendor", repr(vendor), "'siemens' or 'philips'")
    report = report or Reporter()
    everything = _all_series(phantom, vendor)
    for number_of_series, series in enumerate(everything):
        planes = series.grid.shape[2]
        for index, stack in enumerate(series.stacks):
            report("DICOM", (number_of_series + index / len(series.stacks)) / len(everything), series.name)
            dataset = _of_stack(phantom, vendor, series, stack)
            for plane in range(planes):
                number = index * planes + plane + 1
                _of_slice(dataset, _uid(phantom, vendor, series.number, number), series.grid, stack, plane, number)
                path = folder / f"{series.number:03d}_{series.name}" / f"{number:05d}.dcm"
                with writing(path) as temporary:
                    dataset.save_as(temporary, enforce_file_format=True)


def _all_series(phantom: Phantom, vendor: str) -> list[_Series]:
    one = phantom.acquisition
    series = _gradient_echo_series(phantom, vendor)
    if one.spin_echo is not None:
        stacks = _magnitudes(one.spin_echo.magnitude, one.spin_echo.echo_times_s, vendor)
        attributes = {"ScanningSequence": "SE", "SequenceVariant": "SK", "MRAcquisitionType": "2D",
                      "RepetitionTime": 7800.0, "FlipAngle": 90.0, "ScanOptions": ""}  # fmt: skip
        series.append(_Series(number=4, name="se_multiecho", grid=one.spin_echo.grid, stacks=stacks,
                              attributes=attributes))  # fmt: skip
    if one.flair is not None:
        stacks = _magnitudes(one.flair.data[..., None], (0.12,), vendor)
        attributes = {"ScanningSequence": ["SE", "IR"], "SequenceVariant": "SK", "MRAcquisitionType": "3D",
                      "RepetitionTime": 9000.0, "InversionTime": round(1e3 * FLAIR_INVERSION_S, 1), "FlipAngle": 90.0,
                      "ScanOptions": "IR"}  # fmt: skip
        series.append(_Series(number=5, name="flair", grid=one.flair.grid, stacks=stacks, attributes=attributes))
    return series


def _gradient_echo_series(phantom: Phantom, vendor: str) -> list[_Series]:
    one, options = phantom.acquisition, phantom.options
    attributes = {"ScanningSequence": "GR", "SequenceVariant": "SP", "MRAcquisitionType": "3D", "ScanOptions": "",
                  "RepetitionTime": 1e3 * options.repetition_time_s, "FlipAngle": options.flip_angle_deg}  # fmt: skip
    magnitude = _magnitudes(one.gre_magnitude, one.scan.echo_times_s, vendor)
    phase = _phases(one, vendor)
    if vendor == "philips":
        stacks = magnitude + phase
        return [_Series(number=2, name="gre_qsm", grid=one.grid, stacks=stacks, attributes=attributes)]
    return [_Series(number=2, name="gre_qsm_mag", grid=one.grid, stacks=magnitude, attributes=attributes),
            _Series(number=3, name="gre_qsm_pha", grid=one.grid, stacks=phase, attributes=attributes)]  # fmt: skip


def _magnitudes(data: Volume, echo_times_s: tuple[float, ...], vendor: str) -> list[_Stack]:
    """Twelve bits over the whole series; only Philips writes a rescale for magnitude."""
    slope = float(data.max()) / _LEVELS
    stored = np.round(data / slope).astype(np.uint16)
    scale = _Scale(slope=slope, intercept=0.0, unit="normalized") if vendor == "philips" else None
    return [_Stack(stored=stored[..., n], scale=scale, component="M", echo=n + 1, echo_time_s=time)
            for n, time in enumerate(echo_times_s)]  # fmt: skip


def _phases(one: Acquisition, vendor: str) -> list[_Stack]:
    if vendor == "siemens":
        scale, per_radian = _Scale(slope=2.0, intercept=-4096.0, unit="US"), 4096 / np.pi
    else:
        slope = 2000 * np.pi / _LEVELS
        scale, per_radian = _Scale(slope=slope, intercept=-1000 * np.pi, unit="mrad"), 1000.0
    stored = np.round((one.gre_phase * per_radian - scale.intercept) / scale.slope)
    # +π and −π are the same phase; the level above the last is the first.
    stored = np.where(stored > _LEVELS, 0, stored).astype(np.uint16)
    return [_Stack(stored=stored[..., n], scale=scale, component="P", echo=n + 1, echo_time_s=time)
            for n, time in enumerate(one.scan.echo_times_s)]  # fmt: skip


def _uid(phantom: Phantom, vendor: str, *parts: object) -> str:
    """UID that depends on the options and the part alone: the same study has the same UIDs."""
    from pydicom.uid import PYDICOM_ROOT_UID, generate_uid

    return str(generate_uid(prefix=PYDICOM_ROOT_UID, entropy_srcs=[repr(phantom.options), vendor, *map(str, parts)]))


def _of_stack(phantom: Phantom, vendor: str, series: _Series, stack: _Stack) -> FileDataset:
    """All that the slices of one volume share."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = MRImageStorage
    _patient_and_study(dataset, phantom, vendor)
    _series_and_equipment(dataset, phantom, vendor, series)
    _sequence(dataset, phantom, series, stack)
    _plane_geometry(dataset, series.grid)
    _pixel_format(dataset, vendor, stack)
    if vendor == "philips":
        _philips_private(dataset, series, stack)
    return dataset


def _of_slice(dataset: FileDataset, uid: str, grid: Grid, stack: _Stack, plane: int, number: int) -> None:
    """Turn the volume's dataset into that of one slice; DICOM counts in LPS, the grid in RAS."""
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
    dataset.InstanceNumber = number
    corner = _TO_LPS @ (grid.affine @ [0, 0, plane, 1])[:3]
    normal = np.cross(*(_TO_LPS @ grid.directions)[:, :2].T)
    dataset.ImagePositionPatient = [_decimal(v) for v in corner]
    dataset.SliceLocation = _decimal(float(normal @ corner))
    dataset.PixelData = np.ascontiguousarray(stack.stored[:, :, plane].T).astype("<u2").tobytes()
    if dataset.Manufacturer == "Philips":
        dataset.private_block(0x2001, _PHILIPS)[0x0A].value = plane + 1


def _patient_and_study(dataset: Dataset, phantom: Phantom, vendor: str) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName = "SIMULATED^PATIENT"
    dataset.PatientID = f"SIMULATED-{phantom.options.seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = _uid(phantom, vendor, "study")
    dataset.StudyID = "1"
    dataset.StudyDescription = "Simulated chi-separation study"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = _DATE
    dataset.StudyTime = "120000"
    dataset.FrameOfReferenceUID = _uid(phantom, vendor, "frame of reference")
    dataset.PositionReferenceIndicator = ""


def _series_and_equipment(dataset: Dataset, phantom: Phantom, vendor: str, series: _Series) -> None:
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = _uid(phantom, vendor, "series", series.number)
    dataset.SeriesNumber = dataset.AcquisitionNumber = series.number
    dataset.SeriesDescription = dataset.ProtocolName = series.name
    dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = f"12{series.number:02d}00"
    dataset.Manufacturer = "SIEMENS" if vendor == "siemens" else "Philips"
    dataset.ManufacturerModelName = "Simulated scanner"
    dataset.SoftwareVersions = "simulated"
    dataset.BodyPartExamined = "BRAIN"
    dataset.PatientPosition = "HFS"


def _sequence(dataset: Dataset, phantom: Phantom, series: _Series, stack: _Stack) -> None:
    scan = phantom.acquisition.scan
    dataset.EchoTime = _decimal(1e3 * stack.echo_time_s)
    dataset.EchoNumbers = stack.echo
    dataset.EchoTrainLength = max(one.echo for one in series.stacks)
    dataset.MagneticFieldStrength = _decimal(scan.field_strength_t)
    dataset.ImagingFrequency = _decimal(scan.reference_frequency_hz / 1e6)
    dataset.ImagedNucleus = "1H"
    dataset.NumberOfAverages = 1
    for name, value in series.attributes.items():
        setattr(dataset, name, _decimal(value) if isinstance(value, float) else value)


def _decimal(value: float) -> str:
    """Decimal string of at most 16 characters, as DICOM wants it."""
    text = repr(float(value))
    digits = 16
    while len(text) > 16:
        digits -= 1
        text = f"{value:.{digits}g}"
    return text


def _plane_geometry(dataset: Dataset, grid: Grid) -> None:
    """Rows run along i, columns along j."""
    di, dj, dk = grid.voxel_size_mm
    along_i, along_j = (_TO_LPS @ grid.directions)[:, :2].T
    dataset.ImageOrientationPatient = [_decimal(v) for v in (*along_i, *along_j)]
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _decimal(dk)
    dataset.PixelSpacing = [_decimal(dj), _decimal(di)]
    dataset.AcquisitionMatrix = [0, grid.shape[0], grid.shape[1], 0]
    dataset.InPlanePhaseEncodingDirection = "COL"
    dataset.Columns, dataset.Rows = grid.shape[:2]


def _pixel_format(dataset: Dataset, vendor: str, stack: _Stack) -> None:
    if vendor == "siemens":
        dataset.ImageType = ["ORIGINAL", "PRIMARY", stack.component, "ND"]
    else:
        name = "M_FFE" if stack.component == "M" else "PHASE MAP"
        kind = "FFE" if dataset.ScanningSequence == "GR" else "SE"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", name if kind == "FFE" else "M_SE", stack.component, kind]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    if stack.scale is not None:
        dataset.RescaleSlope = _decimal(stack.scale.slope)
        dataset.RescaleIntercept = _decimal(stack.scale.intercept)
        dataset.RescaleType = stack.scale.unit
    low, high = (0, 2048) if stack.component == "M" else (-4096, 4094)
    dataset.WindowCenter, dataset.WindowWidth = (low + high) // 2, high - low


def _philips_private(dataset: Dataset, series: _Series, stack: _Stack) -> None:
    """The few private elements by which readers recognise and scale Philips images."""
    counts = dataset.private_block(0x2001, _PHILIPS, create=True)
    counts.add_new(0x0A, "IS", 1)
    counts.add_new(0x14, "SL", max(one.echo for one in series.stacks))
    counts.add_new(0x18, "SL", series.grid.shape[2])
    scale = stack.scale
    if scale is None:
        return
    # Stored = rescaled / (slope · scale slope) in absolute units; for phase one unit is a radian.
    block = dataset.private_block(0x2005, _PHILIPS_MR, create=True)
    block.add_new(0x0D, "FL", -scale.intercept / scale.slope)
    block.add_new(0x0E, "FL", 1000 / scale.slope if stack.component == "P" else 1.0)
    block.add_new(0x11, "CS", stack.component)
