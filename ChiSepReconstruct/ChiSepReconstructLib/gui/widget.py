"""Panel of the module ChiSepReconstruct."""

from __future__ import annotations

from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.gui.computation_widget import ComputationWidget

from .logic import ChiSepReconstructLogic
from .parameters import ReconstructParameterNode


class ChiSepReconstructWidget(ComputationWidget):
    """Asks for maps and a method and starts the reconstruction."""

    logicClass = ChiSepReconstructLogic
    parameterNodeClass = ReconstructParameterNode
    required = ("mapsFolder",)

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        given = self._parameterNode
        return self.logic.start(given.mapsFolder, method=given.method, output=given.output)
