"""The installed sets of weights: which to use, import, download, remove."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError

from ..networks.weights.store import Entry, entries, remove
from ..networks.weights.weight_set import ROLES, WeightSet
from .child_task import ChildTask
from .choice_box import ChoiceBox
from .section import Section

_COLUMNS = (_("Set"), _("Trained on"), _("Licence"))


class WeightsSection(Section):
    """Lists sets and runs what changes them, in a child process."""

    def build(self) -> None:
        """Fill and connect the widgets."""
        ui = self.ui
        self.sets: tuple[Entry, ...] = ()
        self._offered: dict[str, Any] | None = None
        self.task = ChildTask(self.logic.start_task, self._tell)
        self._chosen = ChoiceBox(ui.weightsComboBox, lambda value: self.keep("weights", value))
        ui.weightsTable.setHorizontalHeaderLabels(_COLUMNS)
        ui.weightsTable.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        ui.weightsTable.connect("itemSelectionChanged()", self._show_buttons)
        ui.removeWeightsButton.connect("clicked()", self.remove)
        ui.importWeightsButton.connect("clicked()", self.import_files)
        ui.inspectWeightsButton.connect("clicked()", self.inspect)
        ui.downloadWeightsButton.connect("clicked()", self.download)
        ui.cancelWeightsButton.connect("clicked()", self.task.cancel)
        ui.weightsUrlLineEdit.connect("textChanged(QString)", self._forget_offer)
        self._tell("", 0.0)
        self.refresh()

    @property
    def usable(self) -> tuple[tuple[str, ...], ...]:
        """Roles of the networks of each sound set that may be used."""
        name = self.given.weights if self.given is not None else ""
        sound = [one for one in self.sets if one.weights is not None and name in ("", one.name)]
        return tuple(tuple(one.weights.networks) for one in sound if one.weights is not None)

    def update(self) -> None:
        """Show the chosen set, also one that is not here."""
        name = self.given.weights
        choices = {"": _("Automatic: the best that fits")} | {one.name: _in_words(one) for one in self.sets}
        self._chosen.fill(choices | ({name: _("{name} (not installed)").format(name=name)}
                                     if name not in choices else {}))  # fmt: skip
        self._chosen.show(name)

    def refresh(self) -> None:
        """Look again which sets there are."""
        try:
            self.sets = entries()
        except ChiSepError as error:
            self.sets = ()
            self._tell(str(error), 0.0)
        table = self.ui.weightsTable
        table.setRowCount(len(self.sets))
        for row, one in enumerate(self.sets):
            for column, text in enumerate(_row(one)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(_about(one))
                table.setItem(row, column, item)
        table.resizeRowsToContents()
        self._show_buttons()
        if self.given is not None:
            self.update()

    def _changed(self, name: str) -> None:
        """A set came."""
        self.refresh()
        self._tell(_("The set “{name}” is installed.").format(name=name), 1.0)
        if self.given is not None:
            self.given.parameterNode.Modified()  # methods may have got what they lacked

    def _tell(self, text: str, share: float) -> None:
        self.say(self.ui.weightsStatusLabel, text)
        self.ui.weightsProgressBar.value = round(100 * share)
        self._show_buttons()

    def _show_buttons(self) -> None:
        ui, idle = self.ui, not self.task.running
        row = ui.weightsTable.currentRow()
        is_own = 0 <= row < len(self.sets) and not self.sets[row].shipped
        ui.removeWeightsButton.enabled = idle and is_own
        ui.importWeightsButton.enabled = ui.inspectWeightsButton.enabled = idle
        ui.downloadWeightsButton.enabled = idle and self._offered is not None
        for widget in (ui.weightsProgressBar, ui.cancelWeightsButton):
            widget.visible = not idle

    def remove(self) -> None:
        """Delete the set of the chosen row, once the user has agreed."""
        one = self.sets[self.ui.weightsTable.currentRow()]
        question = _("Delete the set of weights “{name}” from this computer?").format(name=one.name)
        if not slicer.util.confirmOkCancelDisplay(question):
            return
        try:
            remove(one.name)
        except ChiSepError as error:
            self._tell(str(error), 0.0)
            return
        self.refresh()
        self._tell(_("The set “{name}” was deleted.").format(name=one.name), 0.0)
        if self.given is not None:
            self.given.parameterNode.Modified()

    def import_files(self) -> None:
        """Make a set of the files that the user named."""
        ui = self.ui
        edits = {"qsmnet": ui.qsmnetPathLineEdit, "r2primenet": ui.r2primenetPathLineEdit,
                 "chisepnet": ui.chisepnetPathLineEdit}  # fmt: skip
        files = {role: str(edits[role].currentPath) for role in ROLES if edits[role].currentPath}
        name, constants = ui.weightsNameLineEdit.text.strip(), str(ui.constantsPathLineEdit.currentPath)
        if not (name and files and constants):
            self._tell(_("Give a name, the file of constants, and at least one network."), 0.0)
            return
        inputs = [part.strip() for part in ui.chisepnetInputsLineEdit.text.split(",") if part.strip()]
        self.task.run("import_set", self._changed, name=name, files=files, constants=constants, inputs=inputs)
        self._show_buttons()

    def inspect(self) -> None:
        """Ask an address what it offers; nothing large is fetched."""
        self._forget_offer()
        self.task.run("inspect", self._show_offer, url=self.ui.weightsUrlLineEdit.text.strip())
        self._show_buttons()

    def _show_offer(self, answer: dict[str, Any]) -> None:
        self._offered = answer
        self.ui.offerTextEdit.plainText = "\n".join(_offer_lines(answer))
        self._show_buttons()

    def _forget_offer(self, text: str = "") -> None:
        self._offered = None
        self.ui.offerTextEdit.plainText = ""
        self._show_buttons()

    def download(self) -> None:
        """Fetch what is shown, under the licence that is shown."""
        if self._offered is not None:
            url = self.ui.weightsUrlLineEdit.text.strip()
            self.task.run("download", self._changed, url=url, manifest=self._offered["manifest"])
            self._show_buttons()

    def close(self) -> None:
        """Stop what runs."""
        self.task.close()


def _in_words(one: Entry) -> str:
    return f"{one.name}: {one.weights.title}" if one.weights is not None else _("{name} (broken)").format(name=one.name)


def _row(one: Entry) -> tuple[str, str, str]:
    if one.weights is None:
        return _("{name} (broken)").format(name=one.name), one.problem, ""
    title = _("{set} (came with the program)").format(set=_in_words(one)) if one.shipped else _in_words(one)
    return title, _trained_on(one.weights), one.weights.licence


def _trained_on(weights: WeightSet) -> str:
    edges = "×".join(f"{edge:g}" for edge in weights.voxel_size_mm)
    return f"{weights.training_domain}, {weights.field_strength_t:.4g} T, {edges} mm"


def _about(one: Entry) -> str:
    if one.weights is None:
        return one.problem
    lines = (one.weights.title, _trained_on(one.weights), ", ".join(one.weights.networks), one.weights.licence,
             one.weights.source)  # fmt: skip
    return "\n".join(lines)


def _offer_lines(answer: dict[str, Any]) -> list[str]:
    """Everything to know before agreeing: what, how large, hashes, licence."""
    manifest = answer["manifest"]
    files = [
        f"{one['file']}: {one['size_bytes'] / 1e6:.1f} MB, SHA-256 {one['sha256']}"
        for one in manifest["networks"].values()
    ]
    return [
        f"{manifest['name']}: {manifest['title']}",
        _("Trained on: {domain}").format(domain=manifest["training_domain"]),
        _("Licence: {licence}").format(licence=manifest["licence"]),
        _("Source: {source}").format(source=manifest["source"]),
        _("Size: {size:.1f} MB, of which {here:.1f} MB are here").format(
            size=answer["size_bytes"] / 1e6, here=answer["present_bytes"] / 1e6),
        *files,
    ]  # fmt: skip
