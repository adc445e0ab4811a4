"""What the slice views show: layout, method, outlines, reference region, and the flicker between two methods."""

from __future__ import annotations

from ChiSepPreprocessLib.errors import ChiSepError
from ChiSepPreprocessLib.scene.layouts import FOUR_GRID, FOUR_ROW, Layout
from ChiSepReconstructLib.gui.choice_box import ChoiceBox

from ...scene.review_views import Outlines
from .section import ReviewSection


class ViewSection(ReviewSection):
    """Chooses the maps, and what is drawn over them."""

    def build(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._shown = ChoiceBox(ui.pipelineComboBox, self.onPipeline)
        self._other = ChoiceBox(ui.otherPipelineComboBox, lambda name: self.keep("otherPipeline", name))
        ui.layoutButton.connect("clicked()", self.onRow)
        ui.gridButton.connect("clicked()", self.onGrid)
        ui.flickerButton.connect("clicked()", self.flicker)
        self.say(ui.viewNoteLabel, "")

    def update(self) -> None:
        """Show which methods there are, and draw what is wanted."""
        ui, desk = self.ui, self.desk
        names = {name: desk.title(name) for name in desk.pipelines}
        self._shown.fill(names)
        self._shown.show(desk.pipeline)
        others = {name: title for name, title in names.items() if name != desk.pipeline}
        self._other.fill(others)
        self._other.show(self.given.otherPipeline)
        blinded = self.given.blinded
        ui.pipelineComboBox.enabled = bool(names) and not blinded
        for one in (ui.otherPipelineLabel, ui.otherPipelineComboBox, ui.flickerButton):
            one.visible = bool(others) and not blinded
        ui.seedLabel.visible = ui.seedSpinBox.visible = blinded
        ui.layoutButton.enabled = ui.gridButton.enabled = bool(names)
        self._draw()

    def look(self) -> None:
        """Show the method of the lesion that is shown."""
        self._shown.show(self.desk.pipeline)
        self.ui.flickerButton.checked = bool(self.desk.compared)
        self._tell()

    def _draw(self) -> None:
        """Draw outlines and reference region where that has changed."""
        views = self.desk.views
        if views is None:
            return
        outlines = Outlines.ALL if self.given.outlines else Outlines.NONE
        if views.outlines is not outlines:
            views.set_outlines(outlines)
        if views.reference != self.given.reference:
            views.set_reference(self.given.reference)
        self._tell()

    def _tell(self) -> None:
        views = self.desk.views
        self.say(self.ui.viewNoteLabel, views.reference_problem if views is not None else "")

    def onRow(self) -> None:
        """Show the maps side by side."""
        self._show(FOUR_ROW)

    def onGrid(self) -> None:
        """Show the maps two by two."""
        self._show(FOUR_GRID)

    def _show(self, layout: Layout) -> None:
        try:
            self.desk.views.show(layout, self.desk.pipeline)
        except ChiSepError as error:
            self.say(self.ui.viewNoteLabel, str(error))

    def onPipeline(self, name: str) -> None:
        """Show and grade the maps of another method."""
        self.keep("pipeline", name)
        self.desk.show_pipeline_again()

    def flicker(self) -> None:
        """Show the other method's maps in the same place, or the first ones again."""
        self.desk.flicker(self._other.value)
        self.ui.flickerButton.checked = bool(self.desk.compared)

    def toggle_outlines(self) -> None:
        """Draw the lesions' outlines, or not."""
        self.ui.outlinesCheckBox.click()

    def toggle_reference(self) -> None:
        """Draw the reference region, or not."""
        self.ui.referenceCheckBox.click()
