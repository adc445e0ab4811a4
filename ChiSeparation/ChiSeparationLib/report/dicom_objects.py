"""All DICOM objects of a patient's lesions, into the source's study: segmentation, reports, parametric maps."""

from __future__ import annotations

from pathlib import Path

from .dicom_parametric import SERIES_NUMBERS, parametric_map
from .dicom_report import structured_report
from .dicom_segmentation import segmentation
from .dicom_source import DicomSource, save
from .lesion_study import LesionStudy, Source


def write_dicom(folder: Path, source: DicomSource, study: LesionStudy, *, name_reader: bool = False) -> list[str]:
    """Write the objects; they carry the patient's and the study's data of the source.

    Parameters
    ----------
    folder : Path
        Gets ``segmentation.dcm``, ``report-N.dcm`` for each reading and ``pipeline-N-MAP.dcm`` for each χ map.
    source : DicomSource
        Of the same scan.
    study : LesionStudy
        What is written.
    name_reader : bool
        Enter readers as observers.

    Returns
    -------
    list of str
        What was not written, and why.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    notes = []
    if study.reading.lesions:
        segments = segmentation(source, study)
        save(folder / "segmentation.dcm", segments)
        for number, read in enumerate(_reported(study), 1):
            report = structured_report(source, study, segments, read, name_reader=name_reader)
            save(folder / f"report-{number}.dcm", report)
    else:
        notes.append("There is no lesion, so there is no DICOM segmentation or report.")
    for number, (pipeline, maps) in enumerate(study.maps.items(), 1):
        for name in SERIES_NUMBERS:
            if name in maps:
                save(folder / f"pipeline-{number}-{name}.dcm", parametric_map(source, maps[name], pipeline))
    return notes


def _reported(study: LesionStudy) -> tuple[Source, ...]:
    """Every reading; of pipelines that nobody read, the measures."""
    unread = (name for name in study.maps if all(one.pipeline != name for one in study.sources))
    return (*study.sources, *(Source(name, "", 1) for name in unread))
