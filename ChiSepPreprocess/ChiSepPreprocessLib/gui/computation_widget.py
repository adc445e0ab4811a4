"""The part of the modules' panels that they share: packages, start, progress, cancel, errors, life of the scene.

A panel has ``runButton``, ``cancelButton``, ``progressBar``, ``statusLabel`` and ``messagesTextEdit``, and may have
``timeLeftLabel`` and, for what lies behind an error, ``detailsButton`` (a ``ctkCollapsibleButton``, hidden while there
is nothing) with ``detailsTextEdit``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
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
from .installation import ensure
from .requirements import Missing
from .time_left import TimeLeft, rounded_s
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
        self._take: Callable[[Job], None] = self.takeResult
        self._timeLeft = TimeLeft()
        self._isInstalling = False
        self._isInstallationCancelled = False
        self._timer: Any = None
        self.nodes: dict[str, Any] = {}
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        raise NotImplementedError

    def setupPanel(self, panel: Any) -> None:
        """Connect what is a panel's own, before its parameters are shown."""

    def optionalParts(self) -> tuple[str, ...]:
        """Give the parts beyond a plain run whose packages the computation needs (``requirements.OPTIONAL``)."""
        return ()

    def takeResult(self, job: Job) -> None:
        """Load the result of a finished computation, whose files are there until this returns."""
        self.nodes = job.nodes()
        shown = next((self.nodes[name] for name in _SHOWN if name in self.nodes), None)
        if shown is not None:
            slicer.util.setSliceViewerLayers(background=shown, fit=True)
        self.ui.statusLabel.text = _("Done: {count} volumes loaded.").format(count=len(self.nodes))

    # Life of the panel

    def setup(self) -> None:
        """Build the panel; called once by Slicer."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self._setBuddies()
        self.setupPanel(panel)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self.onPoll)
        self.ui.runButton.connect("clicked()", self.onRun)
        self.ui.cancelButton.connect("clicked()", self.onCancel)
        self._showDetails("")
        self._showTimeLeft()
        self.initializeParameterNode()

    def _setBuddies(self) -> None:
        """Let the underlined letter of ``nameLabel`` lead to the field ``name``."""
        for name, widget in vars(self.ui).items():
            label = getattr(self.ui, f"{name}Label", None)
            if label is not None:
                label.setBuddy(widget)

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

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """Show the parameters that came with a loaded scene."""
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

    def isReady(self) -> bool:
        """Whether everything is filled in that the computation needs."""
        given = self._parameterNode
        return given is not None and all(getattr(given, name) for name in self.required)

    @property
    def isBusy(self) -> bool:
        """Whether something is computed or installed."""
        return self._job is not None or self._isInstalling

    def _updateButtons(self) -> None:
        ready = self.isReady()
        self.ui.runButton.enabled = ready and not self.isBusy
        self.ui.runButton.toolTip = _("Start the computation.") if ready else _("Fill in the inputs first.")
        self.ui.cancelButton.enabled = self.isBusy

    # Computation

    def onRun(self) -> None:
        """Start the computation."""
        self.nodes = {}
        self.begin(self.startJob, self.takeResult)

    def begin(self, start: Callable[[], Job], take: Callable[[Job], None]) -> None:
        """Start a job, once the packages are there that it needs; then show how it goes.

        Parameters
        ----------
        start : callable
            Starts the job.
        take : callable
            Receives the job when it has ended well.
        """
        if self.isBusy:
            return
        self.ui.messagesTextEdit.clear()
        self._showDetails("")
        self.ui.progressBar.value = 0
        self.ui.statusLabel.text = _("Starting…")
        try:
            self._installMissing()
            self._job, self._take, self._timeLeft = start(), take, TimeLeft()
            self._timer.start()
        except CancelledError:
            self._showCancelled()
        except Exception as error:  # noqa: BLE001 - the last place where an error can be shown to the user
            self._showError(error)
        self._updateButtons()

    def onCancel(self) -> None:
        """Stop the computation; the timer then clears up."""
        self._isInstallationCancelled = True
        if self._job is not None:
            self._job.cancel()

    def onPoll(self) -> None:
        """Show what the computation reported; called by the timer."""
        if self._job is None:
            return
        finished = self._job.finished  # before poll, so that no last event is missed
        for event in self._job.poll():
            self._showEvent(event)
        self._showTimeLeft()
        if finished:
            self._finishJob()

    def _finishJob(self) -> None:
        job, self._job = self._job, None
        self._timer.stop()
        self._showTimeLeft()
        assert job is not None
        try:
            with job:
                self._take(job)
            self.ui.progressBar.value = 100
        except CancelledError:
            self._showCancelled()
        except Exception as error:  # noqa: BLE001 - the last place where an error can be shown to the user
            self._showError(error)
        finally:
            self._updateButtons()

    def _abandonJob(self) -> None:
        self._isInstallationCancelled = True
        job, self._job = self._job, None
        if job is not None:
            self._timer.stop()
            job.close()
            self._showTimeLeft()
            self._showCancelled()

    # Packages

    def _installMissing(self) -> None:
        """Install what is missing if the user agrees; the window lives meanwhile."""
        self._isInstalling, self._isInstallationCancelled = True, False
        self._updateButtons()
        try:
            ensure(*self.optionalParts(), ask=self._askToInstall, progress=self._showInstallation)
        finally:
            self._isInstalling = False
        if self._parameterNode is None:  # the scene or the panel was closed meanwhile
            raise CancelledError("The panel was closed.")

    def _askToInstall(self, lacking: Sequence[Missing]) -> bool:
        names = "\n".join(f"• {one}" for one in lacking)
        question = _("The computation needs Python packages that are not installed:\n\n{names}\n\nInstall them now?")
        return bool(slicer.util.confirmOkCancelDisplay(question.format(names=names)))

    def _showInstallation(self, status: Status) -> bool:
        if not self._isInstallationCancelled:
            self.ui.progressBar.value = round(100 * status.fraction)
            self.ui.statusLabel.text = _("Installing: {what}").format(what=status.detail or status.step)
        return not self._isInstallationCancelled

    # What the panel shows

    def _showEvent(self, event: Event) -> None:
        if isinstance(event, Status):
            self._timeLeft.report(event.fraction)
            self.ui.progressBar.value = round(100 * event.fraction)
            self.ui.statusLabel.text = f"{event.step}: {event.detail}" if event.detail else event.step
        elif isinstance(event, Caution):
            self.ui.messagesTextEdit.appendPlainText(event.message)

    def _showTimeLeft(self) -> None:
        label = getattr(self.ui, "timeLeftLabel", None)
        if label is not None:
            seconds = self._timeLeft.seconds() if self._job is not None else None
            label.text = "" if seconds is None else _timeLeftText(rounded_s(seconds))

    def _showCancelled(self) -> None:
        self.ui.progressBar.value = 0
        self.ui.statusLabel.text = _("Cancelled.")

    def _showError(self, error: Exception) -> None:
        """Say in one sentence what went wrong; no window stands in the way."""
        self.ui.progressBar.value = 0
        if isinstance(error, ChiSepError):
            message, details = str(error), getattr(error, "details", "")
        else:
            message = _("Something went wrong: {error}").format(error=error)
            details = "".join(traceback.format_exception(error))
        self.ui.statusLabel.text = message
        if not self._showDetails(details):
            slicer.util.errorDisplay(message, detailedText=details)

    def _showDetails(self, details: str) -> bool:
        """Fill the fold with what lies behind an error; ``False`` if the panel has none."""
        if not hasattr(self.ui, "detailsButton"):
            return False
        self.ui.detailsTextEdit.plainText = details
        self.ui.detailsButton.collapsed = True
        self.ui.detailsButton.visible = bool(details)
        return True


def _timeLeftText(seconds: int) -> str:
    if seconds < 60:
        return _("About {seconds} s left").format(seconds=seconds)
    return _("About {minutes} min left").format(minutes=seconds // 60)
