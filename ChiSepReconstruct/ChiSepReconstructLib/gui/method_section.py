"""The list of methods with check marks, and beside each method what it lacks."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from ..methods import METHODS, Method
from .availability import Given, lacks
from .choice_box import ChoiceBox
from .logic import AUTOMATIC, REFINABLE, expanded
from .section import Section

_SEPARATING = tuple(name for name, method in METHODS.items() if "chi_para" in method.gives)

#: Every choice, in the order of the list: the automatic one, networks, separations, QSM.
NAMES = tuple(dict.fromkeys((AUTOMATIC, *REFINABLE, *_SEPARATING, *METHODS)))


class MethodSection(Section):
    """Asks for one method or several, and where R2′ comes from."""

    def build(self) -> None:
        """Fill and connect the widgets."""
        self._showing = False
        self._available = Given()
        for name in NAMES:
            item = qt.QListWidgetItem(_title(name))
            item.setToolTip(_about(name))
            self.ui.methodsListWidget.addItem(item)
        self.ui.methodsListWidget.connect("itemChanged(QListWidgetItem*)", self._on_changed)
        words = {"maps": _("Of the maps"), "r2primenet": _("Made of R2* by the network R2PRIMEnet")}
        self._source = ChoiceBox(self.ui.r2primeSourceComboBox, lambda value: self.keep("r2primeSource", value), words)

    @property
    def names(self) -> tuple[str, ...]:
        """Chosen methods."""
        return tuple(name for name in self.given.method.split(",") if name) if self.given is not None else ()

    @property
    def refines(self) -> bool:
        """Whether one of the chosen methods can refine."""
        return bool(set(expanded(self.names)) & set(REFINABLE))

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the chosen methods cannot run, one sentence each."""
        return tuple(f"{_title(name)}: {' '.join(why)}" for name in self.names if (why := self._lacks(name)))

    def _lacks(self, name: str) -> tuple[str, ...]:
        return lacks(METHODS[name], self._available) if name in METHODS else ()

    def show_available(self, available: Given) -> None:
        """Say beside each method what it lacks."""
        self._available = available
        if self.given is None:
            return
        self._showing = True
        for row, name in enumerate(NAMES):
            self._show_item(self.ui.methodsListWidget.item(row), name)
        self._showing = False
        self._source.show(self.given.r2primeSource)
        self.ui.refineCheckBox.enabled = self.refines

    def show(self, given: Any) -> None:
        """Show parameters; without, nothing can be refined."""
        super().show(given)
        self.ui.refineCheckBox.enabled = self.refines

    def _show_item(self, item: Any, name: str) -> None:
        lacking, checked = self._lacks(name), name in self.names
        note = " ".join(lacking) if lacking else _NOTES.get(name, "")
        text = f"{_title(name)}\n{note}" if note else _title(name)
        if item.text() != text:
            item.setText(text)
        # What cannot run can only be unchecked.
        usable = not lacking or checked
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable if usable
                      else qt.Qt.NoItemFlags)  # fmt: skip
        item.setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)

    def _on_changed(self, item: Any) -> None:
        if self._showing or self.given is None:
            return
        items = [self.ui.methodsListWidget.item(row) for row in range(len(NAMES))]
        checked = [name for name, one in zip(NAMES, items, strict=True) if one.checkState() == qt.Qt.Checked]
        self.keep("method", ",".join(checked))


_NOTES = {
    AUTOMATIC: _(
        "χ-sepnet-R2′ where R2′ was measured, else χ-sepnet-R2*; the closed form where no weights fit the scan."
    )
}


def _title(name: str) -> str:
    return METHODS[name].title if name in METHODS else _("Automatic")


def _about(name: str) -> str:
    if name not in METHODS:
        return _("The program takes the best method that the maps and the installed weights allow, and says which.")
    method: Method = METHODS[name]
    return _("{name}. Needs: {needs}. Makes: {gives}. {paper}").format(
        name=name, needs=", ".join(method.needs), gives=", ".join(method.gives), paper=method.paper
    )
