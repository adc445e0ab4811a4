"""The DICOM header elements that are read, and their values as Python has them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import numpy as np

Values = Mapping[int, Any]


class Tag(IntEnum):
    """The header elements that are read, and no others: no name, no birth date."""

    IMAGE_TYPE = 0x00080008
    COMPLEX_COMPONENT = 0x00089208
    FRAME_TYPE = 0x00089007
    MANUFACTURER = 0x00080070
    MODALITY = 0x00080060
    UNIT_CODES = 0x004008EA
    CODE_VALUE = 0x00080100
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
    SOFTWARE = 0x00181020
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
    BITS_ALLOCATED = 0x00280100
    BITS_STORED = 0x00280101
    IS_SIGNED = 0x00280103
    INTERCEPT = 0x00281052
    SLOPE = 0x00281053
    RESCALE_TYPE = 0x00281054
    REAL_WORLD_MAPPING = 0x00409096
    REAL_WORLD_INTERCEPT = 0x00409224
    REAL_WORLD_SLOPE = 0x00409225
    MULTI_COIL = 0x00189045
    COIL_ELEMENT = 0x00189047
    COIL_USED = 0x00189048
    SIEMENS_DIMENSIONS = 0x00211106
    SIEMENS_COIL = 0x0051100F
    UNITED_IMAGING_COIL = 0x00651003
    GE_IMAGE_TYPE = 0x0043102F
    PHILIPS_IMAGE_TYPE = 0x20051011
    PHILIPS_SCALE_SLOPE = 0x2005100E
    SIEMENS_CSA = 0x00291010
    SHARED_GROUPS = 0x52009229
    FRAME_GROUPS = 0x52009230


def texts(values: Values, tag: int) -> tuple[str, ...]:
    """Values of an element as texts; none if it is absent."""
    value = values.get(tag)
    if value is None:
        return ()
    several = [value] if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else list(value)
    return tuple((one.decode("latin-1") if isinstance(one, bytes) else str(one)).strip(" \0") for one in several)


def text(values: Values, tag: int) -> str:
    """First value of an element as text; empty if it is absent."""
    return next(iter(texts(values, tag)), "")


def real(values: Values, *tags: int) -> float | None:
    """First value of the first of the tags that has one."""
    for tag in tags:
        value = values.get(tag)
        if isinstance(value, bytes) and len(value) >= 4:  # private float in an implicit transfer syntax
            return float(np.frombuffer(value[:4], "<f4")[0])
        first = text(values, tag)
        if first:
            return float(first)
    return None


def reals(values: Values, tag: int, count: int) -> tuple[float, ...]:
    """Values of an element of ``count`` numbers; NaN if it has not as many."""
    found = texts(values, tag)
    return tuple(float(one) for one in found) if len(found) == count else (np.nan,) * count


def whole(values: Values, tag: int) -> int | None:
    """Value of an element that is a short, as raw bytes in an implicit transfer syntax."""
    value = values.get(tag)
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little")
    found = text(values, tag)
    return int(found) if found.lstrip("-").isdigit() else None
