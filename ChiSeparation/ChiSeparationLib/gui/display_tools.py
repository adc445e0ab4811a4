"""Step 4 of the home page: the views of the maps, their windows and colours, and places to jump to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ChiSepPreprocessLib.errors import ChiSepError
from ChiSepPreprocessLib.scene.labels import named_masks
from ChiSepPreprocessLib.scene.layouts import (
    FOUR_GRID,
    FOUR_ROW,
    Layout,
    composite_node,
    current_layout,
    restore_layout,
)
from ChiSepPreprocessLib.scene.session import current_scene
from ChiSepPreprocessLib.scene.views import blend, jump_to, show_maps
from ChiSepPreprocessLib.scene.volume_display import (
    choose_colors,
    choose_window,
    chosen_window,
    has_legend,
    set_legend,
    window_choices,
)
from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node
from ChiSepPreprocessLib.scene.windows import COLOR_TITLES, color_tables

from ..display.places import Place, approximate_places, places_of_regions
from .steps import CHI_MAPS, SHOWN


class DisplayTools:
    """Connects the widgets of step 4 to the scene.

    Parameters
    ----------
    ui : namespace
        The panel's widgets.
    changed : callable
        Called when another layout was chosen.
    """

    def __init__(self, ui: Any, changed: Callable[[], None]) -> None:
        self.ui, self._changed = ui, changed
        self._page: Any = None
        self._found: dict[str, Any] = {}
        self._applied: tuple[Any, ...] | None = None
        self._places: tuple[Place, ...] = ()
        self._places_of: tuple[Any, ...] = ()
        ui.gridLayoutButton.connect("clicked()", self.onGrid)
        ui.rowLayoutButton.connect("clicked()", self.onRow)
        ui.ownLayoutButton.connect("clicked()", self.onOwn)
        ui.mapComboBox.connect("currentIndexChanged(int)", self.onMap)
        ui.windowComboBox.connect("currentIndexChanged(int)", self.onWindow)
        ui.colorComboBox.connect("currentIndexChanged(int)", self.onColors)
        ui.placeComboBox.connect("activated(int)", self.onPlace)

    def widgets(self) -> dict[str, Any]:
        """Give the widgets by the name of their parameter."""
        return {
            "underlay": self.ui.underlayComboBox,
            "opacity": self.ui.opacitySlider,
            "legend": self.ui.legendCheckBox,
            "regions": self.ui.regionsComboBox,
        }

    def update(self, page: Any, found: dict[str, Any], is_open: bool) -> None:
        """Follow the scene and the parameters.

        Parameters
        ----------
        page : PageParameterNode
            The scene's.
        found : dict of str to vtkMRMLVolumeNode
            Of :func:`.steps.newest`.
        is_open : bool
            Whether the user sees the tools; what takes time waits for that.
        """
        self._page, self._found = page, found
        has_maps = any(name in found for name in CHI_MAPS)
        self.ui.gridLayoutButton.enabled = self.ui.rowLayoutButton.enabled = has_maps
        self.ui.ownLayoutButton.enabled = self.isShown
        self.ui.opacitySlider.enabled = page.underlay is not None
        names = [*(name for name in CHI_MAPS if name in found), *(name for name in found if name not in CHI_MAPS)]
        self._offer(self.ui.mapComboBox, [(name, name) for name in names if window_choices(found[name])])
        self._follow_map()
        self._apply()
        if is_open:
            self._offer_places()

    @property
    def isShown(self) -> bool:
        """Whether views of the maps are on the screen."""
        return current_layout(current_scene()) in (FOUR_GRID, FOUR_ROW)

    # Views

    def onGrid(self) -> None:
        """Show the maps two by two."""
        self.show(FOUR_GRID)

    def onRow(self) -> None:
        """Show the maps side by side."""
        self.show(FOUR_ROW)

    def onOwn(self) -> None:
        """Go back to the user's own views."""
        restore_layout(current_scene())
        self._changed()

    def show(self, layout: Layout = FOUR_GRID) -> None:
        """Show FLAIR and the maps in linked views, all of the brain."""
        self._show_legends()
        volumes = {name: self._found.get(name) for name in SHOWN}
        show_maps(
            current_scene(), volumes, layout=layout, underlay=self._page.underlay, opacity=self._page.opacity
        )  # fmt: skip
        self._changed()

    def _apply(self) -> None:
        """Let the views follow underlay, opacity and legends where those have changed."""
        wanted = (self._page.underlay, self._page.opacity, self._page.legend)
        before, self._applied = self._applied, wanted
        if before is None or wanted == before:
            return
        layout = current_layout(current_scene())
        if layout in (FOUR_GRID, FOUR_ROW) and wanted[0] is not before[0]:
            self._change_underlay(layout)
        blend(current_scene(), self._page.opacity)
        if wanted[2] != before[2]:
            self._show_legends()

    def _change_underlay(self, layout: Layout) -> None:
        """Put another image below the maps; the views stay where they are."""
        scene, underlay = current_scene(), self._page.underlay
        for view in layout.views:
            node = self._found.get(view.key)
            if node is None or view.key not in CHI_MAPS:
                continue
            below, above = (node, None) if underlay is None else (underlay, node)
            composite_node(scene, view).SetBackgroundVolumeID(below.GetID())
            composite_node(scene, view).SetForegroundVolumeID(above.GetID() if above is not None else None)

    def _show_legends(self) -> None:
        for name in CHI_MAPS:
            if name in self._found:
                set_legend(self._found[name], self._page.legend)

    # Window and colours

    def _node(self) -> Any:
        return self._found.get(self.ui.mapComboBox.currentData)

    def onMap(self, index: int) -> None:
        """Offer the windows and colours of another map."""
        self._follow_map()

    def _follow_map(self) -> None:
        """Show the window and the colours that the map has now; a range of the user's own is none of the presets."""
        node = self._node()
        windows = window_choices(node) if node is not None else ()
        tables = color_tables(self.ui.mapComboBox.currentData) if node is not None else ()
        self._offer(
            self.ui.windowComboBox, [(one.title, one.name) for one in windows], chosen_window(node) if node else ""
        )
        now = node.GetDisplayNode().GetColorNode() if node is not None else None
        self._offer(
            self.ui.colorComboBox, [(COLOR_TITLES[one], one) for one in tables], now.GetName() if now else ""
        )  # fmt: skip

    def onWindow(self, index: int) -> None:
        """Show the map with the chosen window."""
        if index >= 0:
            choose_window(self._node(), self.ui.windowComboBox.currentData)
            if has_legend(self._node()):
                set_legend(self._node(), True)  # its numbers follow the range

    def onColors(self, index: int) -> None:
        """Show the map in the chosen colours."""
        if index >= 0:
            choose_colors(self._node(), self.ui.colorComboBox.currentData)

    # Places

    def _offer_places(self) -> None:
        """Look for places again if what they come from is another."""
        source = self._page.regions or self._found.get("brain_mask")
        now = (source, source.GetMTime() if source is not None else 0)
        if now == self._places_of:
            return
        self._places_of = now
        try:
            self._places, note = self._find_places(source), ""
        except ChiSepError as error:
            self._places, note = (), str(error)
        self._offer(self.ui.placeComboBox, [(one.title, one.name) for one in self._places], "")
        self.ui.placeNoteLabel.text = note

    def _find_places(self, source: Any) -> tuple[Place, ...]:
        if source is None:
            return ()
        if self._page.regions is not None:
            return places_of_regions(named_masks(source))
        return approximate_places(array_from_node(source) > 0, grid_from_node(source))

    def onPlace(self, index: int) -> None:
        """Jump to the chosen place."""
        if 0 <= index < len(self._places):
            place = self._places[index]
            jump_to(current_scene(), place.position_ras)
            self.ui.placeNoteLabel.text = place.tooltip

    @staticmethod
    def _offer(box: Any, items: Iterable[tuple[str, str]], chosen: str | None = None) -> None:
        """Fill a combo box with titles and their data, silently; without a choice the one from before stays."""
        wanted = list(items)
        keep = box.currentData if chosen is None else chosen
        box.blockSignals(True)
        if [(box.itemText(at), box.itemData(at)) for at in range(box.count)] != wanted:
            box.clear()
            for title, data in wanted:
                box.addItem(title, data)
        at = box.findData(keep)
        box.setCurrentIndex(at if at >= 0 or chosen is not None else min(0, len(wanted) - 1))
        box.blockSignals(False)
