"""Lesions as a DICOM Segmentation: one binary segment for each, with identities that last."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.errors import InputError

from .dicom_source import DicomSource, equipment, short_text, silent
from .lesion_study import LesionStudy

if TYPE_CHECKING:
    from highdicom.seg import Segmentation

#: After the scanner's own series in the archive's list.
SERIES_NUMBER = 9701

#: What a lesion is, and where (SNOMED CT).
CATEGORY = ("49755003", "SCT", "Morphologically Abnormal Structure")
LESION = ("52988006", "SCT", "Lesion")
BRAIN = ("12738006", "SCT", "Brain")

_ALGORITHM_FAMILY = ("123109", "DCM", "Manual Processing")


def segmentation(source: DicomSource, study: LesionStudy) -> Segmentation:
    """Make the DICOM object of all lesions, in the order of the reading; segment 1 is the first.

    Parameters
    ----------
    source : DicomSource
        Whose patient, study and frame of reference it gets.
    study : LesionStudy
        Label map and identities.

    Raises
    ------
    InputError
        If there is no lesion: an empty segmentation is no valid DICOM object.
    """
    from highdicom.seg import Segmentation

    if not study.reading.lesions:
        raise InputError("DICOM segmentation", "no lesion", "at least one", "Nothing needs to be sent to an archive.")
    numbers = np.zeros(int(study.lesions.data.max()) + 1, dtype=np.uint16)
    numbers[[study.label(lesion) for lesion in study.reading.lesions]] = np.arange(1, len(study.reading.lesions) + 1)
    packed = numbers[study.lesions.data]
    identities = [lesion.lesion_id for lesion in study.reading.lesions]
    digest = hashlib.sha256(packed.tobytes() + study.grid.affine.tobytes() + repr(identities).encode()).hexdigest()
    with silent():
        made = Segmentation(
            source.images,
            source.volume(packed, study.grid),
            segmentation_type="BINARY",
            segment_descriptions=_descriptions(source, study),
            series_instance_uid=source.uid("segmentation"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=source.uid("segmentation", digest),
            instance_number=1,
            **equipment(),
            content_label="LESIONS",
            content_description="Lesions, one segment for each",
            series_description="Lesions",
        )
    made.ContentCreatorName = ""  # type 2, which highdicom leaves out
    return made


def tracking_uid(source: DicomSource, lesion_id: str) -> str:
    """UID of a lesion: the same in every export of this patient's session."""
    return source.uid("lesion", lesion_id)


def concept(code: tuple[str, str, str]) -> Any:
    """A code as DICOM holds it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(*code)


def _descriptions(source: DicomSource, study: LesionStudy) -> list[Any]:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

    algorithm = AlgorithmIdentificationSequence(
        name=short_text(study.lesions.method) or "given", family=concept(_ALGORITHM_FAMILY), version=__version__
    )
    return [
        SegmentDescription(
            number,
            short_text(lesion.name) or lesion.lesion_id,
            concept(CATEGORY),
            concept(LESION),
            "SEMIAUTOMATIC",
            algorithm,
            tracking_uid=tracking_uid(source, lesion.lesion_id),
            tracking_id=lesion.lesion_id,
            anatomic_regions=[concept(BRAIN)],
        )
        for number, lesion in enumerate(study.reading.lesions, 1)
    ]
