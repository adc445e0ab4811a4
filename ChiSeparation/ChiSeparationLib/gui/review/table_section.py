"""The table of lesions, the way through it, and how far the reader has come."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from .rows import Row
from .section import ReviewSection

#: Column of the place, and its largest width in pixels, which leaves room for the grades; the rest is in the tool tip.
_PLACE, _WIDEST_PLACE = 1, 170


class TableSection(ReviewSection):
    """One row for each lesion; of a blinded reading one for each lesion and method, in random order."""

    def build(self) -> None:
        """Connect the widgets."""
        self._shown: list[tuple[str, ...]] = []
        ui = self.ui
        ui.lesionTable.connect("currentCellChanged(int,int,int,int)", self.onRow)
        ui.previousButton.connect("clicked()", self.desk.previous)
        ui.nextButton.connect("clicked()", self.desk.next)
        ui.nextUngradedButton.connect("clicked()", self.desk.next_ungraded)
        ui.recoverButton.connect("clicked()", self.desk.recover)

    def update(self) -> None:
        """Show the lesions and their grades; only rows that differ are touched."""
        table, rows = self.ui.lesionTable, self.desk.rows
        table.blockSignals(True)
        if table.rowCount != len(rows):
            table.setRowCount(len(rows))
            del self._shown[len(rows) :]
        is_changed = False
        for at, row in enumerate(rows):
            cells = _cells(row)
            if at == len(self._shown):
                self._shown.append(())
            if self._shown[at] != cells:
                self._shown[at], is_changed = cells, True
                self._fill(at, cells, row)
        if is_changed:
            table.resizeColumnsToContents()
            table.setColumnWidth(_PLACE, min(table.columnWidth(_PLACE), _WIDEST_PLACE))
        table.blockSignals(False)
        self._show_progress()
        self._offer_recovery()
        self.look()

    def _fill(self, at: int, cells: tuple[str, ...], row: Row) -> None:
        for column, text in enumerate(cells):
            item = qt.QTableWidgetItem(text)
            item.setToolTip("\n".join([row.lesion.place or text, *row.flags]))
            self.ui.lesionTable.setItem(at, column, item)

    def _show_progress(self) -> None:
        bar, (graded, total) = self.ui.gradedProgressBar, self.desk.progress
        bar.maximum = max(total, 1)
        bar.value = graded
        bar.format = _("{graded} of {total} graded").format(graded=graded, total=total) if total else _("no lesions")

    def _offer_recovery(self) -> None:
        button, found = self.ui.recoverButton, self.desk.recovered
        button.visible = found is not None
        if found is not None:
            button.text = _("Restore {count} grades that were not saved").format(count=len(found.judgements))
            button.toolTip = _("The program ended without saving. The last of them was given at {time} (UTC).").format(
                time=found.time[:16].replace("T", " ")
            )  # fmt: skip

    def look(self) -> None:
        """Mark the row of the lesion that is shown, and say what must be known about it."""
        ui, at = self.ui, self.desk.at
        ui.lesionTable.blockSignals(True)
        if at is None:
            ui.lesionTable.clearSelection()
        else:
            ui.lesionTable.setCurrentCell(at, 0)
        ui.lesionTable.blockSignals(False)
        ui.previousButton.enabled = ui.nextButton.enabled = ui.nextUngradedButton.enabled = bool(self.desk.rows)
        flags = self.desk.rows[at].flags if at is not None else ()
        self.say(ui.lesionLabel, "\n".join([*flags, *filter(None, [self.desk.problem, *self.desk.warnings])]))

    def onRow(self, row: int, column: int, before: int, column_before: int) -> None:
        """Show the lesion of the row that the user chose."""
        if row >= 0 and row != self.desk.at:
            self.desk.choose(row)


def _cells(row: Row) -> tuple[str, ...]:
    confidence = {1: _("low"), 2: _("medium"), 3: _("high")}
    return (
        row.number,
        row.lesion.place or "–",
        f"{row.lesion.volume_mm3:.0f}",
        status_words()[row.status],
        grade_words(row.grades["chi_para"]),
        grade_words(row.grades["chi_dia"]),
        confidence.get(row.confidence or 0, ""),
        row.comment,
    )


def status_words() -> dict[str, str]:
    """Give the words for how far a lesion is graded."""
    return {"open": _("open"), "half": _("half"), "graded": _("graded"), "flagged": _("flagged")}


def grade_words(grade: Any) -> str:
    """Give the word for a grade, a dash where there is none."""
    words = {
        "hyper": _("hyper"), "subtle-hyper": _("subtly hyper"), "iso": _("iso"), "subtle-hypo": _("subtly hypo"),
        "hypo": _("hypo"),
    }  # fmt: skip
    return words[grade.code] if grade is not None else "–"
