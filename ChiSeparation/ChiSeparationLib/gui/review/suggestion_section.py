"""The computed suggestion, with what it rests on; shown only if the reader wants it, and never filled in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError

from ...lesions.identities import label_of
from ...lesions.reading import GRADED_MAPS
from ...lesions.table import LesionTable
from .background import BackgroundTask
from .rows import Case
from .section import ReviewSection

#: Maps as the panel writes them.
TITLES = {"chi_para": "χ para", "chi_dia": "χ dia"}


class SuggestionSection(ReviewSection):
    """Says for each map what the measures suggest."""

    def build(self) -> None:
        """Nothing is measured before the reader wants it."""
        self._task = BackgroundTask(self._on_ended)
        #: Lesions and pipeline that are being measured, or were.
        self._measured: tuple[Any, str] | None = None
        self._error = ""

    def update(self) -> None:
        """Show the suggestion of the lesion that is shown, if it is wanted and the reading is not blinded."""
        ui, given = self.ui, self.given
        ui.suggestionCheckBox.enabled = not given.blinded
        case = self.desk.case
        wanted = given.suggestion and not given.blinded and case is not None and case.pipeline
        text, details = self._text(case) if wanted else ("", "")
        self.say(ui.suggestionLabel, text)
        ui.suggestionLabel.toolTip = details

    look = update

    def _text(self, case: Case) -> tuple[str, str]:
        session = self.desk.session
        asked = (session.segments, case.pipeline)
        if not self._task.running and (self._measured is None or self._measured != asked):
            self._measured, self._error = asked, ""
            self._task.run(partial(session.suggestions, case.pipeline))  # seconds for many lesions; kept afterwards
        if self._task.running:
            return _("Measuring the lesions…"), ""
        if self._error:
            return self._error, ""
        try:
            return _words(session.suggestions(case.pipeline), label_of(case.lesion_id))
        except ChiSepError as error:
            return str(error), ""

    def _on_ended(self, error: Exception | None) -> None:
        self._error = str(error or "")
        if self.given is not None:
            self.update()

    def close(self) -> None:
        """Look no more at what is being measured."""
        self._task.close()


def _words(table: LesionTable, label: int) -> tuple[str, str]:
    """What is suggested and why, in short; and all measures and limits."""
    row = next((one for one in table.rows if one.label == label), None)
    if row is None:
        return _("No voxel of the maps lies in this lesion, so that nothing can be suggested."), ""
    found = {TITLES[name]: row.suggestions[name] for name in GRADED_MAPS if name in row.suggestions}
    lines = [f"{title}: {one.label}. {one.reason}" for title, one in found.items()]
    details = [f"{title}: {_numbers(one.measures)}; {_numbers(one.thresholds)}" for title, one in found.items()]
    return "\n".join([*lines, *row.flags]), "\n".join([*details, table.thresholds.basis])


def _numbers(values: Mapping[str, float | None]) -> str:
    return ", ".join(f"{key} {value:.3g}" for key, value in values.items() if value is not None)
