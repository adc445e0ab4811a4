"""Compressed images, decoded by dcm2niix.

Only pixels are handed over, in files of the plainest geometry: scale and place stay with the headers, and no
patient's name reaches the temporary folder.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..artifacts import Array
from ..errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

    from .headers import Frame

#: A volume takes seconds; a decoder that hangs must not hang the user.
TIMEOUT_S = 600.0

_HINT = "Export the series without compression."

#: How the numbers are stored, the same in the file for the decoder.
_COPIED = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
           "PixelRepresentation")  # fmt: skip

_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"


def decode(frames: Sequence[Frame]) -> Array:
    """Stored values of compressed images, shape (image, row, column).

    Raises
    ------
    InputError
        If dcm2niix does not give exactly these images.
    MissingDependencyError
        If dcm2niix is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="chisep-") as folder:
        staged, converted = Path(folder, "in"), Path(folder, "out")
        staged.mkdir()
        converted.mkdir()
        for number, image in enumerate(_plain_images(frames)):
            image.save_as(staged / f"{number:06d}.dcm", enforce_file_format=True)
        _run(staged, converted)
        volumes = sorted(converted.glob("*.nii"))
        if len(volumes) != 1:
            raise InputError("compressed DICOM series", f"{len(volumes)} volumes after decoding", "one volume", _HINT)
        return _in_order(volumes[0], len(frames))


def _plain_images(frames: Sequence[Frame]) -> Iterator[FileDataset]:
    """One file for each image, in order, a millimetre apart."""
    from pydicom import dcmread
    from pydicom.encaps import encapsulate, get_frame
    from pydicom.uid import generate_uid

    series = generate_uid()
    number = 0
    for path, of_file in groupby(frames, key=lambda frame: frame.path):
        source = dcmread(path, specific_tags=[*_COPIED, "NumberOfFrames", "PixelData"], force=True)
        count = int(source.get("NumberOfFrames") or 1)
        for frame in of_file:
            image = _plain_image(source, number)
            image.SeriesInstanceUID = image.StudyInstanceUID = series
            image.PixelData = encapsulate([get_frame(source.PixelData, frame.index, number_of_frames=count)])
            image["PixelData"].is_undefined_length = True
            number += 1
            yield image


def _plain_image(source: Dataset, number: int) -> FileDataset:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = _MR_IMAGE, generate_uid()
    meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID, image.SOPInstanceUID = _MR_IMAGE, meta.MediaStorageSOPInstanceUID
    image.Modality, image.SeriesNumber, image.InstanceNumber = "MR", 1, number + 1
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [1, 1], 1
    for keyword in _COPIED:
        setattr(image, keyword, source[keyword].value)
    return image


def _run(staged: Path, converted: Path) -> None:
    options = ["-b", "n", "-z", "n", "-f", "volume", "-o", str(converted)]
    try:
        subprocess.run([_program(), *options, str(staged)], capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError("compressed DICOM series", f"no volume after {TIMEOUT_S:.0f} s of decoding", "one volume",
                         _HINT) from error  # fmt: skip
    except OSError as error:
        raise MissingDependencyError(f"dcm2niix could not be run: {error.strerror}.") from error


def _program() -> str:
    try:
        import dcm2niix
    except ImportError:
        found = shutil.which("dcm2niix")
        if found is None:
            raise MissingDependencyError("Compressed DICOM needs dcm2niix: pip install dcm2niix.") from None
        return found
    return str(dcm2niix.bin)


def _in_order(path: Path, count: int) -> Array:
    """Images as (image, row, column); the converter turns rows upside down."""
    import nibabel

    image = nibabel.load(path)
    if not np.allclose(np.diag(image.affine), (-1, 1, 1, 1)) or int(np.prod(image.shape[2:])) != count:
        raise InputError("compressed DICOM series", "other images after decoding", f"{count} images", _HINT)
    values = np.array(image.dataobj.get_unscaled())
    return values.reshape(*values.shape[:2], count)[:, ::-1].transpose(2, 1, 0)
