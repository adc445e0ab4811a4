"""Raters: who judged which lesions, chosen from the readings of one or more patients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json

from .grades import Grade
from .identities import lesion_id_of
from .reading import Judgement, Lesion, Question, Reading

#: Grades by lesion and map.
Suggestions = Mapping[tuple[str, str], Grade | None]

#: What a rater may fix; what neither fixes must be the same in a pair.
CHOICES = ("reader", "pipeline", "repeat")

#: The same lesion cannot lie farther apart than this in two files, mm; two readers may outline it differently.
_SAME_PLACE_MM = 10.0


@dataclass(frozen=True, kw_only=True)
class Rater:
    """Which judgements stand on one side of the comparison.

    Parameters
    ----------
    reader, pipeline : str, optional
        Only this reader's judgements, only those on this pipeline's maps.
    repeat : int, optional
        Only those of the n-th time.
    suggested : bool
        The computed suggestions instead of any reader's judgements; the rest does not apply.
    """

    reader: str | None = None
    pipeline: str | None = None
    repeat: int | None = None
    suggested: bool = False

    def __str__(self) -> str:
        """For people, such as "reader AB, pipeline x"."""
        if self.suggested:
            return "suggestion"
        return ", ".join(f"{name} {value}" for name, value in self.chosen.items()) or "all readers"

    @property
    def chosen(self) -> dict[str, str | int]:
        """What it fixes, by name."""
        return {name: value for name in CHOICES if (value := getattr(self, name)) is not None}

    def chose(self, question: Question) -> bool:
        """Whether a question is one that this rater answers."""
        return all(getattr(question, name) == value for name, value in self.chosen.items())


class Pair(NamedTuple):
    """What two judgements have in common; empty or 0 where each rater has its own."""

    patient: str
    lesion_id: str
    reader: str = ""
    pipeline: str = ""
    repeat: int = 0


def read_suggestions(path: Path) -> dict[tuple[str, str], Grade | None]:
    """Read what was suggested from a lesion table as JSON (:meth:`.table.LesionTable.to_json`).

    Returns
    -------
    dict
        Grades by lesion and map, ``None`` where nothing could be suggested.

    Raises
    ------
    InputError
        If the file is no such table.
    """
    content = read_json(path)
    try:
        return {
            (lesion_id_of(row["label"]), map_name): None if one["code"] is None else Grade.from_code(one["code"])
            for row in content["lesions"]
            for map_name, one in row["suggestions"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError("suggestions", f"{path.name}, which is no lesion table", "the JSON of a lesion table",
                         "Make it with 'chisep lesions grade'.") from error  # fmt: skip


@dataclass(frozen=True)
class Known:
    """All that the readings of all patients say.

    Parameters
    ----------
    judgements : mapping
        By patient and question.
    lesions : mapping
        By patient and identity.
    listed : frozenset of str
        Patients whose readings list their lesions.
    """

    judgements: Mapping[tuple[str, Question], Judgement]
    lesions: Mapping[tuple[str, str], Lesion]
    listed: frozenset[str]

    def has(self, pair: Pair) -> bool:
        """Whether the lesion was not deleted or merged; readings without a list of lesions have all."""
        return pair.patient not in self.listed or pair[:2] in self.lesions

    def lesion(self, pair: Pair) -> Lesion:
        """The lesion of a pair; of an unlisted one only its identity is known."""
        return self.lesions.get(pair[:2], Lesion(lesion_id=pair.lesion_id))

    def choices(self) -> str:
        """Readers, pipelines and repeats that there are, in words."""
        words = []
        for name in CHOICES:
            values = sorted({str(getattr(asked, name)) for _, asked in self.judgements})
            words.append(f"{name} {' or '.join(values) or 'of any kind'}")
        return ", ".join(words)


def collect(readings: Sequence[Reading]) -> Known:
    """Gather the readings of one or more patients; of a patient there may be several.

    Raises
    ------
    InputError
        If patients cannot be told apart, or readings contradict each other.
    """
    if not readings:
        raise InputError("readings", "none", "one or more")
    if len(readings) > 1 and not all(reading.patient for reading in readings):
        raise InputError("readings", "several, of which one does not name its patient", "a patient's name in each",
                         "Give each patient a pseudonym, so that lesions of two patients are not mixed.")  # fmt: skip
    judgements: dict[tuple[str, Question], Judgement] = {}
    lesions: dict[tuple[str, str], Lesion] = {}
    for reading in readings:
        for judgement in reading:
            _check_same(judgements.setdefault((reading.patient, judgement.question), judgement), judgement)
        for lesion in reading.lesions:
            _check_place(reading.patient, lesions.setdefault((reading.patient, lesion.lesion_id), lesion), lesion)
    return Known(judgements, lesions, frozenset(patient for patient, _ in lesions))


def _check_same(known: Judgement, judgement: Judgement) -> None:
    if known.grade != judgement.grade:
        raise InputError("readings", f"two grades of {judgement.question.lesion_id} by the same reader",
                         "one answer to each question", "Name readers apart, or count repeats.")  # fmt: skip


def _check_place(patient: str, known: Lesion, lesion: Lesion) -> None:
    unknown = (0.0, 0.0, 0.0)
    centres = known.centroid_ras_mm, lesion.centroid_ras_mm
    if unknown not in centres and (apart_mm := math.dist(*centres)) > _SAME_PLACE_MM:
        raise InputError(f"{lesion.lesion_id} of patient {patient or 'without name'}",
                         f"places {apart_mm:.0f} mm apart in two files", "the same lesion",
                         "Read the same segmentation, or name the patients apart.")  # fmt: skip


def complete(first: Rater, second: Rater) -> tuple[Rater, Rater]:
    """Let what one of them leaves open be as the other has it.

    Raises
    ------
    InputError
        If they are the same.
    """
    if not (first.suggested or second.suggested):
        choices = {**second.chosen, **first.chosen}, {**first.chosen, **second.chosen}
        first, second = (Rater(**chosen) for chosen in choices)  # type: ignore[arg-type]
    if first == second:
        raise InputError("raters", f"{first} twice", "two that differ in reader, pipeline or repeat")
    return first, second


def answers_of(rater: Rater, known: Known, map_name: str) -> dict[Pair, Grade | None]:
    """A reader's grades on one map, by what the other rater's judgement must share.

    Raises
    ------
    InputError
        If there is no judgement of this rater on any map.
    """
    chosen = {place: one for place, one in known.judgements.items() if rater.chose(place[1])}
    if not chosen:
        raise InputError("rater", f"{rater}, of whom there is no judgement", known.choices())
    own = [name for name in CHOICES if name not in rater.chosen]
    return {
        Pair(patient, asked.lesion_id, **{name: getattr(asked, name) for name in own}): one.grade
        for (patient, asked), one in chosen.items() if asked.map_name == map_name
    }  # fmt: skip


def suggested_for(
    answers: Mapping[Pair, Grade | None],
    reader: Rater,
    known: Known,
    suggestions: Mapping[str, Suggestions],
    map_name: str,
) -> dict[Pair, Grade | None]:
    """Give the suggestions as partners of a reader's answers, and those that have no answer.

    Raises
    ------
    InputError
        If there are none, or the answers are on the maps of several pipelines.
    """
    if not any(suggestions.values()):
        raise InputError("suggestions", "none", "a lesion table for each patient")
    pipelines = sorted({asked.pipeline for _, asked in known.judgements if reader.chose(asked)})
    if len(pipelines) > 1:
        raise InputError("rater", f"{reader}, on maps of {' and '.join(pipelines)}", "one pipeline",
                         "Name the pipeline whose maps the suggestion rests on.")  # fmt: skip
    by_lesion = {
        (patient, lesion_id): grade for patient, rows in suggestions.items()
        for (lesion_id, name), grade in rows.items() if name == map_name
    }  # fmt: skip
    found = {pair: by_lesion[pair[:2]] for pair in answers if pair[:2] in by_lesion}
    without = by_lesion.keys() - {pair[:2] for pair in answers}
    return {**found, **{Pair(*place): by_lesion[place] for place in without}}
