"""DICOM headers: one :class:`Frame` for each image, classic or enhanced, without pixels or names."""

from __future__ import annotations

import hashlib
import logging
import re
import struct
import warnings
import zlib
from collections import ChainMap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..quantities import mhz_to_hz, ms_to_s
from .roles import Component, SequenceFacts, Vendor, component_of, not_plain_phase, role_of, vendor_of
from .stack import Header, plain_version
from .tags import Tag, Values, real, reals, text, texts, whole

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


#: Classic and enhanced MR images.
_MR_IMAGE_STORAGE = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1")


@dataclass(frozen=True)
class PlainPixels:
    """Stored values of all images of a file, one after the other.

    Parameters
    ----------
    offset : int
        First byte in the file.
    dtype : str
        Type of a value, as NumPy calls it.
    """

    offset: int
    dtype: str


@dataclass(frozen=True)
class Frame:
    """One image of one file.

    Parameters
    ----------
    path : Path
        File.
    index : int
        Frame in the file, from 0.
    header : Header
        What the image is.
    shape : tuple of int
        Columns and rows.
    position, orientation : ndarray
        Image position (3,) and orientation (6,) of the patient, LPS, mm; NaN if missing.
    spacing_mm : tuple of float
        Between rows, between columns.
    thickness_mm : float
        Between slices where one slice alone cannot tell.
    transfer_syntax : str
        UID of how pixels are stored; empty without a preamble.
    plain : PlainPixels or None
        Where the stored values lie if they stand in the file as numbers.
    """

    path: Path
    index: int
    header: Header
    shape: tuple[int, int]
    position: np.ndarray
    orientation: np.ndarray
    spacing_mm: tuple[float, float]
    thickness_mm: float
    transfer_syntax: str = ""
    plain: PlainPixels | None = None


class DamagedFileError(Exception):
    """A file begins as DICOM but cannot be read on."""


#: First tags of DICOM data without the preamble, as some archives send them: (0002,0000), (0008,0000), ... in little
#: endian order.
_BARE_STARTS = tuple(bytes((group, 0, element, 0)) for group, element in ((2, 0), (8, 0), (8, 1), (8, 5), (8, 8)))


#: What damaged files make the reader raise, beside its own errors: values that are no numbers, of a wrong type or too
#: large, elements or items that are missing, lengths beyond the end, unknown types of value, broken compression.
_RAISED_BY_DAMAGE = (
    OSError, EOFError, ValueError, OverflowError, TypeError, AttributeError, LookupError,
    NotImplementedError, RecursionError, struct.error, zlib.error,
)  # fmt: skip


def read_frames(path: Path) -> list[Frame]:
    """Images of a file; none if it is no DICOM image of MR.

    Raises
    ------
    DamagedFileError
        If it begins as DICOM but its header is broken.
    """
    import pydicom
    from pydicom.errors import BytesLengthException, InvalidDicomError

    if not _begins_as_dicom(path):
        return []
    try:
        # pydicom's warnings quote element values: patient data must not reach a log.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with path.open("rb") as file:
                dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(Tag), force=True)
                plain = _plain_pixels(file, dataset)
            return list(_frames(path, dataset, plain))
    except (*_RAISED_BY_DAMAGE, BytesLengthException, InvalidDicomError) as error:
        # The type alone: messages may quote element values.
        logging.getLogger(__name__).debug("A file cannot be read: %s", type(error).__name__)
        raise DamagedFileError from error


def _begins_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(132)
            return start[128:] == b"DICM" or start[:4] in _BARE_STARTS
    except OSError as error:
        raise DamagedFileError from error


#: Implicit and explicit little endian, and no statement at all.
_PLAIN_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", None)


def _plain_pixels(file: BinaryIO, dataset: Dataset) -> PlainPixels | None:
    """Where pixels lie in a file that was read up to them; ``None`` if they need a decoder."""
    bits, stored = dataset.get("BitsAllocated"), dataset.get("BitsStored")
    signed = bool(dataset.get("PixelRepresentation"))
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    start = file.read(12)  # tag; then a length of 4 bytes, or type, 2 empty bytes and the length
    is_integer = start[:4] == b"\xe0\x7f\x10\x00" and bits in (8, 16) and not (signed and stored != bits)
    if syntax not in _PLAIN_SYNTAXES or not is_integer:
        return None
    implicit = start[4:6] not in (b"OW", b"OB")
    return PlainPixels(file.tell() - (4 if implicit else 0), f"<{'i' if signed else 'u'}{bits // 8}")


def _frames(path: Path, dataset: Dataset, plain: PlainPixels | None) -> Iterator[Frame]:
    top = {int(element.tag): element.value for element in dataset if element.VR != "SQ"}
    if Tag.ROWS not in top:
        if dataset.file_meta.get("MediaStorageSOPClassUID") in _MR_IMAGE_STORAGE:
            raise DamagedFileError  # it ends before the size of its image
        return
    if str(top.get(Tag.MODALITY, "MR")) != "MR" or int(top.get(Tag.SAMPLES, 1)) != 1:
        return
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    shared = _flatten(dataset.get(Tag.SHARED_GROUPS))
    groups = dataset[Tag.FRAME_GROUPS].value if Tag.FRAME_GROUPS in dataset else None
    top.update(_first_item(dataset.get(Tag.REAL_WORLD_MAPPING)))
    for index in range(int(top.get(Tag.FRAME_COUNT) or 1)):
        own = _flatten_item(groups[index]) if groups else {}
        yield replace(
            _frame(path, index, ChainMap(own, shared, top), bool(groups)), transfer_syntax=syntax, plain=plain
        )


def _first_item(sequence: Any) -> dict[int, Any]:
    """Elements of a sequence's first item."""
    return _elements(sequence.value[0]) if sequence is not None and len(sequence.value) else {}


def _elements(item: Dataset) -> dict[int, Any]:
    return {int(element.tag): element.value for element in item}


def _flatten(sequence: Any) -> dict[int, Any]:
    return _flatten_item(sequence.value[0]) if sequence is not None and len(sequence.value) else {}


def _flatten_item(groups: Dataset) -> dict[int, Any]:
    """Elements of all functional groups of one item; standard ones win over private ones."""
    found: dict[int, Any] = {}
    for macro in groups:
        if macro.VR == "SQ":
            elements = _first_item(macro)
            if macro.tag.is_private:  # Philips repeats the component there, and not always the right one
                elements.pop(Tag.COMPLEX_COMPONENT, None)
            found = {**elements, **found}
    return found


def _frame(path: Path, index: int, values: Values, enhanced: bool) -> Frame:
    row_mm, column_mm = reals(values, Tag.PIXEL_SPACING, 2)
    return Frame(
        path=path,
        index=index,
        header=_header(values, enhanced),
        shape=(int(values[Tag.COLUMNS]), int(values[Tag.ROWS])),
        position=np.array(reals(values, Tag.POSITION, 3)),
        orientation=np.array(reals(values, Tag.ORIENTATION, 6)),
        spacing_mm=(row_mm, column_mm),
        thickness_mm=real(values, Tag.SLICE_SPACING) or real(values, Tag.SLICE_THICKNESS) or np.nan,
    )


def _header(values: Values, enhanced: bool) -> Header:
    facts = _sequence_facts(values)
    scaling = _scaling(values)
    vendor = vendor_of(text(values, Tag.MANUFACTURER))
    software = plain_version(text(values, Tag.SOFTWARE))
    echo_ms, repetition_ms = real(values, Tag.EFFECTIVE_ECHO_TIME, Tag.ECHO_TIME), real(values, Tag.REPETITION_TIME)
    frequency_mhz = real(values, Tag.TRANSMITTER_FREQUENCY, Tag.IMAGING_FREQUENCY)
    return Header(
        role=role_of(facts),
        component=_component(values, facts, scaling["rescale_type"]),
        facts=facts,
        echo_time_s=round(ms_to_s(echo_ms), 9) if echo_ms else None,
        repetition_time_s=ms_to_s(repetition_ms) if repetition_ms else None,
        echo_number=int(real(values, Tag.ECHO_NUMBERS) or _siemens_dimension(values, 1) or 0),
        field_strength_t=real(values, Tag.FIELD_STRENGTH) or None,
        imaging_frequency_hz=mhz_to_hz(frequency_mhz) if frequency_mhz else None,
        vendor=vendor,
        **scaling,
        unsigned_bits=None if real(values, Tag.IS_SIGNED) else whole(values, Tag.BITS_STORED),
        coil=_coil(values),
        export=_export(enhanced, vendor, software),
        software=software,
        series=text(values, Tag.SERIES_UID),
        study=text(values, Tag.STUDY_UID),
        frame_of_reference=text(values, Tag.FRAME_OF_REFERENCE),
        patient=hashlib.sha256(text(values, Tag.PATIENT_ID).encode()).hexdigest(),
    )


def _component(values: Values, facts: SequenceFacts, unit: str) -> Component:
    told = component_of(
        facts.image_type,
        text(values, Tag.COMPLEX_COMPONENT),
        text(values, Tag.PHILIPS_IMAGE_TYPE),
        whole(values, Tag.GE_IMAGE_TYPE),
    )
    return not_plain_phase(told, facts.name, unit)


def _scaling(values: Values) -> dict[str, Any]:
    """How stored values become physical ones: Philips' precise values, the real-world mapping, or the rescale."""
    slope, intercept = real(values, Tag.SLOPE), real(values, Tag.INTERCEPT)
    scale_slope = real(values, Tag.PHILIPS_SCALE_SLOPE)
    unit = text(values, Tag.RESCALE_TYPE).lower()
    world = real(values, Tag.REAL_WORLD_SLOPE)
    codes = values.get(Tag.UNIT_CODES)
    world_unit = text(_elements(codes[0]), Tag.CODE_VALUE).lower() if codes else ""
    if world and not scale_slope:
        offset = real(values, Tag.REAL_WORLD_INTERCEPT) or 0.0
        named = unit if world_unit in ("", "1", "no units") else world_unit
        return {"rescale": (world, offset), "rescale_type": named, "is_real_world": True, "precise_divisor": None}
    return {
        "rescale": None if slope is None else (slope, intercept or 0.0),
        "rescale_type": "hz" if world_unit == "hz" else unit,
        "is_real_world": False,
        "precise_divisor": slope * scale_slope if slope and scale_slope else None,
    }


#: Siemens' counters of an image, coil_echo_phase_set_…; the coil is X where coils are combined.
_CSA_DIMENSIONS = re.compile(rb"ICE_Dims\0.{0,160}?((?:X|\d+)(?:_\d+){5,})", re.DOTALL)


def _siemens_dimension(values: Values, place: int) -> int | None:
    """One of Siemens' counters, which newer systems have in an element of its own; older ones in a binary header."""
    found = text(values, Tag.SIEMENS_DIMENSIONS)
    block = values.get(Tag.SIEMENS_CSA)
    if not found and isinstance(block, bytes) and (match := _CSA_DIMENSIONS.search(block)):
        found = match[1].decode("ascii")
    counters = found.split("_")
    return int(counters[place]) if len(counters) > place and counters[place].isdigit() else None


def _coil(values: Values) -> str:
    """Name of the one coil of an uncombined image, or empty; the names of several coils in one are not kept."""
    counter = _siemens_dimension(values, 0)
    if counter is not None:
        return str(counter)
    used = [item for item in values.get(Tag.MULTI_COIL) or () if text(_elements(item), Tag.COIL_USED) != "NO"]
    if len(used) == 1:
        return text(_elements(used[0]), Tag.COIL_ELEMENT)
    name = text(values, Tag.SIEMENS_COIL) or text(values, Tag.UNITED_IMAGING_COIL)
    return name if re.fullmatch(r"[A-Za-z]+ ?\d+", name) else ""


def _export(enhanced: bool, vendor: Vendor, software: str) -> str:
    if enhanced:
        return "enhanced"
    return "interoperability" if vendor == Vendor.SIEMENS and re.search(r"\bXA\d", software) else "classic"


def _sequence_facts(values: Values) -> SequenceFacts:
    scanning = set(texts(values, Tag.SCANNING_SEQUENCE))
    # Enhanced headers spell out what classic ones abbreviate.
    scanning |= {"GRADIENT": {"GR"}, "SPIN": {"SE"}, "BOTH": {"EP"}}.get(text(values, Tag.ECHO_PULSE_SEQUENCE), set())
    scanning |= {"IR"} if text(values, Tag.INVERSION_RECOVERY) == "YES" else set()
    scanning |= {"EP"} if text(values, Tag.ECHO_PLANAR) == "YES" else set()
    inversion_ms = real(values, Tag.INVERSION_TIMES, Tag.INVERSION_TIME)
    return SequenceFacts(
        scanning=frozenset(scanning - {""}),
        image_type=(*texts(values, Tag.FRAME_TYPE)[2:], *texts(values, Tag.IMAGE_TYPE)[2:]),
        name=f"{text(values, Tag.SEQUENCE_NAME)} {text(values, Tag.PULSE_SEQUENCE_NAME)}".strip(),
        inversion_time_s=ms_to_s(inversion_ms) if inversion_ms else None,
        echo_train_length=int(real(values, Tag.RF_ECHO_TRAIN_LENGTH, Tag.ECHO_TRAIN_LENGTH) or 0),
    )
