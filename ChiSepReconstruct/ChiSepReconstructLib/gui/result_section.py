"""Places to look at results: the linked layout, windows, colours, legend, blending; and two results compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError, InputError
from ChiSepPreprocessLib.scene.difference import add_difference
from ChiSepPreprocessLib.scene.layouts import restore_layout
from ChiSepPreprocessLib.scene.nodes import ARTIFACT, METHOD
from ChiSepPreprocessLib.scene.views import blend, show_comparison, show_maps
from ChiSepPreprocessLib.scene.volume_display import (
    choose_colors,
    choose_window,
    chosen_window,
    has_legend,
    reset_display,
    set_legend,
    window_choices,
)
from ChiSepPreprocessLib.scene.windows import COLOR_TITLES, color_tables

from .choice_box import ChoiceBox
from .section import Section

#: Artifacts that methods make, as people call them.
_MAPS = {"chi_para": "χ para", "chi_dia": "χ dia", "chi_total": "QSM"}


def results(artifact: str) -> list[Any]:
    """Volumes of the scene that hold an artifact made by a method, in the order in which they came."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetAttribute(ARTIFACT) == artifact and node.GetAttribute(METHOD)]


class ResultSection(Section):
    """Shows what was made."""

    def build(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._method = ChoiceBox(ui.shownMethodComboBox, self._on_method)
        self._artifact = ChoiceBox(ui.shownMapComboBox, lambda value: self._show_display())
        self._window = ChoiceBox(ui.windowComboBox, lambda value: self._on_display(choose_window, value))
        self._colors = ChoiceBox(ui.colorsComboBox, lambda value: self._on_display(choose_colors, value))
        self._compared = ChoiceBox(ui.comparedArtifactComboBox, self._on_compared, _MAPS)
        self._first = ChoiceBox(ui.firstResultComboBox, lambda value: self._keep_node("firstResult", value))
        self._second = ChoiceBox(ui.secondResultComboBox, lambda value: self._keep_node("secondResult", value))
        self._blend = -1.0
        self.say(ui.resultsErrorLabel, "")
        ui.legendCheckBox.connect("clicked()", lambda: self._on_display(set_legend, ui.legendCheckBox.checked))
        ui.resetDisplayButton.connect("clicked()", lambda: self._on_display(lambda node, value: reset_display(node), 0))
        ui.showMapsButton.connect("clicked()", self.show_maps)
        ui.compareButton.connect("clicked()", self.compare)
        ui.restoreLayoutButton.connect("clicked()", self.restore)

    # What there is

    def update(self) -> None:
        """Show what the scene holds."""
        given = self.given
        methods = dict.fromkeys(node.GetAttribute(METHOD) for name in _MAPS for node in results(name))
        self._method.fill({name: name for name in methods})
        self._method.show(given.shownMethod)
        self._artifact.fill({name: words for name, words in _MAPS.items() if name in self._shown_volumes()})
        self._compared.show(given.comparedArtifact)
        nodes = {node.GetID(): _in_words(node) for node in results(self._compared.value)}
        for box, node, at in ((self._first, given.firstResult, 0), (self._second, given.secondResult, 1)):
            box.fill(nodes)
            usual = list(nodes)[min(at, len(nodes) - 1)] if nodes else ""
            box.show(node.GetID() if node is not None and node.GetID() in nodes else usual)
        self.ui.compareButton.enabled = len(nodes) > 1
        self.ui.showMapsButton.enabled = bool(methods)
        self._show_display()
        if self._blend not in (-1.0, given.blend):
            self._try(lambda: blend(slicer.mrmlScene, given.blend))
        self._blend = given.blend

    def take(self, nodes: dict[str, Any]) -> None:
        """Show the method of a run that just ended."""
        made = [node.GetAttribute(METHOD) for name, node in nodes.items() if name in _MAPS]
        if made and self.given is not None:
            self.keep("shownMethod", made[0] or "")
            self.ui.resultsCollapsibleButton.collapsed = False
            self.update()

    def _shown_volumes(self) -> dict[str, Any]:
        """Newest volumes of the shown method, by artifact."""
        name = self._method.value
        return {key: node for key in _MAPS for node in results(key) if node.GetAttribute(METHOD) == name}

    def _on_method(self, value: str) -> None:
        self.keep("shownMethod", value)
        if self.given is not None:
            self.update()

    def _on_compared(self, value: str) -> None:
        self.keep("comparedArtifact", value)
        if self.given is not None:
            self.update()

    def _keep_node(self, name: str, node_id: str) -> None:
        self.keep(name, slicer.mrmlScene.GetNodeByID(node_id))

    # How one volume is shown

    def _show_display(self) -> None:
        node = self._shown_volumes().get(self._artifact.value)
        for widget in (self.ui.legendCheckBox, self.ui.resetDisplayButton):
            widget.enabled = node is not None
        if node is None:
            self._window.fill({})
            self._colors.fill({})
            return
        windows = {one.name: one.title for one in window_choices(node)}
        chosen = chosen_window(node)
        self._window.fill(windows if chosen else {"": _("As set by hand"), **windows})
        self._window.show(chosen)
        self._colors.fill({name: COLOR_TITLES[name] for name in color_tables(node.GetAttribute(ARTIFACT))})
        colors = node.GetDisplayNode().GetColorNode()
        self._colors.show(colors.GetName() if colors is not None else "")
        self.ui.legendCheckBox.checked = has_legend(node)

    def _on_display(self, change: Callable[[Any, Any], None], value: Any) -> None:
        node = self._shown_volumes().get(self._artifact.value)
        if node is not None and value != "":
            self._try(lambda: change(node, value))
            self._show_display()

    # Views

    def show_maps(self) -> None:
        """Bring FLAIR and the maps of the shown method to the screen, linked."""
        given = self.given
        if given is None:
            return
        volumes = {**self._shown_volumes(), **({"flair": given.flair} if given.flair is not None else {})}
        self._try(lambda: show_maps(slicer.mrmlScene, volumes, underlay=given.underlay, opacity=given.blend))

    def compare(self) -> None:
        """Bring two results and their difference to the screen, with one cursor."""
        self._try(self._compare)

    def _compare(self) -> None:
        scene = slicer.mrmlScene
        first, second = (scene.GetNodeByID(box.value) for box in (self._first, self._second))
        if first is None or second is None:
            self.update()
            raise InputError("results to compare", "one that is no longer in the scene", "two results", "Choose again.")
        self.keep("firstResult", first)
        self.keep("secondResult", second)
        show_comparison(scene, first, second, add_difference(scene, first, second))

    def restore(self) -> None:
        """Go back to the layout from before."""
        self._try(lambda: restore_layout(slicer.mrmlScene))

    def _try(self, act: Callable[[], Any]) -> None:
        """Do something with the views; say in the panel why it does not work."""
        self.say(self.ui.resultsErrorLabel, "")
        try:
            act()
        except ChiSepError as error:
            self.say(self.ui.resultsErrorLabel, str(error))


def _in_words(node: Any) -> str:
    return f"{node.GetAttribute(METHOD)} ({node.GetName()})"
