"""Panel of the module ChiSepReconstruct."""

from __future__ import annotations

from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.gui.computation_widget import ComputationWidget
from ChiSepPreprocessLib.gui.worker import Event
from ChiSepPreprocessLib.progress import Status

from ..networks.devices import TIME_STEP
from .logic import REFINABLE, ChiSepReconstructLogic
from .parameters import ReconstructParameterNode


class ChiSepReconstructWidget(ComputationWidget):
    """Asks for maps and a method and starts the reconstruction."""

    logicClass = ChiSepReconstructLogic
    parameterNodeClass = ReconstructParameterNode
    required = ("mapsFolder",)

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        given = self._parameterNode
        return self.logic.start(
            given.mapsFolder, method=given.method, r2prime_source=given.r2primeSource,
            refine=given.refine and given.method in REFINABLE, output=given.output,
        )  # fmt: skip

    def onRun(self) -> None:
        """Start the computation; its time is told once the child process has tested the device."""
        self.ui.timeLabel.text = ""
        super().onRun()

    def _updateButtons(self) -> None:
        super()._updateButtons()
        self.ui.refineCheckBox.enabled = self._parameterNode is not None and self._parameterNode.method in REFINABLE

    def _showEvent(self, event: Event) -> None:
        super()._showEvent(event)
        if isinstance(event, Status) and event.step == TIME_STEP:
            self.ui.timeLabel.text = event.detail
