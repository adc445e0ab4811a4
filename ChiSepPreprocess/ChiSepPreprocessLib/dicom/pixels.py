"""Pixel values of DICOM volumes, one image at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from .headers import Frame
from .roles import Component

if TYPE_CHECKING:
    from .series import DicomStack

#: Implicit, explicit, deflated, big endian and run lengths: exact without another program, to which the rest is left.
_DECODED_HERE = frozenset({"", *(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99", ".2", ".5"))})

#: What pydicom needs to turn bytes to numbers.
_PIXEL_TAGS: list[str | int] = [
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PixelData", "FloatPixelData",
]  # fmt: skip


def read_frames_values(stack: DicomStack) -> Array:
    """Values of a volume, float32, shape (I, J, K), scaled by each image's own header.

    Magnitude, real and imaginary parts of Philips become (PV·RS + RI)/(RS·SS), proportional to the signal
    where the display values are not (Chenevert et al., Transl Oncol 2014, eq. 4). Phase keeps the unit that
    its header names.

    Raises
    ------
    InputError
        If a file is truncated or cannot be decoded.
    """
    values = _read_images(stack.frames)
    if stack.header.component != Component.PHASE:
        values /= np.array([frame.header.precise_divisor or 1.0 for frame in stack.frames], dtype=np.float32)
    return values


def _read_images(frames: tuple[Frame, ...]) -> Array:
    columns, rows = frames[0].shape
    slices = np.empty((len(frames), rows, columns), dtype=np.float32)
    # In the order of the files, so that each is opened once and read forwards.
    places = sorted(range(len(frames)), key=lambda k: (str(frames[k].path), frames[k].index))
    for k, image in zip(places, _stored([frames[k] for k in places]), strict=True):
        slope, intercept = frames[k].header.rescale or (1.0, 0.0)
        slices[k] = image * slope + intercept
    return slices.transpose(2, 1, 0)


def _stored(frames: Sequence[Frame]) -> Iterator[Array]:
    """Stored values of images, each (row, column); those that dcm2niix decodes are unpacked together."""
    if any(frame.plain is None and frame.transfer_syntax not in _DECODED_HERE for frame in frames):
        from .decoder import decode

        yield from decode(frames)
        return
    for path, of_file in groupby(frames, key=lambda frame: frame.path):
        images = list(of_file)
        yield from _numbers(path, images) if images[0].plain else _unpacked(path, [one.index for one in images])


def _numbers(path: Path, frames: Sequence[Frame]) -> Iterator[Array]:
    """Images that stand in the file as numbers."""
    plain, (columns, rows) = frames[0].plain, frames[0].shape
    assert plain is not None
    size = rows * columns * np.dtype(plain.dtype).itemsize
    with path.open("rb") as file:
        for frame in frames:
            file.seek(plain.offset + frame.index * size)
            content = file.read(size)
            if len(content) < size:
                raise _damaged(f"a truncated image with {len(content)} of {size} bytes")
            yield np.frombuffer(content, plain.dtype).reshape(rows, columns)


def _unpacked(path: Path, indices: list[int]) -> Iterator[Array]:
    """Images that pydicom decodes: run lengths, big endian, deflated or real numbers."""
    from pydicom import dcmread
    from pydicom.pixels import iter_pixels

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield from iter_pixels(dcmread(path, specific_tags=_PIXEL_TAGS), indices=indices)
        except Exception as error:
            raise _damaged("a truncated image, or one that cannot be decoded") from error


def _damaged(got: str) -> InputError:
    return InputError("DICOM file", got, "whole files", "Copy or export the series again.")
