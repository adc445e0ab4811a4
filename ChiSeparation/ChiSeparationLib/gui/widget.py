"""Panel of the module ChiSeparation."""

from __future__ import annotations

from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.gui.computation_widget import ComputationWidget
from ChiSepReconstructLib.gui.logic import REFINABLE

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
            method=given.method, r2prime_source=given.r2primeSource,
            refine=given.refine and given.method in REFINABLE, output=given.output, overwrite=given.overwrite,
        )  # fmt: skip

    def _updateButtons(self) -> None:
        super()._updateButtons()
        self.ui.refineCheckBox.enabled = self._parameterNode is not None and self._parameterNode.method in REFINABLE
