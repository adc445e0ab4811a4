"""Pixel values of DICOM volumes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from .headers import Frame
from .roles import Component

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from .series import DicomStack

#: What pydicom needs to turn bytes to numbers.
_PIXEL_TAGS = ["SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
               "BitsStored", "HighBit", "PixelRepresentation", "PixelData", "FloatPixelData"]  # fmt: skip


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
    if any(frame.compressed for frame in stack.frames):
        from .decoder import decode

        rescaled = decode(stack)
    else:
        rescaled = _read_uncompressed(stack.frames)
    if stack.header.component != Component.PHASE:
        rescaled /= np.array([frame.header.precise_divisor or 1.0 for frame in stack.frames], dtype=np.float32)
    return rescaled


def _read_uncompressed(frames: tuple[Frame, ...]) -> Array:
    columns, rows = frames[0].shape
    slices = np.empty((len(frames), rows, columns), dtype=np.float32)
    file, images = Path(), np.empty(0)
    for k, frame in enumerate(frames):
        if frame.path != file:
            file, images = frame.path, _read_images(frame.path)
        slope, intercept = frame.header.rescale or (1.0, 0.0)
        slices[k] = images[frame.index] * slope + intercept
    return slices.transpose(2, 1, 0)


def _read_images(path: Path) -> Array:
    """Stored values of a file, float64, shape (frame, row, column)."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, specific_tags=_PIXEL_TAGS, force=True)
            if "TransferSyntaxUID" not in dataset.file_meta:  # a data set without preamble: the standard's default
                dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
            _check_whole(dataset)
            images = dataset.pixel_array
        except InputError:
            raise
        except Exception as error:
            raise _damaged("an image that cannot be decoded") from error
    return np.asarray(images, dtype=np.float64).reshape(-1, dataset.Rows, dataset.Columns)


def _check_whole(dataset: Dataset) -> None:
    """Refuse images whose file ends before its pixels do."""
    data = dataset.get("PixelData", dataset.get("FloatPixelData", b""))
    frames = int(dataset.get("NumberOfFrames") or 1)
    needed = frames * dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
    if len(data) < needed:
        raise _damaged(f"a truncated image with {len(data)} of {needed} bytes")


def _damaged(got: str) -> InputError:
    return InputError("DICOM file", got, "whole files", "Copy or export the series again.")
