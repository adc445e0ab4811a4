"""Small classic and enhanced DICOM files in the style of three vendors, written from the standard's formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4.1"

Array = NDArray[Any]


def rotation(x_deg: float, y_deg: float, z_deg: float) -> Array:
    """Rotation matrix, angles about x, then y, then z."""
    a, b, c = np.radians([x_deg, y_deg, z_deg])
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(rz @ ry @ rx)


@dataclass(frozen=True)
class Slab:
    """Where a volume of (columns, rows, slices) lies, in DICOM's LPS millimetres."""

    shape: tuple[int, int, int] = (11, 9, 8)
    axes: Array = field(default_factory=lambda: rotation(20.0, -12.0, 7.0))
    column_spacing_mm: float = 0.8
    row_spacing_mm: float = 1.1
    slice_step_mm: float = 2.3
    origin_mm: tuple[float, float, float] = (-31.5, 12.25, 47.125)

    def position(self, k: int) -> list[float]:
        """Image position of slice k."""
        return [float(x) for x in np.array(self.origin_mm) + k * self.slice_step_mm * self.axes[:, 2]]

    @property
    def orientation(self) -> list[float]:
        """Cosines of the row and the column direction."""
        return [float(x) for x in (*self.axes[:, 0], *self.axes[:, 1])]

    def ras(self, i: int, j: int, k: int) -> Array:
        """RAS position of a voxel, from DICOM PS3.3 C.7.6.2.1.1 written out."""
        lps = np.array(self.position(k))
        lps = lps + self.axes[:, 0] * self.column_spacing_mm * i + self.axes[:, 1] * self.row_spacing_mm * j
        return np.asarray(lps * [-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Style:
    """Header values that do not change within a series; ``None`` leaves the element out."""

    manufacturer: str = "SIEMENS"
    scanning: str | list[str] | None = "GR"
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M", "ND")
    sequence_name: str = "*fl3d"
    patient: str = "SECRET^NAME"
    patient_id: str = "P-4711"
    study: str = "1.2.3.1"
    series: str = "1.2.3.1.1"
    frame_of_reference: str = "1.2.3.9"
    field_strength_t: float | None = 3.0
    imaging_frequency_mhz: float | None = 123.25
    repetition_ms: float = 38.0
    inversion_ms: float | None = None
    echo_train: int = 1
    rescale: tuple[float, float] | None = None
    rescale_type: str | None = None
    philips: tuple[str, float] | None = None
    ge: int | None = None
    software: str | None = None
    extra: tuple[tuple[int, str, Any], ...] = ()


def dataset(style: Style, slab: Slab, k: int, echo_ms: float | None, pixels: Array) -> FileDataset:
    """One classic image; ``pixels`` are stored values (columns, rows), as the project indexes them."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MR_IMAGE
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _identify(image, style, MR_IMAGE)
    if style.scanning is not None:
        image.ScanningSequence = style.scanning
    if echo_ms is not None:
        image.EchoTime = echo_ms
    image.ImagePositionPatient = [f"{x:.10g}" for x in slab.position(k)]
    image.ImageOrientationPatient = [f"{x:.10g}" for x in slab.orientation]
    image.PixelSpacing = [slab.row_spacing_mm, slab.column_spacing_mm]
    image.SliceThickness = abs(slab.slice_step_mm)
    image.InstanceNumber = k + 1
    _rescale(image, style)
    _pixels(image, pixels.T[None])
    return image


def _identify(image: Dataset, style: Style, sop_class: str) -> None:
    image.SOPClassUID = sop_class
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID
    image.Modality, image.Manufacturer, image.ImageType = "MR", style.manufacturer, list(style.image_type)
    image.PatientName, image.PatientID, image.PatientBirthDate = style.patient, style.patient_id, "19700101"
    image.StudyInstanceUID, image.SeriesInstanceUID = style.study, style.series
    image.FrameOfReferenceUID, image.SeriesDescription = style.frame_of_reference, style.patient
    image.SequenceName, image.RepetitionTime, image.EchoTrainLength = (
        style.sequence_name,
        style.repetition_ms,
        style.echo_train,
    )
    if style.field_strength_t is not None:
        image.MagneticFieldStrength = style.field_strength_t
    if style.imaging_frequency_mhz is not None:
        image.ImagingFrequency = style.imaging_frequency_mhz
    if style.inversion_ms is not None:
        image.InversionTime = style.inversion_ms
    if style.philips is not None:
        image.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        image.add_new(0x20051011, "CS", style.philips[0])
        image.add_new(0x2005100E, "FL", style.philips[1])
    if style.software is not None:
        image.SoftwareVersions = style.software
    for tag, representation, value in style.extra:
        image.add_new(tag, representation, value)
    if style.ge is not None:
        image.add_new(0x00430010, "LO", "GEMS_PARM_01")
        image.add_new(0x0043102F, "SS", style.ge)


def _rescale(image: Dataset, style: Style) -> None:
    if style.rescale is not None:
        image.RescaleSlope, image.RescaleIntercept = style.rescale
    if style.rescale_type is not None:
        image.RescaleType = style.rescale_type


def _pixels(image: Dataset, stored: Array) -> None:
    """Stored values, shape (frame, row, column), 12 bits unsigned or 16 bits signed."""
    signed = bool(stored.min() < 0)
    image.Rows, image.Columns, image.SamplesPerPixel = *stored.shape[1:], 1
    image.PhotometricInterpretation, image.PixelRepresentation = "MONOCHROME2", int(signed)
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16 if signed else 12, 15 if signed else 11
    image.PixelData = np.ascontiguousarray(stored).astype("<i2" if signed else "<u2").tobytes()


def write_volume(
    folder: Path, style: Style, slab: Slab, echo_ms: float | None, stored: Array, skip: Sequence[int] = ()
) -> list[Path]:
    """Write the slices of one volume under names that tell nothing, in no order."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for k in range(stored.shape[2]):
        if k not in skip:
            image = dataset(style, slab, k, echo_ms, stored[:, :, k])
            path = folder / f"{hash((image.SOPInstanceUID, k)) & 0xFFFFFFFF:08x}"
            image.save_as(path, enforce_file_format=True)
            written.append(path)
    return written


def siemens_styles(style: Style | None = None) -> tuple[Style, Style]:
    """Magnitude and phase series of a Siemens scanner."""
    base = style or Style()
    return base, replace(
        base,
        image_type=("ORIGINAL", "PRIMARY", "P", "ND"),
        series=base.series + ".2",
        rescale=(2.0, -4096.0),
        rescale_type="US",
    )


def philips_styles() -> tuple[Style, Style]:
    """Magnitude and phase of a Philips scanner, in one series."""
    base = Style(manufacturer="Philips Medical Systems", image_type=("ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"))
    magnitude = replace(base, rescale=(1.29, 0.0), rescale_type="normalized", philips=("M", 2.4e-4))
    phase_type = ("ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE")
    slope = 2 * 3142 / 4095
    phase = replace(base, image_type=phase_type, rescale=(slope, -3142.0), rescale_type="mrad",
                    philips=("P", 4095 / (2 * np.pi)))  # fmt: skip
    return magnitude, phase


def write_siemens_gre(
    folder: Path,
    slab: Slab,
    echo_times_ms: Sequence[float],
    magnitude: Array,
    phase_stored: Array,
    style: Style | None = None,
) -> None:
    """Write a multi-echo gradient echo scan; arrays of stored values (I, J, K, E)."""
    for one, stored in zip(siemens_styles(style), (magnitude, phase_stored), strict=True):
        for echo, time in enumerate(echo_times_ms):
            write_volume(folder, one, slab, time, stored[..., echo])


def real_world_mapping(slope: float, intercept: float, unit: str) -> DicomSequence:
    """Real-world value mapping with a unit of the UCUM table."""
    code, mapping = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = unit, "UCUM", unit
    mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = slope, intercept
    mapping.MeasurementUnitsCodeSequence = DicomSequence([code])
    return DicomSequence([mapping])


@dataclass(frozen=True)
class EnhancedFrame:
    """One frame of an enhanced file; ``None`` leaves the element out."""

    component: str | None
    echo_ms: float
    k: int
    stored: Array
    rescale: tuple[float, float] | None = (1.0, 0.0)
    rescale_type: str = "US"
    frame_type: tuple[str, ...] | None = None
    real_world: tuple[float, float, str] | None = None
    philips: tuple[str, float] | None = None
    coil: str | None = None
    coil_element: str | None = None


def write_enhanced(path: Path, style: Style, slab: Slab, frames: Sequence[EnhancedFrame]) -> FileDataset:
    """Write one enhanced file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ENHANCED_MR_IMAGE, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    _identify(image, style, ENHANCED_MR_IMAGE)
    del image.RepetitionTime
    image.EchoPulseSequence, image.NumberOfFrames = "GRADIENT", len(frames)
    measures, orientation, timing, shared = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [slab.row_spacing_mm, slab.column_spacing_mm], slab.slice_step_mm
    orientation.ImageOrientationPatient = [f"{x:.10g}" for x in slab.orientation]
    timing.RepetitionTime = style.repetition_ms
    shared.MRTimingAndRelatedParametersSequence = DicomSequence([timing])
    shared.PixelMeasuresSequence = DicomSequence([measures])
    shared.PlaneOrientationSequence = DicomSequence([orientation])
    image.SharedFunctionalGroupsSequence = DicomSequence([shared])
    image.PerFrameFunctionalGroupsSequence = DicomSequence([_groups(slab, frame) for frame in frames])
    _pixels(image, np.stack([frame.stored.T for frame in frames]))
    image.save_as(path, enforce_file_format=True)
    return image


def _groups(slab: Slab, frame: EnhancedFrame) -> Dataset:
    kind, echo, plane, item = (Dataset() for _ in range(4))
    if frame.component is not None:
        kind.ComplexImageComponent = frame.component
    if frame.frame_type is not None:
        kind.FrameType = list(frame.frame_type)
    echo.EffectiveEchoTime = frame.echo_ms
    plane.ImagePositionPatient = [f"{x:.10g}" for x in slab.position(frame.k)]
    item.MRImageFrameTypeSequence = DicomSequence([kind])
    item.MREchoSequence = DicomSequence([echo])
    item.PlanePositionSequence = DicomSequence([plane])
    _frame_scaling(item, frame)
    if frame.coil is not None:
        item.add_new(0x00211101, "SQ", DicomSequence([_private(0x00211106, "LO", f"{frame.coil}_1_1_1_1_1_1_1")]))
    if frame.coil_element is not None:
        item.MRReceiveCoilSequence = DicomSequence([_receive_coil(frame.coil_element)])
    return item


def _receive_coil(used: str) -> Dataset:
    """Coil of the elements E1, E2, E3, of which one made the image."""
    coil, elements = Dataset(), []
    for name in ("E1", "E2", "E3"):
        element = Dataset()
        element.MultiCoilElementName, element.MultiCoilElementUsed = name, "YES" if name == used else "NO"
        elements.append(element)
    coil.ReceiveCoilName, coil.MultiCoilDefinitionSequence = "HEAD", DicomSequence(elements)
    return coil


def _private(tag: int, representation: str, value: Any) -> Dataset:
    holder = Dataset()
    holder.add_new(tag, representation, value)
    return holder


def _frame_scaling(item: Dataset, frame: EnhancedFrame) -> None:
    if frame.rescale is not None:
        values = Dataset()
        values.RescaleSlope, values.RescaleIntercept = frame.rescale
        values.RescaleType = frame.rescale_type
        item.PixelValueTransformationSequence = DicomSequence([values])
    if frame.real_world is not None:
        item.RealWorldValueMappingSequence = real_world_mapping(*frame.real_world)
    if frame.philips is not None:
        private = _private(0x2005100E, "FL", frame.philips[1])
        private.add_new(0x20051011, "CS", frame.philips[0])
        # The scanner's private copy names the wrong component at times.
        private.ComplexImageComponent = "REAL"
        item.add_new(0x2005140F, "SQ", DicomSequence([private]))
