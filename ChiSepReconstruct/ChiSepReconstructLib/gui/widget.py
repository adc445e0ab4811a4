"""Panel of the module ChiSepReconstruct."""

from __future__ import annotations

from typing import Any

import slicer

from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.gui.computation_widget import ComputationWidget
from ChiSepPreprocessLib.gui.worker import Event
from ChiSepPreprocessLib.progress import Status

from ..networks.devices import TIME_STEP
from .availability import Given
from .device_section import DeviceSection
from .input_section import InputSection
from .logic import ChiSepReconstructLogic, with_networks
from .method_section import MethodSection
from .option_section import OptionSection
from .parameters import ReconstructParameterNode
from .result_section import ResultSection
from .weights_section import WeightsSection


class ChiSepReconstructWidget(ComputationWidget):
    """Asks for maps and methods, starts the reconstruction and shows what it made."""

    logicClass = ChiSepReconstructLogic
    parameterNodeClass = ReconstructParameterNode

    def __init__(self, parent: Any = None, logic: Any = None) -> None:
        self._sections: tuple[Any, ...] = ()
        super().__init__(parent, logic)

    # Life of the panel

    def setup(self) -> None:
        """Build the panel; called once by Slicer."""
        super().setup()
        parts = (InputSection, MethodSection, WeightsSection, DeviceSection, OptionSection, ResultSection)
        self._sections = tuple(part(self.ui, self.logic) for part in parts)
        self.inputs, self.methods, self.weights, self.device, self.options, self.results = self._sections
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onParametersChanged)
        self._showTime("")
        self._updateButtons()

    def enter(self) -> None:
        """Connect to the scene; called by Slicer when the panel is opened."""
        super().enter()
        self.weights.refresh()  # the command line may have changed them
        self._updateButtons()

    def cleanup(self) -> None:
        """Let go of everything; called by Slicer before the module goes."""
        for section in self._sections:
            section.close()
        super().cleanup()

    # Parameters

    def isReady(self) -> bool:
        """Whether maps and methods are chosen, and the methods can run on them."""
        if self._parameterNode is None or not self._sections:
            return False
        return self.inputs.is_ready and bool(self.methods.names) and not self.methods.problems

    def _updateButtons(self) -> None:
        for section in self._sections:
            section.show(self._parameterNode)
        if self._sections and self._parameterNode is not None:
            self.methods.show_available(self._available())
        super()._updateButtons()
        if self._sections and self._parameterNode is not None and self.methods.problems:
            self.ui.runButton.toolTip = "\n".join(self.methods.problems)

    def _available(self) -> Given:
        inputs, given = self.inputs, self._parameterNode
        return Given(
            maps=inputs.maps if inputs.is_ready else None,
            sets=self.weights.usable,
            orientations=1 + len(inputs.orientations),
            r2prime_source=given.r2primeSource,
        )

    # Computation

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        given = self._parameterNode
        method = ",".join(self.methods.names)
        options = with_networks(self.options.content, method, weights=given.weights, resolution=given.resolution,
                                device=given.device)  # fmt: skip
        job: Job = self.inputs.start(
            self.logic.start, self.logic.start_from_volumes, method=method, r2prime_source=given.r2primeSource,
            refine=given.refine and self.methods.refines, options=options, output=given.output,
            overwrite=given.overwrite,
        )  # fmt: skip
        return job

    def onRun(self) -> None:
        """Start the computation; its time is told once the child process has tested the device."""
        self._showTime("")
        super().onRun()

    def takeResult(self, job: Job) -> None:
        """Load the result of a finished computation and offer it to be looked at."""
        super().takeResult(job)
        self.results.take(self.nodes)

    def _showEvent(self, event: Event) -> None:
        super()._showEvent(event)
        if isinstance(event, Status) and event.step == TIME_STEP:
            self._showTime(event.detail)

    def _showTime(self, text: str) -> None:
        self.ui.timeLabel.text = text
        self.ui.timeLabel.visible = bool(text)
