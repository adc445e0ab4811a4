"""The DICOM images that maps were made of: what segmentations, reports and parametric maps refer to.

Objects for an archive carry the patient and study of their source, or nobody could file them. So they are written only
where the user hands the source over.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.artifacts import Array, Grid, MapSet
from ChiSepPreprocessLib.dicom.groups import COMBINED, Group
from ChiSepPreprocessLib.dicom.roles import Role
from ChiSepPreprocessLib.dicom.series import DicomStack
from ChiSepPreprocessLib.errors import InputError, MissingDependencyError
from ChiSepPreprocessLib.files import writing
from ChiSepPreprocessLib.loading import surveyed
from ChiSepPreprocessLib.registration.rigid import resample

from ..lesions.measures import PRIVATE_SCHEME

if TYPE_CHECKING:
    from highdicom import Volume
    from pydicom.dataset import Dataset

#: How the program calls itself.
MANUFACTURER, MODEL, SERIAL = "ChiSeparation", "ChiSeparation", "none"

#: Share of the brain that the source must cover, and its correlation with the magnitude of the maps, both within it.
#: The scan itself has 1, somewhat less where the maps' magnitude was denoised.
SMALLEST_COVERAGE, SMALLEST_CORRELATION = 0.9, 0.8

#: Type 2 of the patient's and the study's modules: they must be there, but may be empty.
_MAY_BE_EMPTY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                 "AccessionNumber", "ReferringPhysicianName")  # fmt: skip

_OF_THIS_SESSION = "Give the DICOM files of this patient's session."
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "chiseparation/dicom")
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class DicomSource:
    """Headers of one volume of the source, without pixels.

    Parameters
    ----------
    images : tuple of Dataset
        One for each slice, or one that holds all.
    """

    images: tuple[Dataset, ...]

    @property
    def frame_of_reference(self) -> str:
        """UID of the scanner's space in which it lies."""
        return str(self.images[0].FrameOfReferenceUID)

    def uid(self, *parts: object) -> str:
        """UID that is always the same for the same source and parts."""
        return stable_uid(self.images[0].StudyInstanceUID, *parts)

    def volume(self, data: Array, grid: Grid) -> Volume:
        """An array (I, J, K) in the patient's space: slices along k, rows along j, columns along i."""
        import highdicom

        affine = (_RAS_TO_LPS @ grid.affine)[:, [2, 1, 0, 3]]
        return highdicom.Volume(np.ascontiguousarray(data.transpose(2, 1, 0)), affine, "PATIENT",
                                frame_of_reference_uid=self.frame_of_reference)  # fmt: skip


@contextmanager
def silent() -> Iterator[None]:
    """Silence warnings of libraries, which quote values such as the patient's name: those must not reach a log."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def stable_uid(*parts: object) -> str:
    """UID under 2.25 that depends on the parts alone."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(str(part) for part in parts)).int}"


def equipment() -> dict[str, Any]:
    """What every object says of the program that wrote it."""
    return {"specific_character_set": "ISO_IR 192", "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL, "software_versions": __version__,
            "device_serial_number": SERIAL}  # fmt: skip


def private_code(value: str, meaning: str) -> Any:
    """A code of our own scheme."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value, PRIVATE_SCHEME, short_text(meaning))


def short_text(text: str) -> str:
    """Text as a short DICOM value holds it: 64 signs, none that ends a line or parts values."""
    return "".join(" " if ord(letter) < 32 or letter == "\\" else letter for letter in text)[:64].strip()


def save(path: Path, dataset: Dataset) -> None:
    """Write a DICOM file whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with writing(path) as temporary, silent():
        dataset.save_as(temporary, enforce_file_format=True)


def read_source(paths: Sequence[Path], maps: MapSet) -> DicomSource:
    """Find the gradient echo magnitude that maps were made of.

    Parameters
    ----------
    paths : sequence of Path
        Files, folders or archives.
    maps : MapSet
        With ``brain_mask`` or ``field_mask``; with ``magnitude`` it is checked that the source is of this scan.

    Raises
    ------
    InputError
        If there is no DICOM magnitude, or it is of another patient or place.
    MissingDependencyError
        If highdicom, which writes the objects, is not installed.
    """
    if find_spec("highdicom") is None:
        raise MissingDependencyError("Writing DICOM needs a library: pip install highdicom")
    with surveyed(paths) as survey:
        groups = [*survey.used, *(one for one in survey.scans if one not in survey.used)]
        found = [(group, stack) for group in groups for stack in _magnitude(group)]
        if not found:
            raise InputError("DICOM reference", "no DICOM series of gradient echo magnitude",
                             "the DICOM files that the maps were made of",
                             "Without them, lesions are written as .seg.nrrd and NIfTI.")  # fmt: skip
        problems = []
        for group, stack in found:
            try:
                _check_same_scan(group, stack, maps)
            except InputError as error:
                problems.append(error)
                continue
            return DicomSource(tuple(_headers(stack)))
        raise problems[0]


def _magnitude(group: Group) -> list[DicomStack]:
    """First echo of a gradient echo scan."""
    first = group.echoes[0] if group.role in (Role.GRE, Role.UNKNOWN) else None
    return [first] if isinstance(first, DicomStack) else []


def _check_same_scan(group: Group, first: DicomStack, maps: MapSet) -> None:
    inside = maps.array("brain_mask" if "brain_mask" in maps else "field_mask")
    own = first.grid()
    covered = resample(np.ones(own.shape, dtype=np.float32), own, maps.grid, nearest=True)[inside] > 0
    if covered.size and covered.mean() < SMALLEST_COVERAGE:
        raise InputError("DICOM reference", f"a scan that covers {covered.mean():.0%} of the maps' brain",
                         "the scan that the maps were made of", _OF_THIS_SESSION)  # fmt: skip
    if "magnitude" not in maps or group.coils != (COMBINED,):
        return
    likeness = _correlation(_root_of_squares(group, own, maps.grid)[inside], maps.array("magnitude")[inside])
    if likeness < SMALLEST_CORRELATION:
        raise InputError("DICOM reference", f"a scan unlike the maps' magnitude (correlation {likeness:.2f})",
                         "the scan that the maps were made of", _OF_THIS_SESSION)  # fmt: skip


def _root_of_squares(group: Group, own: Grid, target: Grid) -> Array:
    squares = sum(volume.astype(np.float32) ** 2 for volume in group.echoes[0].read_all(group.echoes))
    magnitude = np.sqrt(np.asarray(squares))
    return magnitude if own.matches(target) else resample(magnitude, own, target)


def _correlation(first: Array, second: Array) -> float:
    a, b = (one.astype(np.float64) - one.mean(dtype=np.float64) for one in (first, second))
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else 0.0


def _headers(stack: DicomStack) -> Iterator[Dataset]:
    import pydicom

    for path in dict.fromkeys(frame.path for frame in stack.frames):
        with silent():
            image = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        if not image.get("StudyInstanceUID") or not image.get("FrameOfReferenceUID"):
            raise InputError("DICOM reference", "images without a study or a frame of reference", "both",
                             "Export the original images again.")  # fmt: skip
        for keyword in _MAY_BE_EMPTY:
            if keyword not in image:
                setattr(image, keyword, "")
        yield image
