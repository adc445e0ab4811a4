"""What readers said of lesions: one judgement for each lesion, map, pipeline, reader and repeat.

A reading holds grades that people gave. Suggestions are no part of it (:mod:`.suggestion`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from ChiSepPreprocessLib.errors import InputError

from .grades import Grade

#: Maps that are graded (Kim et al. 2025, section 3.3).
GRADED_MAPS = ("chi_para", "chi_dia")

#: Least and most certain.
CONFIDENCES = (1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """Identity of one lesion; grades hang on ``lesion_id``, which renaming, splitting and merging keep.

    Parameters
    ----------
    lesion_id : str
        Of the segment, such as ``Lesion_12``; unique within a patient and never used again.
    name : str
        For people.
    place : str
        Anatomical name by position, such as "left periventricular white matter"; empty if unknown.
    volume_mm3 : float
        mm³.
    centroid_ras_mm : tuple of float
        Centre of its voxels.
    came_from : tuple of str
        Identities that were split or merged into it.
    """

    lesion_id: str
    name: str = ""
    place: str = ""
    volume_mm3: float = 0.0
    centroid_ras_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    came_from: tuple[str, ...] = ()


class Question(NamedTuple):
    """What a judgement answers: one lesion on one map of one pipeline, by one reader for the n-th time."""

    lesion_id: str
    map_name: str
    pipeline: str
    reader: str
    repeat: int = 1


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What one reader said to one question.

    Parameters
    ----------
    question : Question
        What was asked.
    grade : Grade or None
        ``None`` if the reader has only commented, or found that it cannot be graded.
    confidence : int or None
        One of :data:`CONFIDENCES`.
    comment : str
        Any text.
    time : str
        When it was given, ISO 8601 in UTC.

    Raises
    ------
    InputError
        If the map, the confidence, the repeat or the time cannot be right.
    """

    question: Question
    grade: Grade | None
    confidence: int | None = None
    comment: str = ""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __post_init__(self) -> None:
        asked = self.question
        if asked.map_name not in GRADED_MAPS:
            raise InputError("map of a grade", repr(asked.map_name), " or ".join(GRADED_MAPS))
        if not asked.lesion_id or not asked.pipeline or not asked.reader:
            raise InputError("grade", asked, "a lesion, a pipeline and a reader")
        if asked.repeat < 1:
            raise InputError("repeat of a reading", asked.repeat, "1 or more")
        if self.confidence is not None and self.confidence not in CONFIDENCES:
            raise InputError("confidence", self.confidence, f"one of {CONFIDENCES}, or none")
        try:
            datetime.fromisoformat(self.time)
        except ValueError as error:
            raise InputError("time of a grade", repr(self.time), "ISO 8601") from error


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that is known of a patient's lesions: who they are, and what was said of them.

    Parameters
    ----------
    patient : str
        Pseudonym that the user gave, or empty; never taken from headers.
    lesions : tuple of Lesion
        In the order of the table.
    judgements : mapping of Question to Judgement
        The last word to each question.
    """

    patient: str = ""
    lesions: tuple[Lesion, ...] = ()
    judgements: Mapping[Question, Judgement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids = [lesion.lesion_id for lesion in self.lesions]
        if len(set(ids)) != len(ids):
            raise InputError("lesions of a reading", "the same identity twice", "each once")

    def __iter__(self) -> Iterator[Judgement]:
        """Go through the judgements."""
        return iter(self.judgements.values())

    def grade(self, question: Question) -> Grade | None:
        """The grade, if one was given."""
        found = self.judgements.get(question)
        return None if found is None else found.grade

    def said(self, judgement: Judgement) -> Reading:
        """Give the reading with one more judgement, in the place of an earlier one to the same question."""
        return replace(self, judgements={**self.judgements, judgement.question: judgement})

    def without(self, question: Question) -> Reading:
        """Give the reading without the judgement to a question."""
        return replace(self, judgements={asked: one for asked, one in self.judgements.items() if asked != question})
