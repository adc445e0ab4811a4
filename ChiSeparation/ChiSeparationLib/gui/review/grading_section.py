"""Grades, confidence and comment of the lesion that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ...lesions.grades import Grade
from ...lesions.reading import CONFIDENCES, GRADED_MAPS
from .section import ReviewSection


class GradingSection(ReviewSection):
    """Five buttons for each map, brightest first; the chosen one is down."""

    def build(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._case: Any = None
        for map_name, grade, button in self.buttons():
            button.connect("clicked()", partial(self.onGrade, map_name, grade))
        for confidence, button in self._confidences():
            button.connect("clicked()", partial(self.onConfidence, confidence))
        ui.commentLineEdit.connect("editingFinished()", self.onComment)
        ui.undoButton.connect("clicked()", self.desk.undo)
        ui.redoButton.connect("clicked()", self.desk.redo)

    def buttons(self) -> Iterator[tuple[str, Grade, Any]]:
        """Every button with its map and grade."""
        for map_name in GRADED_MAPS:
            for number, grade in enumerate(Grade, start=1):
                yield map_name, grade, getattr(self.ui, f"{map_name.removeprefix('chi_')}{number}Button")

    def _confidences(self) -> Iterator[tuple[int, Any]]:
        for confidence in CONFIDENCES:
            yield confidence, getattr(self.ui, f"confidence{confidence}Button")

    def update(self) -> None:
        """Show what the reader has said of the lesion."""
        ui, desk = self.ui, self.desk
        row = desk.row
        ui.gradingGroupBox.enabled = row is not None and not desk.problem
        ui.gradingGroupBox.toolTip = desk.problem
        for map_name, grade, button in self.buttons():
            button.checked = row is not None and row.grades[map_name] is grade
        for confidence, button in self._confidences():
            button.checked = row is not None and row.confidence == confidence
        self._show_comment(row.comment if row is not None else "")
        ui.undoButton.enabled, ui.redoButton.enabled = desk.can_undo, desk.can_redo

    look = update

    def _show_comment(self, comment: str) -> None:
        """Show the comment, but not over one in the making on the same lesion."""
        edit, before = self.ui.commentLineEdit, self._case
        self._case = self.desk.case
        if before == self._case and edit.modified:
            return
        if edit.text != comment:
            edit.text = comment

    def onGrade(self, map_name: str, grade: Grade, *clicked: Any) -> None:
        """Give a grade, or take it back where it was given already."""
        row = self.desk.row
        if row is not None:
            self.desk.give_grade(map_name, None if row.grades[map_name] is grade else grade)
        self.update()

    def onConfidence(self, confidence: int, *clicked: Any) -> None:
        """Say how certain the grades are."""
        row = self.desk.row
        if row is not None:
            self.desk.give_confidence(None if row.confidence == confidence else confidence)
        self.update()

    def next_confidence(self) -> None:
        """Go from one confidence to the next, and from the last to the first."""
        row = self.desk.row
        if row is not None:
            self.desk.give_confidence((row.confidence or 0) % max(CONFIDENCES) + 1)

    def onComment(self) -> None:
        """Keep the comment."""
        row = self.desk.row
        edit = self.ui.commentLineEdit
        edit.modified = False
        if row is not None and edit.text != row.comment:
            self.desk.give_comment(edit.text)

    def edit_comment(self) -> None:
        """Let the user write."""
        self.ui.commentLineEdit.setFocus()
        self.ui.commentLineEdit.selectAll()
