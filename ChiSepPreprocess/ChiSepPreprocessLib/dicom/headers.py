"""DICOM headers: one :class:`Frame` for each image, classic or enhanced, without pixels or names."""

from __future__ import annotations

import hashlib
import warnings
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..quantities import mhz_to_hz, ms_to_s
from .roles import SequenceFacts, component_of, role_of, vendor_of
from .stack import Header

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Values = Mapping[int, Any]


class Tag(IntEnum):
    """The header elements that are read, and no others: no name, no birth date."""

    IMAGE_TYPE = 0x00080008
    COMPLEX_COMPONENT = 0x00089208
    FRAME_TYPE = 0x00089007
    MANUFACTURER = 0x00080070
    MODALITY = 0x00080060
    PATIENT_ID = 0x00100020
    SCANNING_SEQUENCE = 0x00180020
    SEQUENCE_NAME = 0x00180024
    PULSE_SEQUENCE_NAME = 0x00189005
    ECHO_PULSE_SEQUENCE = 0x00189008
    INVERSION_RECOVERY = 0x00189009
    ECHO_PLANAR = 0x00189018
    REPETITION_TIME = 0x00180080
    ECHO_TIME = 0x00180081
    INVERSION_TIME = 0x00180082
    EFFECTIVE_ECHO_TIME = 0x00189082
    INVERSION_TIMES = 0x00189079
    IMAGING_FREQUENCY = 0x00180084
    TRANSMITTER_FREQUENCY = 0x00189098
    ECHO_NUMBERS = 0x00180086
    FIELD_STRENGTH = 0x00180087
    ECHO_TRAIN_LENGTH = 0x00180091
    RF_ECHO_TRAIN_LENGTH = 0x00189240
    SLICE_THICKNESS = 0x00180050
    SLICE_SPACING = 0x00180088
    STUDY_UID = 0x0020000D
    SERIES_UID = 0x0020000E
    FRAME_OF_REFERENCE = 0x00200052
    POSITION = 0x00200032
    ORIENTATION = 0x00200037
    FRAME_COUNT = 0x00280008
    ROWS = 0x00280010
    COLUMNS = 0x00280011
    PIXEL_SPACING = 0x00280030
    SAMPLES = 0x00280002
    INTERCEPT = 0x00281052
    SLOPE = 0x00281053
    RESCALE_TYPE = 0x00281054
    GE_IMAGE_TYPE = 0x0043102F
    PHILIPS_IMAGE_TYPE = 0x20051011
    PHILIPS_SCALE_SLOPE = 0x2005100E
    SHARED_GROUPS = 0x52009229
    FRAME_GROUPS = 0x52009230


#: Classic and enhanced MR images.
_MR_IMAGE_STORAGE = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1")


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
    compressed : bool
        Whether the transfer syntax needs a decoder.
    """

    path: Path
    index: int
    header: Header
    shape: tuple[int, int]
    position: np.ndarray
    orientation: np.ndarray
    spacing_mm: tuple[float, float]
    thickness_mm: float
    compressed: bool


class DamagedFileError(Exception):
    """A file begins as DICOM but cannot be read on."""


#: First tags of DICOM data without the preamble, as some archives send them: (0002,0000), (0008,0000), ... in little
#: endian order.
_BARE_STARTS = tuple(bytes((group, 0, element, 0)) for group, element in ((2, 0), (8, 0), (8, 1), (8, 5), (8, 8)))


def read_frames(path: Path) -> list[Frame]:
    """Images of a file; none if it is no DICOM image of MR.

    Raises
    ------
    DamagedFileError
        If it begins as DICOM but its header is broken.
    """
    import pydicom

    if not _begins_as_dicom(path):
        return []
    try:
        # pydicom's warnings quote element values: patient data must not reach a log.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(Tag), force=True)
            return list(_frames(path, dataset))
    except Exception as error:
        raise DamagedFileError from error


def _begins_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(132)
            return start[128:] == b"DICM" or start[:4] in _BARE_STARTS
    except OSError as error:
        raise DamagedFileError from error


def _frames(path: Path, dataset: Dataset) -> Iterator[Frame]:
    top = {int(element.tag): element.value for element in dataset if element.VR != "SQ"}
    if Tag.ROWS not in top:
        if dataset.file_meta.get("MediaStorageSOPClassUID") in _MR_IMAGE_STORAGE:
            raise DamagedFileError  # it ends before the size of its image
        return
    if str(top.get(Tag.MODALITY, "MR")) != "MR" or int(top.get(Tag.SAMPLES, 1)) != 1:
        return
    syntax = dataset.file_meta.get("TransferSyntaxUID")  # none without a preamble, and then nothing is compressed
    compressed = bool(syntax and syntax.is_encapsulated)
    shared = _flatten(dataset.get(Tag.SHARED_GROUPS))
    groups = dataset[Tag.FRAME_GROUPS].value if Tag.FRAME_GROUPS in dataset else None
    for index in range(int(top.get(Tag.FRAME_COUNT) or 1)):
        own = _flatten_item(groups[index]) if groups else {}
        yield _frame(path, index, ChainMap(own, shared, top), compressed)


def _flatten(sequence: Any) -> dict[int, Any]:
    return _flatten_item(sequence.value[0]) if sequence is not None and len(sequence.value) else {}


def _flatten_item(groups: Dataset) -> dict[int, Any]:
    """Elements of all functional groups of one item; standard ones win over private ones."""
    found: dict[int, Any] = {}
    for macro in groups:
        if macro.VR == "SQ" and len(macro.value):
            for element in macro.value[0]:
                found.setdefault(int(element.tag), element.value)
    return found


def _frame(path: Path, index: int, values: Values, compressed: bool) -> Frame:
    row_mm, column_mm = _reals(values, Tag.PIXEL_SPACING, 2)
    return Frame(
        path=path,
        index=index,
        header=_header(values),
        shape=(int(values[Tag.COLUMNS]), int(values[Tag.ROWS])),
        position=np.array(_reals(values, Tag.POSITION, 3)),
        orientation=np.array(_reals(values, Tag.ORIENTATION, 6)),
        spacing_mm=(row_mm, column_mm),
        thickness_mm=_real(values, Tag.SLICE_SPACING) or _real(values, Tag.SLICE_THICKNESS) or np.nan,
        compressed=compressed,
    )


def _header(values: Values) -> Header:
    facts = _sequence_facts(values)
    component = component_of(
        facts.image_type,
        _text(values, Tag.COMPLEX_COMPONENT),
        _text(values, Tag.PHILIPS_IMAGE_TYPE),
        _ge_number(values),
    )
    slope, intercept = _real(values, Tag.SLOPE), _real(values, Tag.INTERCEPT)
    scale_slope = _real(values, Tag.PHILIPS_SCALE_SLOPE)
    echo_ms, repetition_ms = _real(values, Tag.EFFECTIVE_ECHO_TIME, Tag.ECHO_TIME), _real(values, Tag.REPETITION_TIME)
    frequency_mhz = _real(values, Tag.TRANSMITTER_FREQUENCY, Tag.IMAGING_FREQUENCY)
    return Header(
        role=role_of(facts),
        component=component,
        facts=facts,
        echo_time_s=round(ms_to_s(echo_ms), 9) if echo_ms else None,
        repetition_time_s=ms_to_s(repetition_ms) if repetition_ms else None,
        echo_number=int(_real(values, Tag.ECHO_NUMBERS) or 0),
        field_strength_t=_real(values, Tag.FIELD_STRENGTH) or None,
        imaging_frequency_hz=mhz_to_hz(frequency_mhz) if frequency_mhz else None,
        vendor=vendor_of(_text(values, Tag.MANUFACTURER)),
        rescale_type=_text(values, Tag.RESCALE_TYPE).lower(),
        rescale=None if slope is None else (slope, intercept or 0.0),
        precise_divisor=slope * scale_slope if slope and scale_slope else None,
        series=_text(values, Tag.SERIES_UID),
        study=_text(values, Tag.STUDY_UID),
        frame_of_reference=_text(values, Tag.FRAME_OF_REFERENCE),
        patient=hashlib.sha256(_text(values, Tag.PATIENT_ID).encode()).hexdigest(),
    )


def _sequence_facts(values: Values) -> SequenceFacts:
    scanning = set(_texts(values, Tag.SCANNING_SEQUENCE))
    # Enhanced headers spell out what classic ones abbreviate.
    scanning |= {"GRADIENT": {"GR"}, "SPIN": {"SE"}, "BOTH": {"EP"}}.get(_text(values, Tag.ECHO_PULSE_SEQUENCE), set())
    scanning |= {"IR"} if _text(values, Tag.INVERSION_RECOVERY) == "YES" else set()
    scanning |= {"EP"} if _text(values, Tag.ECHO_PLANAR) == "YES" else set()
    inversion_ms = _real(values, Tag.INVERSION_TIMES, Tag.INVERSION_TIME)
    return SequenceFacts(
        scanning=frozenset(scanning - {""}),
        image_type=(*_texts(values, Tag.IMAGE_TYPE)[2:], *_texts(values, Tag.FRAME_TYPE)[2:]),
        name=f"{_text(values, Tag.SEQUENCE_NAME)} {_text(values, Tag.PULSE_SEQUENCE_NAME)}".strip(),
        inversion_time_s=ms_to_s(inversion_ms) if inversion_ms else None,
        echo_train_length=int(_real(values, Tag.RF_ECHO_TRAIN_LENGTH, Tag.ECHO_TRAIN_LENGTH) or 0),
    )


def _texts(values: Values, tag: int) -> tuple[str, ...]:
    value = values.get(tag)
    if value is None:
        return ()
    several = [value] if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else list(value)
    return tuple((one.decode("latin-1") if isinstance(one, bytes) else str(one)).strip(" \0") for one in several)


def _text(values: Values, tag: int) -> str:
    return next(iter(_texts(values, tag)), "")


def _real(values: Values, *tags: int) -> float | None:
    """First value of the first of the tags that has one."""
    for tag in tags:
        value = values.get(tag)
        if isinstance(value, bytes) and len(value) >= 4:  # private float in an implicit transfer syntax
            return float(np.frombuffer(value[:4], "<f4")[0])
        first = _text(values, tag)
        if first:
            return float(first)
    return None


def _reals(values: Values, tag: int, count: int) -> tuple[float, ...]:
    texts = _texts(values, tag)
    return tuple(float(text) for text in texts) if len(texts) == count else (np.nan,) * count


def _ge_number(values: Values) -> int | None:
    """GE's image type: a short, as raw bytes in an implicit transfer syntax."""
    value = values.get(Tag.GE_IMAGE_TYPE)
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little")
    text = _text(values, Tag.GE_IMAGE_TYPE)
    return int(text) if text.lstrip("-").isdigit() else None
