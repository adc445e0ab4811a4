"""What segments carry themselves, so that it survives in a ``.seg.nrrd`` alone: identity, grades, status.

``ChiSep.Lesion`` is the lesion's identity: segment IDs of Slicer's own making have no number, so a segment that was
added in the Segment Editor gets its identity by this tag. ``ChiSep.Grade.0``, ``ChiSep.Grade.1``, ... are the
judgements: ``1;map;grade;confidence;time;repeat;pipeline;reader;comment`` in ASCII, texts as in URLs, for Slicer's
files part tags by ``|`` and end them there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.scene.session import load_slicer

from ..lesions.grades import Grade
from ..lesions.reading import Judgement, Question, Reading

LESION = "ChiSep.Lesion"
_GRADE = "ChiSep.Grade"
_SCHEMA = "1"

#: Slicer's states of a segment.
NOT_STARTED, IN_PROGRESS, COMPLETED, FLAGGED = range(4)


def tag(segment: Any, key: str) -> str:
    """Value of a tag, empty without it."""
    from vtkmodules.vtkCommonCore import reference

    value = reference("")
    return str(value) if segment.GetTag(key, value) else ""


def identities(node: Any) -> dict[str, str]:
    """Identity by segment ID, of segments that have one: by tag, else by a segment ID such as ``Lesion_12``.

    Of several segments with one identity, as copies are, the first in the segmentation's order has it.
    """
    found: dict[str, str] = {}
    segmentation = node.GetSegmentation()
    for segment_id in segmentation.GetSegmentIDs():
        identity = tag(segmentation.GetSegment(segment_id), LESION) or segment_id
        if re.fullmatch(r"Lesion_0*[1-9]\d*", identity) and identity not in found.values():
            found[segment_id] = identity
    return found


def set_identity(segment: Any, lesion_id: str) -> None:
    """Write the identity of a lesion on its segment."""
    if tag(segment, LESION) != lesion_id:
        segment.SetTag(LESION, lesion_id)


def set_judgements(segment: Any, judgements: Iterable[Judgement]) -> None:
    """Write the judgements of a lesion on its segment, in the place of those that it has."""
    wanted = grade_tags(judgements)
    for key, text in wanted.items():
        if tag(segment, key) != text:
            segment.SetTag(key, text)
    number = len(wanted)
    while segment.HasTag(f"{_GRADE}.{number}"):
        segment.RemoveTag(f"{_GRADE}.{number}")
        number += 1


def grade_tags(judgements: Iterable[Judgement]) -> dict[str, str]:
    """Tags that carry judgements, by key."""
    return {f"{_GRADE}.{number}": _encoded(one) for number, one in enumerate(judgements)}


def judgements(segment: Any, lesion_id: str) -> tuple[Judgement, ...]:
    """Judgements that a segment carries.

    Raises
    ------
    InputError
        If a tag is damaged or of a newer version.
    """
    found, number = [], 0
    while segment.HasTag(f"{_GRADE}.{number}"):
        found.append(_decoded(tag(segment, f"{_GRADE}.{number}"), lesion_id))
        number += 1
    return tuple(found)


def reading_from_tags(node: Any) -> Reading:
    """Judgements that the segments of a segmentation carry, as a reading without lesions' measures.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode
        Such as one loaded from a ``.seg.nrrd``.

    Raises
    ------
    InputError
        If a tag is damaged or of a newer version.
    """
    segmentation, found = node.GetSegmentation(), {}
    for segment_id, lesion_id in identities(node).items():
        for one in judgements(segmentation.GetSegment(segment_id), lesion_id):
            found[one.question] = one
    return Reading(judgements=found)


def set_status(segment: Any, status: int) -> None:
    """Write the status that Slicer's own table of segments shows; a flag that the user set stays."""
    logic = load_slicer().vtkSlicerSegmentationsModuleLogic
    if logic.GetSegmentStatus(segment) not in (status, FLAGGED):
        logic.SetSegmentStatus(segment, status)


def status_of(answered: int, asked: int) -> int:
    """Status of a lesion to which so many of so many questions are answered."""
    if not answered:
        return NOT_STARTED
    return COMPLETED if answered >= asked else IN_PROGRESS


def by_lesion(reading: Reading) -> Mapping[str, list[Judgement]]:
    """Judgements of each lesion, sorted by question."""
    found: dict[str, list[Judgement]] = {}
    for question in sorted(reading.judgements):
        found.setdefault(question.lesion_id, []).append(reading.judgements[question])
    return found


def _encoded(one: Judgement) -> str:
    grade = one.grade.code if one.grade else ""
    texts = (one.time, str(one.question.repeat), one.question.pipeline, one.question.reader, one.comment)
    parts = (_SCHEMA, one.question.map_name, grade, str(one.confidence or ""), *texts)
    return ";".join(quote(part, safe="") for part in parts)


def _decoded(text: str, lesion_id: str) -> Judgement:
    schema, *rest = (unquote(part) for part in text.split(";"))
    if schema != _SCHEMA or len(rest) != 8:
        raise InputError(f"grade of {lesion_id} in a segment tag", repr(text[:40]), f"a tag of version {_SCHEMA}",
                         "Open the file with the version of this extension that wrote it.")  # fmt: skip
    map_name, grade, confidence, time, repeat, pipeline, reader, comment = rest
    try:
        question = Question(lesion_id, map_name, pipeline, reader, int(repeat))
        return Judgement(
            question=question,
            grade=Grade.from_code(grade) if grade else None,
            confidence=int(confidence) if confidence else None,
            comment=comment,
            time=time,
        )
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"grade of {lesion_id} in a segment tag", repr(text[:40]), "whole numbers in it") from error
