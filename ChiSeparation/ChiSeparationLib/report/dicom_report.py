"""Measures and grades as DICOM Structured Reports (TID 1500), one for each reader's reading of one pipeline's maps.

Each lesion is a measurement group that refers to its segment. A measure's concept is the map's quantity, and how it was
summed up is its derivation. Comments stay out: nobody checks whom they name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.artifacts import ARTIFACTS

from ..lesions.grades import Grade
from ..lesions.measures import GEOMETRY_MEASURES, MAP_MEASURES, SUSCEPTIBILITY_CODE, MeasureSpec
from ..lesions.reading import Lesion
from .dicom_segmentation import BRAIN, LESION, concept, tracking_uid
from .dicom_source import MANUFACTURER, MODEL, DicomSource, equipment, private_code, short_text, silent, stable_uid
from .lesion_study import LesionStudy, Source

if TYPE_CHECKING:
    from highdicom.seg import Segmentation
    from highdicom.sr import Comprehensive3DSR

#: After the scanner's own series in the archive's list.
SERIES_NUMBER = 9721

_PROCEDURE = ("816077007", "SCT", "Magnetic resonance imaging of brain")
_MEASUREMENT_REPORT = ("126000", "DCM", "Imaging Measurement Report")
_ENGLISH = ("en", "RFC5646", "English")

#: Measures that are reported for each map; the table of grades has all.
_REPORTED = ("mean_ppb", "sd_ppb", "median_ppb", "p10_ppb", "p90_ppb", "rim_mean_ppb", "nawm_mean_ppb", "nawm_sd_ppb",
             "contrast_ppb", "contrast_sd")  # fmt: skip


def structured_report(
    source: DicomSource, study: LesionStudy, segments: Segmentation, read: Source, *, name_reader: bool = False
) -> Comprehensive3DSR:
    """Make the report of one pipeline's maps, with the grades of one reader.

    Parameters
    ----------
    source : DicomSource
        Whose patient and study it gets.
    study : LesionStudy
        Measures and grades.
    segments : Segmentation
        The lesions, by :func:`.dicom_segmentation.segmentation` of the same study.
    read : Source
        Pipeline and reader; without grades of this reader there are measures alone.
    name_reader : bool
        Enter the reader as the observer; else the program alone is named.
    """
    from highdicom.sr import Comprehensive3DSR, LanguageOfContentItemAndDescendants, MeasurementReport

    report = MeasurementReport(
        observation_context=_context(read, name_reader),
        procedure_reported=concept(_PROCEDURE),
        title=concept(_MEASUREMENT_REPORT),
        imaging_measurements=[_group(source, study, segments, number, lesion, read)
                              for number, lesion in enumerate(study.reading.lesions, 1)],
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(concept(_ENGLISH)),
    )  # fmt: skip
    digest = hashlib.sha256(repr(_said(study, read)).encode("utf-8", "replace")).hexdigest()
    with silent():
        return Comprehensive3DSR(
            evidence=[*source.images, segments],
            content=report[0],
            series_instance_uid=source.uid("report"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=source.uid("report", *read, segments.SOPInstanceUID, digest),
            instance_number=1 + (study.sources.index(read) if read in study.sources else 0),
            **{key: value for key, value in equipment().items() if key in ("manufacturer", "specific_character_set")},
            is_complete=True,
            series_description=short_text(f"Lesions, {read.pipeline}"),
        )


def _said(study: LesionStudy, read: Source) -> list[Any]:
    """All that the report depends on, beside the segments."""
    judged = sorted((one.question, str(one)) for one in study.reading if Source(*one.question[2:]) == read)
    rows = [study.row(lesion.lesion_id, read.pipeline) for lesion in study.reading.lesions]
    return [judged, [[dict(one.values) for one in row.measures.values()] for row in rows if row]]


def _context(read: Source, name_reader: bool) -> Any:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        ObservationContext,
        ObserverContext,
        PersonObserverIdentifyingAttributes,
    )

    device = DeviceObserverIdentifyingAttributes(
        uid=stable_uid("device", __version__), name=f"{MODEL} {__version__}", manufacturer_name=MANUFACTURER,
        model_name=MODEL,
    )  # fmt: skip
    person = None
    if name_reader and read.reader:
        named = PersonObserverIdentifyingAttributes(name=_person_name(read.reader))
        person = ObserverContext(concept(("121006", "DCM", "Person")), named)
    return ObservationContext(
        observer_person_context=person,
        observer_device_context=ObserverContext(concept(("121007", "DCM", "Device")), device),
    )


def _person_name(reader: str) -> str:
    """The name as the family's part of a DICOM name, without the signs that part names."""
    return short_text(reader.replace("^", " ").replace("=", " "))[:63] + "^"


def _group(
    source: DicomSource, study: LesionStudy, segments: Segmentation, number: int, lesion: Lesion, read: Source
) -> Any:
    from highdicom.sr import (
        FindingSite,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(tracking_uid(source, lesion.lesion_id), lesion.lesion_id),
        referenced_segment=ReferencedSegment(
            segments.SOPClassUID, segments.SOPInstanceUID, number,
            source_series=SourceSeriesForSegmentation(source.images[0].SeriesInstanceUID),
        ),
        finding_type=concept(LESION),
        finding_sites=[FindingSite(concept(BRAIN))],
        method=private_code(read.pipeline, read.pipeline),
        measurements=list(_measurements(study, lesion, read)),
        qualitative_evaluations=list(_grades(study, lesion, read)) or None,
    )  # fmt: skip


def _measurements(study: LesionStudy, lesion: Lesion, read: Source) -> Iterator[Any]:
    from highdicom.sr import Measurement

    volume = GEOMETRY_MEASURES["volume_mm3"]
    row = study.row(lesion.lesion_id, read.pipeline)
    known = lesion.volume_mm3 if row is None else row.geometry["volume_mm3"]
    yield Measurement(_code(volume), float(known or 0.0), concept(volume.unit_code))
    for map_name, measured in row.measures.items() if row else ():
        for spec in (MAP_MEASURES[key] for key in _REPORTED if key in MAP_MEASURES):
            if (value := measured.values.get(spec.key)) is not None:
                yield Measurement(_quantity(map_name), float(value), concept(spec.unit_code), derivation=_code(spec))


def _code(spec: MeasureSpec) -> Any:
    value, scheme, meaning = spec.code
    return concept((value, scheme, meaning[:64]))


def _quantity(map_name: str) -> Any:
    """What the map shows; of their sum there is a public concept."""
    return (
        concept(SUSCEPTIBILITY_CODE) if map_name == "chi_total" else private_code(map_name, ARTIFACTS[map_name].meaning)
    )


def _grades(study: LesionStudy, lesion: Lesion, read: Source) -> Iterator[Any]:
    from highdicom.sr import QualitativeEvaluation

    for map_name in ("chi_para", "chi_dia"):
        said = study.judgement(lesion.lesion_id, map_name, read)
        if said is None:
            continue
        if said.grade is not None:
            yield QualitativeEvaluation(
                private_code(f"{map_name}_grade", f"Grade on {map_name}"), grade_code(said.grade)
            )
        if said.confidence is not None:
            name = private_code(f"{map_name}_sure", f"Reader's confidence on {map_name}, from 1 to 3")
            yield QualitativeEvaluation(name, private_code(f"confidence-{said.confidence}", f"{said.confidence} of 3"))


def grade_code(grade: Grade) -> Any:
    """Our own code of a grade."""
    return private_code(grade.code, grade.value)
