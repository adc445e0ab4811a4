"""Undo and redo of judgements, a bounded number of steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from ..lesions.reading import Judgement, Question, Reading

#: Steps that can be undone.
MOST_STEPS = 500


@dataclass(frozen=True)
class _Step:
    """What one action changed; ``None`` for no judgement."""

    question: Question
    before: Judgement | None
    after: Judgement | None


class JudgementHistory:
    """What was said, step by step."""

    def __init__(self) -> None:
        self._done: deque[_Step] = deque(maxlen=MOST_STEPS)
        self._undone: list[_Step] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back."""
        return bool(self._undone)

    def add(self, question: Question, before: Judgement | None, after: Judgement | None) -> None:
        """Remember a step; what was taken back before it is gone."""
        self._done.append(_Step(question, before, after))
        self._undone.clear()

    def undo(self, reading: Reading) -> tuple[Question, Reading]:
        """Take the last step back; there must be one."""
        step = self._done.pop()
        self._undone.append(step)
        return step.question, _with(reading, step.question, step.before)

    def redo(self, reading: Reading) -> tuple[Question, Reading]:
        """Take the last step anew; there must be one that was taken back."""
        step = self._undone.pop()
        self._done.append(step)
        return step.question, _with(reading, step.question, step.after)

    def keep_only(self, lesion_ids: Collection[str]) -> None:
        """Forget steps on lesions that are not there any more."""
        steps = [one for one in self._done if one.question.lesion_id in lesion_ids]
        self._done = deque(steps, maxlen=MOST_STEPS)
        self._undone = [one for one in self._undone if one.question.lesion_id in lesion_ids]


def _with(reading: Reading, question: Question, judgement: Judgement | None) -> Reading:
    return reading.without(question) if judgement is None else reading.said(judgement)
