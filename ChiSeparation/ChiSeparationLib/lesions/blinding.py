"""Blinded reading: a random order of questions, and neutral labels in the place of the pipelines' names.

Order and labels rest on SHA-256 of the seed and the names, so that they are the same on every machine and in every
version. The key to the labels is a file of its own; a blinded reading holds labels alone until it is unblinded.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from string import ascii_uppercase
from typing import NamedTuple

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, write_json

from .reading import Question, Reading

_SCHEMA = 1


def reading_order(questions: Iterable[Question], reader: str, seed: int, patient: str = "") -> tuple[Question, ...]:
    """Give a reader's questions in random order, no lesion twice in a row where that is possible.

    Parameters
    ----------
    questions : iterable of Question
        All of this reader, in any order; their order does not matter.
    reader : str
        Whose they are.
    seed : int
        Another one gives another order.
    patient : str
        Whose lesions they are about, so that two patients' orders differ.

    Returns
    -------
    tuple of Question
        The first repeat as a whole before the second. Each repeat has its own order.

    Raises
    ------
    InputError
        If a question is another reader's.
    """
    asked = set(questions)
    if strangers := sorted({one.reader for one in asked} - {reader}):
        raise InputError("questions in a reading's order", f"those of {', '.join(strangers)}", f"{reader}'s alone")
    shuffled = sorted(asked, key=lambda one: (one.repeat, _digest(seed, patient, *one)))
    ordered: list[Question] = []
    for _, repeat in groupby(shuffled, key=lambda one: one.repeat):
        ordered += _apart(list(repeat), ordered[-1].lesion_id if ordered else "")
    return tuple(ordered)


def _apart(questions: list[Question], last: str) -> Iterator[Question]:
    """Change the order as little as keeps questions on one lesion apart."""
    left = Counter(one.lesion_id for one in questions)
    most = max(left.values(), default=0)  # of one lesion; too high where it was not needed
    while questions:
        urgent = ""
        if 2 * most > len(questions):
            urgent, most = left.most_common(1)[0]
        # A lesion with more than half of what is left must come now, or its questions meet at the end.
        is_due = 2 * most > len(questions) and urgent != last
        fits = (n for n, one in enumerate(questions) if (one.lesion_id == urgent if is_due else one.lesion_id != last))
        chosen = questions.pop(next(fits, 0))
        last = chosen.lesion_id
        left[last] -= 1
        yield chosen


@dataclass(frozen=True, kw_only=True)
class BlindingKey:
    """What the labels of one reader and patient stand for.

    Parameters
    ----------
    reader, patient : str
        Whom it concerns.
    pipelines : mapping of str to str
        Pipeline by label.
    """

    reader: str
    patient: str
    pipelines: Mapping[str, str]

    @property
    def labels(self) -> dict[str, str]:
        """Label by pipeline."""
        return {pipeline: label for label, pipeline in self.pipelines.items()}

    def blinded(self, question: Question) -> Question:
        """Give a question with the label in the place of the pipeline."""
        return question._replace(pipeline=self.labels.get(question.pipeline, question.pipeline))

    def unblinded(self, question: Question) -> Question:
        """Give a question with the pipeline in the place of the label; one that names its pipeline stays.

        Raises
        ------
        InputError
            If the key knows neither such a label nor such a pipeline.
        """
        if question.pipeline in self.labels:
            return question
        if question.pipeline not in self.pipelines:
            labels = ", ".join(self.pipelines)
            raise InputError("label of a blinded reading", repr(question.pipeline), f"one of {labels}",
                             "Use the key that this reading was made with.")  # fmt: skip
        return question._replace(pipeline=self.pipelines[question.pipeline])


def blinding_key(pipelines: Iterable[str], reader: str, patient: str, seed: int) -> BlindingKey:
    """Assign neutral labels (A, B, …) to pipelines, at random for each reader and patient.

    Raises
    ------
    InputError
        If there is no pipeline, too many, or one that is called like a label.
    """
    names = sorted(set(pipelines), key=lambda one: _digest(seed, patient, reader, one))
    labels = ascii_uppercase[: len(names)]
    if not 0 < len(names) <= len(ascii_uppercase):
        raise InputError("pipelines to blind", len(names), f"1 to {len(ascii_uppercase)}")
    if clash := set(names) & set(labels):
        raise InputError("pipelines to blind", f"one called {min(clash)}, like a label", "other names")
    return BlindingKey(reader=reader, patient=patient, pipelines=dict(zip(labels, names, strict=True)))


def blind(reading: Reading, key: BlindingKey) -> Reading:
    """Give a patient's reading with labels in the place of the key's pipelines."""
    return _renamed(reading, [key], unblinding=False)


def unblind(reading: Reading, *keys: BlindingKey) -> Reading:
    """Give a reading with the pipelines' names.

    Parameters
    ----------
    reading : Reading
        Of one patient, by one or more readers.
    *keys : BlindingKey
        For this patient and each of its readers; keys of others do not matter.

    Raises
    ------
    InputError
        If a reader's key is missing or does not fit.
    """
    return _renamed(reading, keys, unblinding=True)


def _renamed(reading: Reading, keys: Iterable[BlindingKey], *, unblinding: bool) -> Reading:
    by_reader = {key.reader: key for key in keys if key.patient == reading.patient}
    judgements = {}
    for judgement in reading:
        key = by_reader.get(judgement.question.reader)
        if key is None and unblinding:
            raise InputError("keys of a blinded reading", f"none for reader {judgement.question.reader}",
                             "one for each reader of this patient")  # fmt: skip
        asked = judgement.question
        if key is not None:
            asked = key.unblinded(asked) if unblinding else key.blinded(asked)
        if asked in judgements:
            raise InputError("blinded reading", f"two answers on {asked.lesion_id}, with the label and with the name",
                             "one answer to each question")  # fmt: skip
        judgements[asked] = replace(judgement, question=asked)
    return replace(reading, judgements=judgements)


def write_keys(path: Path, keys: Iterable[BlindingKey]) -> None:
    """Write keys as JSON, apart from the readings.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    rows = [{"reader": key.reader, "patient": key.patient, "pipelines": dict(key.pipelines)} for key in keys]
    write_json(path, {"schema": _SCHEMA, "keys": rows})


def read_keys(path: Path) -> tuple[BlindingKey, ...]:
    """Read what :func:`write_keys` wrote.

    Raises
    ------
    InputError
        If the file holds no keys, or is of a newer schema.
    """
    content = read_json(path)
    if content.get("schema") != _SCHEMA:
        raise InputError("keys of blinded readings", f"{path.name} of schema {content.get('schema')!r:.20}",
                         f"schema {_SCHEMA}", "Update ChiSeparation if a newer version wrote it.")  # fmt: skip
    try:
        keys = tuple(BlindingKey(reader=row["reader"], patient=row["patient"], pipelines=dict(row["pipelines"].items()))
                     for row in content["keys"])  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError("keys of blinded readings", f"{path.name}, which is none", "reader, patient and pipelines of "
                         "each key") from error  # fmt: skip
    texts = (text for key in keys for text in (key.reader, key.patient, *key.pipelines.values()))
    if not all(isinstance(text, str) for text in texts):
        raise InputError("keys of blinded readings", f"{path.name}, with names that are no text", "text")
    return keys


class Progress(NamedTuple):
    """How far a reader is.

    Parameters
    ----------
    answered : int
        Questions with a judgement, with or without a grade.
    graded : int
        Those with a grade.
    total : int
        All questions.
    """

    answered: int
    graded: int
    total: int


def progress(reading: Reading, questions: Iterable[Question]) -> Progress:
    """Count how many questions are answered."""
    asked = tuple(questions)
    answers = [reading.judgements[one] for one in asked if one in reading.judgements]
    return Progress(len(answers), sum(one.grade is not None for one in answers), len(asked))


def break_left(
    reading: Reading, reader: str, repeat: int, shortest: timedelta, now: datetime | None = None
) -> timedelta:
    """Time until a reader may read again, so that the earlier answers are forgotten.

    Parameters
    ----------
    reading : Reading
        With the judgements of earlier repeats.
    reader : str
        Who reads.
    repeat : int
        For the n-th time.
    shortest : timedelta
        Break since the last judgement of an earlier repeat.
    now : datetime, optional
        With its time zone; now by default.

    Returns
    -------
    timedelta
        Zero if the break is over, or there was no earlier repeat.
    """
    earlier = [
        _in_utc(one.time) for one in reading if one.question.reader == reader and one.question.repeat < repeat
    ]  # fmt: skip
    if not earlier:
        return timedelta()
    return max(max(earlier) + shortest - (now or datetime.now(UTC)), timedelta())


def _in_utc(time: str) -> datetime:
    found = datetime.fromisoformat(time)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _digest(*parts: str | int) -> bytes:
    """The same bytes for the same parts, everywhere and always."""
    return hashlib.sha256(json.dumps(parts).encode("ascii")).digest()
