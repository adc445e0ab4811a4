"""The vocabulary of readings: what a judgement may be, and how a reading changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading import CONFIDENCES, GRADED_MAPS, Judgement, Lesion, Question, Reading
from ChiSepPreprocessLib.errors import InputError
from lesion_readings import judgement, reading_of

ASKED = Question("Lesion_1", "chi_para", "x", "AB")


def test_a_judgement_is_given_now_in_utc() -> None:
    given = datetime.fromisoformat(Judgement(question=ASKED, grade=Grade.ISO).time)
    assert given.utcoffset() == timedelta()
    assert abs(datetime.now(given.tzinfo) - given) < timedelta(minutes=5)


@pytest.mark.parametrize("grade", [*Grade, None])
@pytest.mark.parametrize("confidence", [*CONFIDENCES, None])
@pytest.mark.parametrize("map_name", GRADED_MAPS)
def test_every_grade_confidence_and_map_can_be_said(grade: Grade | None, confidence: int | None, map_name: str) -> None:
    one = Judgement(question=ASKED._replace(map_name=map_name), grade=grade, confidence=confidence)
    assert (one.grade, one.confidence, one.question.repeat) == (grade, confidence, 1)


@pytest.mark.parametrize(
    ("asked", "other", "message"),
    [
        ({"map_name": "chi_total"}, {}, "map of a grade: got 'chi_total'; expected chi_para or chi_dia"),
        ({"lesion_id": ""}, {}, "a lesion, a pipeline and a reader"),
        ({"pipeline": ""}, {}, "a lesion, a pipeline and a reader"),
        ({"reader": ""}, {}, "a lesion, a pipeline and a reader"),
        ({"repeat": 0}, {}, "repeat of a reading: got 0"),
        ({}, {"confidence": 0}, "confidence: got 0"),
        ({}, {"confidence": 4}, "confidence: got 4"),
        ({}, {"time": "yesterday"}, "time of a grade: got 'yesterday'"),
    ],
)
def test_what_cannot_be_right_is_refused(asked: dict[str, Any], other: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Judgement(question=ASKED._replace(**asked), grade=Grade.ISO, **other)


def test_the_last_word_to_a_question_counts() -> None:
    before = reading_of(judgement("Lesion_1", Grade.ISO))
    after = before.said(judgement("Lesion_1", Grade.HYPO)).said(judgement("Lesion_1", Grade.HYPER, repeat=2))
    assert after.grade(ASKED) is Grade.HYPO
    assert after.grade(ASKED._replace(repeat=2)) is Grade.HYPER
    assert len(list(after)) == 2
    assert before.grade(ASKED) is Grade.ISO  # readings do not change, so that edits can be undone


def test_taking_a_judgement_back_leaves_the_others() -> None:
    one, other = judgement("Lesion_1", Grade.ISO), judgement("Lesion_2", Grade.HYPO)
    reading = reading_of(one, other)
    assert reading.without(one.question) == reading_of(other)
    assert reading.without(one.question).grade(ASKED) is None
    assert reading.without(ASKED._replace(reader="CD")) == reading


def test_each_lesion_is_there_once() -> None:
    with pytest.raises(InputError, match="the same identity twice"):
        replace(Reading(), lesions=(Lesion(lesion_id="Lesion_1"), Lesion(lesion_id="Lesion_1", name="other")))
