"""Panel of the module ChiSeparation."""

from __future__ import annotations

from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.gui.computation_widget import ComputationWidget

from .logic import ChiSeparationLogic
from .parameters import SeparationParameterNode


class ChiSeparationWidget(ComputationWidget):
    """Asks for images and a method and starts the whole chain."""

    logicClass = ChiSeparationLogic
    parameterNodeClass = SeparationParameterNode
    required = ("gre",)

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        given = self._parameterNode
        return self.logic.start(
            gre=given.gre, gre_phase=given.grePhase, se=given.se, flair=given.flair, mask=given.mask,
            method=given.method, output=given.output, overwrite=given.overwrite,
        )  # fmt: skip
