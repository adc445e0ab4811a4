"""What the table shows: cases in the order of the reading, with what one reader has said of them. Needs no Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ...lesions.blinding import reading_order
from ...lesions.grades import Grade
from ...lesions.identities import label_of
from ...lesions.reading import GRADED_MAPS, Lesion, Question, Reading


class Case(NamedTuple):
    """What is graded at a time: a lesion on the maps of one pipeline."""

    lesion_id: str
    pipeline: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One case with what this reader has said of it.

    Parameters
    ----------
    case : Case
        Which.
    number : str
        Of the lesion, with the letter of the pipeline in a blinded reading.
    lesion : Lesion
        Its name, place and volume.
    maps : tuple of str
        Maps that are there to be graded.
    grades : mapping of str to Grade or None
        By every graded map.
    confidence : int or None
        Of the lesion.
    comment : str
        Of the lesion.
    flags : tuple of str
        What must be known before it is graded.
    """

    case: Case
    number: str
    lesion: Lesion
    maps: tuple[str, ...]
    grades: Mapping[str, Grade | None]
    confidence: int | None = None
    comment: str = ""
    flags: tuple[str, ...] = ()

    @property
    def is_graded(self) -> bool:
        """Whether all of its maps are graded."""
        return bool(self.maps) and all(self.grades[name] is not None for name in self.maps)

    @property
    def status(self) -> str:
        """One of ``graded``, ``half``, ``flagged`` and ``open``."""
        if self.is_graded:
            return "graded"
        if any(self.grades.values()):
            return "half"
        return "flagged" if self.flags else "open"


def cases_of(
    session: Any, asked: tuple[str, int], pipelines: Iterable[str] | None = None, seed: int | None = None
) -> dict[Case, tuple[str, ...]]:
    """Give the cases in their order, with the maps to grade; without results, every lesion with none.

    Parameters
    ----------
    session : ReviewSession
        Of the lesions.
    asked : tuple of str and int
        Reader and repeat.
    pipelines : iterable of str, optional
        All by default.
    seed : int, optional
        Random order for a blinded reading; lesion by lesion without it.
    """
    if not session.pipelines:
        return {Case(lesion.lesion_id, ""): () for lesion in session.lesions}
    questions: tuple[Question, ...] = session.questions(*asked, pipelines)
    order: Iterable[Question] = questions
    if seed is not None:
        # Both maps of a case are graded together, so one question stands for each.
        firsts = {Case(one.lesion_id, one.pipeline): one for one in reversed(questions)}
        order = reading_order(firsts.values(), asked[0], seed, session.reading.patient)
    cases: dict[Case, tuple[str, ...]] = {Case(one.lesion_id, one.pipeline): () for one in order}
    for one in questions:
        cases[Case(one.lesion_id, one.pipeline)] += (one.map_name,)
    return cases


def row_of(
    case: Case, maps: tuple[str, ...], lesion: Lesion, reading: Reading, asked: tuple[str, int], *, letter: str = "",
    flags: tuple[str, ...] = (),
) -> Row:  # fmt: skip
    """Gather what a reader has said of a case.

    Parameters
    ----------
    case : Case
        Which.
    maps : tuple of str
        Maps that are there to be graded.
    lesion : Lesion
        Of the case.
    reading : Reading
        What everybody has said.
    asked : tuple of str and int
        Reader and repeat.
    letter : str
        Stands for the pipeline in a blinded reading.
    flags : tuple of str
        What must be known before it is graded.
    """
    answers = {
        name: reading.judgements.get(Question(case.lesion_id, name, case.pipeline, *asked)) for name in GRADED_MAPS
    }
    said = [one for one in answers.values() if one is not None]
    return Row(
        case=case,
        number=f"{label_of(case.lesion_id)} {letter}".strip(),
        lesion=lesion,
        maps=maps,
        grades={name: None if one is None else one.grade for name, one in answers.items()},
        confidence=next((one.confidence for one in said if one.confidence is not None), None),
        comment=next((one.comment for one in said if one.comment), ""),
        flags=flags,
    )
