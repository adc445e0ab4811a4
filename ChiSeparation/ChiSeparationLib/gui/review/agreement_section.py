"""Two readings compared: table, agreement, and the lesions on which they differ, one click away."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError
from ChiSepReconstructLib.gui.choice_box import ChoiceBox

from ...lesions.agreement import Agreement, Discordant, agree
from ...lesions.grades import Grade
from ...lesions.identities import lesion_id_of
from ...lesions.raters import Rater
from ...lesions.reading import GRADED_MAPS
from .section import ReviewSection
from .suggestion_section import TITLES
from .table_section import grade_words

#: One patient alone has no spread over patients; the fewest draws are enough.
_RESAMPLES = 100
_SUGGESTION = "suggestion"


class AgreementSection(ReviewSection):
    """Compares what is in the scene; hidden in a blinded reading, as it shows other people's grades."""

    def build(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._raters: dict[str, Rater] = {}
        self._discordant: tuple[Discordant, ...] = ()
        self._pipelines: list[str] = []
        self._compared: tuple[Any, ...] | None = None
        self._first = ChoiceBox(ui.firstRaterComboBox, self._on_chosen)
        self._second = ChoiceBox(ui.secondRaterComboBox, self._on_chosen)
        self._map = ChoiceBox(ui.agreementMapComboBox, self._on_chosen, TITLES)
        ui.agreementButton.connect("contentsCollapsed(bool)", self.onFolded)
        ui.discordantList.connect("currentRowChanged(int)", self.onDiscordant)
        ui.agreementTable.setRowCount(len(Grade))
        ui.agreementTable.setColumnCount(len(Grade))
        words = [grade_words(grade) for grade in Grade]
        ui.agreementTable.setHorizontalHeaderLabels([one.replace(" ", "\n") for one in words])
        ui.agreementTable.setVerticalHeaderLabels(words)
        ui.agreementTable.verticalHeader().setVisible(True)
        ui.agreementTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)

    def update(self) -> None:
        """Offer the readings that there are, and compare them if the part is open."""
        ui = self.ui
        ui.agreementButton.visible = not self.given.blinded
        if ui.agreementButton.collapsed or self.given.blinded or self.desk.session is None:
            return
        self._offer()
        self._compare()

    def onFolded(self, collapsed: bool) -> None:
        """Compare once the part is open."""
        if self.given is not None:
            self.update()

    def _on_chosen(self, value: str) -> None:
        self._compare()

    def _offer(self) -> None:
        asked = [one.question for one in self.desk.session.reading]
        order = {name: at for at, name in enumerate(self.desk.pipelines)}
        sources = sorted(
            {(one.reader, one.pipeline, one.repeat) for one in asked},
            key=lambda one: (one[0], order.get(one[1], len(order)), one[1:]),
        )
        self._raters = {
            f"{reader}\n{pipeline}\n{repeat}": Rater(reader=reader, pipeline=pipeline, repeat=repeat)
            for reader, pipeline, repeat in sources
        }
        words = {key: _rater_words(rater) for key, rater in self._raters.items()}
        was_empty = not self._second.value
        self._first.fill(words)
        self._second.fill(words | {_SUGGESTION: _("computed suggestion")} if words else {})
        if was_empty and len(words) > 1:
            self._second.show(list(words)[1])

    def _compare(self) -> None:
        session = self.desk.session
        if session is None or self.given is None or self._first.value not in self._raters:
            self._show(None, _("There are no grades to compare yet."))
            return
        first = self._raters[self._first.value]
        second = self._raters.get(self._second.value, Rater(suggested=True))
        state = (session.reading, first, second, self._map.value)
        if self._compared is not None and self._compared == state:
            return
        self._compared = state
        try:
            suggestions = self._suggestions(first.pipeline) if second.suggested else None
            found = agree(
                [session.reading], first, second, self._map.value, suggestions=suggestions, resamples=_RESAMPLES
            )  # fmt: skip
            self._show(found, _sentence(found))
        except ChiSepError as error:
            self._show(None, str(error))

    def _suggestions(self, pipeline: str | None) -> dict[str, dict[tuple[str, str], Grade | None]]:
        session = self.desk.session
        table = session.suggestions(pipeline)
        return {
            session.reading.patient: {
                (lesion_id_of(row.label), name): row.suggestions[name].grade
                for row in table.rows for name in GRADED_MAPS if name in row.suggestions
            }
        }  # fmt: skip

    def _show(self, found: Agreement | None, sentence: str) -> None:
        ui = self.ui
        ui.agreementLabel.text = sentence
        ui.agreementTable.visible = found is not None
        self._discordant = found.discordant if found is not None else ()
        for row in range(len(Grade)):
            for column in range(len(Grade)):
                count = int(found.table[row, column]) if found is not None else 0
                ui.agreementTable.setItem(row, column, qt.QTableWidgetItem(str(count) if count else "·"))
        ui.discordantList.blockSignals(True)
        ui.discordantList.clear()
        ui.discordantList.addItems([_discordant_words(one) for one in self._discordant])
        ui.discordantList.blockSignals(False)
        ui.discordantList.visible = bool(self._discordant)

    def onDiscordant(self, row: int) -> None:
        """Show the lesion on which the readings differ."""
        if 0 <= row < len(self._discordant):
            self.desk.show_lesion(self._discordant[row].lesion.lesion_id)


def _rater_words(rater: Rater) -> str:
    words = _("{reader} on {method}").format(reader=rater.reader, method=rater.pipeline)
    if (rater.repeat or 1) > 1:
        words += _(", reading {repeat}").format(repeat=rater.repeat)
    return words


def _sentence(found: Agreement) -> str:
    """Per cent agreement with its interval, κ, and how many lesions are in no table."""
    told = found.statistics
    if not told.pairs or told.share.value is None:
        return _("No lesion was graded in both readings.")
    parts = [
        _("{agreed} of {pairs} alike ({share:.1f} %, 95 % interval {low:.1f}–{high:.1f} %).").format(
            agreed=told.agreed, pairs=told.pairs, share=100 * told.share.value, low=100 * (told.share.low or 0.0),
            high=100 * (told.share.high or 0.0),
        )
    ]  # fmt: skip
    linear = told.kappa["linear"]
    if linear.value is None:
        parts.append(_("Weighted κ is not defined."))
    else:
        parts.append(_("Linearly weighted κ {kappa:.2f}.").format(kappa=linear.value))
    if len(found.unmatched):
        parts.append(_("Not in the table: {count}.").format(count=len(found.unmatched)))
    return " ".join(parts)


def _discordant_words(one: Discordant) -> str:
    return _("{lesion}, {place}: {first} – {second}").format(
        lesion=one.lesion.name or one.lesion.lesion_id, place=one.lesion.place or "?", first=grade_words(one.first),
        second=grade_words(one.second),
    )  # fmt: skip
