"""The part of the modules' panels that they share: start, progress, cancel, errors, life of the scene."""

from __future__ import annotations

import traceback
from typing import Any, ClassVar

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from ..errors import CancelledError, ChiSepError
from ..progress import Status
from . import connectors as connectors  # registers the connector of the path edits
from .computation import ComputationLogic, Job
from .worker import Caution, Event

_POLL_MS = 100
#: Which of the loaded maps the slice views show: the first that is there.
_SHOWN = ("chi_para", "chi_total", "local_field", "r2star")


class ComputationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):  # type: ignore[misc]
    """Panel that starts one computation and shows how it goes.

    Parameters
    ----------
    parent : qWidget, optional
        Given by Slicer.
    logic : ComputationLogic, optional
        Does the work; by default the module's own.
    """

    logicClass: ClassVar[type[ComputationLogic]]
    parameterNodeClass: ClassVar[Any]
    #: Parameters that must be filled in before Run is enabled.
    required: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parent: Any = None, logic: ComputationLogic | None = None) -> None:
        self.logic: Any = logic or self.logicClass()
        self._parameterNode: Any = None
        self._parameterNodeGuiTag: Any = None
        self._job: Job | None = None
        self._timer: Any = None
        self.nodes: dict[str, Any] = {}
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        raise NotImplementedError

    # Life of the panel

    def setup(self) -> None:
        """Build the panel; called once by Slicer."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self.onPoll)
        self.ui.runButton.connect("clicked()", self.onRun)
        self.ui.cancelButton.connect("clicked()", self.onCancel)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Let go of everything; called by Slicer before the module goes."""
        self._abandonJob()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """Connect to the scene; called by Slicer when the panel is opened."""
        self.initializeParameterNode()

    def exit(self) -> None:
        """Disconnect from the scene; a running computation goes on."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Drop a computation whose result would have no scene to go to."""
        self._abandonJob()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Start afresh with the new scene."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    # Parameters

    def initializeParameterNode(self) -> None:
        """Connect the panel to the scene's parameters."""
        self.setParameterNode(self.parameterNodeClass(self.logic.getParameterNode()))

    def setParameterNode(self, parameterNode: Any) -> None:
        """Connect the panel to a parameter node, or to none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._parameterNodeGuiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._parameterNodeGuiTag = parameterNode.connectGui(self.ui)
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        self._updateButtons()

    def onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        """Look again at which buttons make sense."""
        self._updateButtons()

    def _updateButtons(self) -> None:
        given = self._parameterNode
        ready = given is not None and all(getattr(given, name) for name in self.required)
        self.ui.runButton.enabled = ready and self._job is None
        self.ui.runButton.toolTip = _("Start the computation.") if ready else _("Fill in the inputs first.")
        self.ui.cancelButton.enabled = self._job is not None

    # Computation

    def onRun(self) -> None:
        """Start the computation."""
        self.nodes = {}
        self.ui.messagesTextEdit.clear()
        self.ui.progressBar.value = 0
        self.ui.statusLabel.text = _("Starting…")
        try:
            self._job = self.startJob()
        except ChiSepError as error:
            self._showError(error)
        else:
            self._timer.start()
        self._updateButtons()

    def onCancel(self) -> None:
        """Stop the computation; the timer then clears up."""
        if self._job is not None:
            self._job.cancel()

    def onPoll(self) -> None:
        """Show what the computation reported; called by the timer."""
        if self._job is None:
            return
        finished = self._job.finished  # before poll, so that no last event is missed
        for event in self._job.poll():
            self._showEvent(event)
        if finished:
            self._finishJob()

    def _showEvent(self, event: Event) -> None:
        if isinstance(event, Status):
            self.ui.progressBar.value = round(100 * event.fraction)
            self.ui.statusLabel.text = f"{event.step}: {event.detail}" if event.detail else event.step
        elif isinstance(event, Caution):
            self.ui.messagesTextEdit.appendPlainText(event.message)

    def _finishJob(self) -> None:
        job, self._job = self._job, None
        self._timer.stop()
        assert job is not None
        try:
            with job:
                self.nodes = job.nodes()
            self._showNodes()
            self.ui.progressBar.value = 100
            self.ui.statusLabel.text = _("Done: {count} volumes loaded.").format(count=len(self.nodes))
        except CancelledError:
            self.ui.progressBar.value = 0
            self.ui.statusLabel.text = _("Cancelled.")
        except Exception as error:  # noqa: BLE001 - the last place where an error can be shown to the user
            self._showError(error)
        finally:
            self._updateButtons()

    def _showNodes(self) -> None:
        shown = next((self.nodes[name] for name in _SHOWN if name in self.nodes), None)
        if shown is not None:
            slicer.util.setSliceViewerLayers(background=shown, fit=True)

    def _showError(self, error: Exception) -> None:
        self.ui.progressBar.value = 0
        if isinstance(error, ChiSepError):
            message, details = str(error), getattr(error, "details", "")
        else:
            message = _("Something went wrong: {error}").format(error=error)
            details = "".join(traceback.format_exception(error))
        self.ui.statusLabel.text = message
        slicer.util.errorDisplay(message, detailedText=details)

    def _abandonJob(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            self._timer.stop()
            job.close()
            self.ui.progressBar.value = 0
            self.ui.statusLabel.text = _("Cancelled.")
