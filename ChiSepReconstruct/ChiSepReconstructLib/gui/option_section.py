"""The table of the options of one of the chosen methods."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import qt
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import InputError

from ..methods import METHODS
from .choice_box import ChoiceBox
from .logic import expanded
from .option_fields import OptionField, as_text, changed, fields_of, from_text, value_of
from .section import Section


class OptionSection(Section):
    """Shows options with their values, takes other ones if the method accepts them, and explains them."""

    def build(self) -> None:
        """Connect the widgets."""
        self._method = ChoiceBox(self.ui.optionsMethodComboBox, lambda value: self._show_table())
        self._rows: tuple[OptionField, ...] = ()
        self._shown = ""
        self._showing = False
        self.say(self.ui.optionHelpLabel, "")
        self.say(self.ui.optionsErrorLabel, "")
        table = self.ui.optionsTable
        table.setHorizontalHeaderLabels([_("Option"), _("Value")])
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("cellChanged(int,int)", self._on_edited)
        table.connect("currentCellChanged(int,int,int,int)", self._explain)
        self.ui.resetOptionsButton.connect("clicked()", self.reset)

    @property
    def content(self) -> dict[str, dict[str, Any]]:
        """Options by method, those alone that differ from the defaults.

        Raises
        ------
        InputError
            If the scene holds something else.
        """
        try:
            content = json.loads(self.given.options or "{}")
            for name, one in content.items():
                METHODS[name].options(one)
        except (ValueError, AttributeError, KeyError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError("options in the scene", "something else", "options of methods by name",
                             "Press “Reset to defaults”.") from error  # fmt: skip
        return dict(content)

    def update(self) -> None:
        """Offer the chosen methods."""
        names = expanded([name for name in self.given.method.split(",") if name])
        self._method.fill({name: METHODS[name].title for name in names if name in METHODS})
        self._show_table()

    def _show_table(self) -> None:
        """Fill the table anew if it has to show something else."""
        name = self._method.value
        content = self._content_or_none()
        state = _state(name, content)
        if state == self._shown:
            return
        self._shown, self._showing = state, True
        self._rows = fields_of(METHODS[name]) if name else ()
        table, own = self.ui.optionsTable, (content or {}).get(name, {})
        table.setRowCount(0)  # with the combo boxes in the cells
        table.setRowCount(len(self._rows))
        for row, field in enumerate(self._rows):
            self._fill_row(row, field, value_of(own, field))
        table.resizeColumnToContents(0)
        self.ui.resetOptionsButton.enabled = content is None or bool(own)
        self._showing = False

    def _content_or_none(self) -> dict[str, dict[str, Any]] | None:
        try:
            return self.content if self.given is not None else {}
        except InputError as error:
            self.say(self.ui.optionsErrorLabel, str(error))
            return None

    def _fill_row(self, row: int, field: OptionField, value: Any) -> None:
        table = self.ui.optionsTable
        name = qt.QTableWidgetItem(field.name)
        name.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
        name.setToolTip(field.explanation)
        table.setItem(row, 0, name)
        if field.choices:
            box = qt.QComboBox()
            box.toolTip = field.explanation
            box.addItems([_in_words(one) for one in field.choices])
            box.connect("activated(int)", lambda index: self._take(row, field.choices[index]))
            table.setCellWidget(row, 1, box)
        else:
            item = qt.QTableWidgetItem()
            words = _("{explanation} Default: {value}").format(
                explanation=field.explanation, value=as_text(field.default) or _("automatic")
            )
            item.setToolTip(words)
            table.setItem(row, 1, item)
        self._show_value(row, value)

    def _show_value(self, row: int, value: Any) -> None:
        field, before, self._showing = self._rows[row], self._showing, True
        if field.choices:
            index = field.choices.index(value) if value in field.choices else -1
            self.ui.optionsTable.cellWidget(row, 1).currentIndex = index
        else:
            self.ui.optionsTable.item(row, 1).setText(as_text(value))
        self._showing = before

    def _on_edited(self, row: int, column: int) -> None:
        if not self._showing and column == 1:
            self._take(row, from_text(self._rows[row], self.ui.optionsTable.item(row, 1).text()))

    def _take(self, row: int, value: Any) -> None:
        """Keep a value, if the method accepts it; else say why not and show the old one."""
        if self.given is None:
            return
        name, content, field = self._method.value, self._content_or_none() or {}, self._rows[row]
        own = content.get(name, {})
        try:
            METHODS[name].options(changed(own, field, value))
        except InputError as error:
            self.say(self.ui.optionsErrorLabel, str(error))
        else:
            own = changed(own, field, value)
            self.say(self.ui.optionsErrorLabel, "")
            self._keep(content, name, own)
        self._show_value(row, value_of(own, field))

    def _keep(self, content: Mapping[str, Any], name: str, own: Mapping[str, Any]) -> None:
        every = {key: one for key, one in {**content, name: own}.items() if one}
        # Not filled anew on this account: the cell that changed is still in use.
        self._shown = _state(name, every)
        self.ui.resetOptionsButton.enabled = bool(own)
        self.keep("options", json.dumps(every) if every else "")

    def reset(self) -> None:
        """Go back to the defaults of the shown method, of all of them if the options cannot be read."""
        content = self._content_or_none()
        self.say(self.ui.optionsErrorLabel, "")
        self._keep(content or {}, self._method.value, {})
        self._shown = ""
        self._show_table()

    def _explain(self, row: int, column: int, old_row: int, old_column: int) -> None:
        known = 0 <= row < len(self._rows)
        self.say(self.ui.optionHelpLabel, self._rows[row].explanation if known else "")


def _state(name: str, content: Mapping[str, Any] | None) -> str:
    """What tells whether the table is up to date."""
    return f"{name} {content}"


def _in_words(choice: Any) -> str:
    return {True: _("yes"), False: _("no")}.get(choice, as_text(choice))
