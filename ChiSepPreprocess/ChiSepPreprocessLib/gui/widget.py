"""Panel of the module ChiSepPreprocess."""

from __future__ import annotations

from .computation import Job
from .computation_widget import ComputationWidget
from .logic import ChiSepPreprocessLogic
from .parameters import PreprocessParameterNode


class ChiSepPreprocessWidget(ComputationWidget):
    """Asks for images and starts the computation of the maps."""

    logicClass = ChiSepPreprocessLogic
    parameterNodeClass = PreprocessParameterNode
    required = ("gre",)

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        given = self._parameterNode
        return self.logic.start(
            gre=given.gre, gre_phase=given.grePhase, se=given.se, mask=given.mask,
            output=given.output, overwrite=given.overwrite,
        )  # fmt: skip
