"""Panel of the module ChiSeparation: the home page, which leads from DICOM to the result in four steps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import qt
import slicer
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError
from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.gui.computation_widget import ComputationWidget
from ChiSepPreprocessLib.gui.worker import Caution, Event, Result
from ChiSepPreprocessLib.progress import Status
from ChiSepReconstructLib.gui.logic import REFINABLE

from ..method_choice import AUTOMATIC
from . import steps
from .display_tools import DisplayTools
from .logic import ChiSeparationLogic
from .page_parameters import PageParameterNode
from .parameters import SeparationParameterNode
from .sample_data import PART, SimulatedPatientLogic, is_made, load_patient, patient_folder
from .steps import State
from .study_view import DropArea, StudyView

if TYPE_CHECKING:
    from .review.page import ReviewPage

#: Nodes often come by the dozen; the page looks at them once they have settled.
_SETTLE_MS = 200
#: Methods that refine, and the word that may become one of them.
CAN_REFINE = (AUTOMATIC, *REFINABLE)


class ChiSeparationWidget(ComputationWidget):
    """Leads through the four steps, runs them all at once, and shows the result."""

    logicClass = ChiSeparationLogic
    parameterNodeClass = SeparationParameterNode
    pageParameterNodeClass: ClassVar[Any] = PageParameterNode
    required = ("gre",)

    def __init__(self, parent: Any = None, logic: ChiSeparationLogic | None = None) -> None:
        self.patientLogic = SimulatedPatientLogic()
        self.study: StudyView | None = None
        self.tools: DisplayTools | None = None
        self._page: Any = None
        self._pageGuiTag: Any = None
        self._openStep = 0
        self._fraction = 0.0
        self._isSimulating = False
        self._settle: Any = None
        self._dropArea: DropArea | None = None
        self.review: ReviewPage | None = None
        ComputationWidget.__init__(self, parent, logic)

    # Life of the panel

    def initializeParameterNode(self) -> None:
        """Connect the page to the scene's parameters; the first time, bring its parts to life."""
        if self.study is None:
            self._buildPage()
        super().initializeParameterNode()

    def _buildPage(self) -> None:
        self._settle = qt.QTimer()
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.connect("timeout()", self.updatePage)
        self.ui.sampleButton.connect("clicked()", self.onSample)
        self.ui.pageTabs.connect("currentChanged(int)", self.onTab)
        for step, button in self._headings().items():
            button.connect("contentsCollapsed(bool)", partial(self.onStepFolded, step))
        for step, button in self._moduleButtons().items():
            button.connect("clicked()", partial(self.openModule, steps.MODULES[step]))
        self._dropArea = DropArea(self.onDropped)  # kept, or its Python half would go
        self.ui.loadButton.layout().insertWidget(1, self._dropArea)
        self.study = StudyView(self.ui, self.updatePage)
        self.tools = DisplayTools(self.ui, self.updatePage)
        scene = slicer.mrmlScene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self.onSceneChanged)

    def cleanup(self) -> None:
        """Let go of everything; called by Slicer before the module goes."""
        super().cleanup()
        if self.study is not None:
            self.study.close()
            self._settle.stop()
        if self.review is not None:
            self.review.cleanup()

    def setParameterNode(self, parameterNode: Any) -> None:
        """Connect the page to a parameter node, or to none."""
        if self._page is not None:
            self._page.disconnectGui(self._pageGuiTag)
        self._page = self._pageParameters() if parameterNode is not None else None
        self._openStep = 0
        if self._page is not None and self.tools is not None:
            self._pageGuiTag = self._page.connectParametersToGui(self.tools.widgets())
        super().setParameterNode(parameterNode)
        self._openTab()

    def _pageParameters(self) -> Any:
        return self.pageParameterNodeClass(self.logic.getParameterNode())

    def onSceneChanged(self, caller: Any = None, event: Any = None) -> None:
        """Look at the scene soon."""
        self._settle.start()

    # Lesions

    def onTab(self, index: int) -> None:
        """Open the tab that the user chose."""
        self._openTab()

    def _openTab(self) -> None:
        """Open the tab "Lesions" if it is to be seen, else leave it; its widgets are made the first time."""
        ui = self.ui
        isSeen = self._page is not None and ui.pageTabs.currentIndex == ui.pageTabs.indexOf(ui.lesionsPage)
        if isSeen and self.review is None:
            from .review.page import ReviewPage

            self.review = ReviewPage(ui.lesionsPage, self.resourcePath("UI/ChiSeparationLesions.ui"))
        if isSeen and self.review is not None:
            self.review.enter()
        elif self.review is not None:
            self.review.exit()

    # Steps

    def _headings(self) -> dict[int, Any]:
        ui = self.ui
        return {
            steps.LOAD: ui.loadButton,
            steps.MAPS: ui.mapsButton,
            steps.CHI: ui.chiButton,
            steps.VIEW: ui.viewButton,
        }

    def _moduleButtons(self) -> dict[int, Any]:
        ui = self.ui
        return {
            steps.LOAD: ui.loadModuleButton, steps.MAPS: ui.mapsModuleButton, steps.CHI: ui.chiModuleButton,
            steps.VIEW: ui.viewModuleButton,
        }  # fmt: skip

    def openModule(self, name: str, *clicked: Any) -> None:
        """Open the module with the details of a step."""
        slicer.util.selectModule(name)

    def onStepFolded(self, step: int, collapsed: bool) -> None:
        """Remember which step the user has opened, and fold the others."""
        if not collapsed and self._page is not None and self._page.step != step:
            self._page.step = step

    def onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        """Look again at what the page shows."""
        super().onParametersChanged(caller, event)
        self.updatePage()

    def _updateButtons(self) -> None:
        super()._updateButtons()
        self.ui.refineCheckBox.enabled = self._parameterNode is not None and self._parameterNode.method in CAN_REFINE
        self.ui.progressBar.visible = self.isBusy
        self.ui.sampleButton.enabled = self._page is not None and not self.isBusy
        self.updatePage()

    def updatePage(self) -> None:
        """Show how far the scene has come, and open the step that it remembers."""
        if self._page is None or self._parameterNode is None or self.study is None or self.tools is None:
            return
        given = self._parameterNode
        self.study.choose([path for path in (given.gre, given.grePhase, given.se, given.flair) if path])
        found = steps.newest(slicer.mrmlScene)
        for step, state in self._states(found).items():
            self._headings()[step].text = steps.heading(step, state)
        self.ui.mapsLabel.text = steps.maps_sentence(found)
        self.ui.chiLabel.text = steps.chi_sentence(found)
        self.ui.viewLabel.text = steps.view_sentence(found)
        self.ui.messagesCollapsibleButton.visible = bool(self.ui.messagesTextEdit.plainText)
        self._openOneStep(self._page.step)
        self.tools.update(self._page, found, self._page.step == steps.VIEW)

    def _states(self, found: dict[str, Any]) -> dict[int, State]:
        assert self.study is not None and self.tools is not None
        if self._job is not None and not self._isSimulating:
            return steps.running(self._fraction)
        reading = self.study.isReading
        complete = self.study.isComplete and not reading
        answer = steps.states(found, given=self.isReady(), complete=complete, shown=self.tools.isShown)
        if self._job is not None or (reading and answer[steps.LOAD] is not State.DONE):
            answer[steps.LOAD] = State.RUNNING
        return answer

    def _openOneStep(self, step: int) -> None:
        """Open a step once; the user may fold it again."""
        if step == self._openStep:
            return
        self._openStep = step
        for number, button in self._headings().items():
            button.collapsed = number != step

    # Images

    def onDropped(self, paths: list[str]) -> None:
        """Take a folder that was dropped."""
        if self._page is None:
            return
        if len(paths) == 1:
            self._parameterNode.gre = paths[0]
        else:
            self.ui.statusLabel.text = _("Drop one folder or one zip archive that holds the whole study.")

    def onSample(self) -> None:
        """Make the simulated patient, or load the one that was made before."""
        folder = patient_folder()
        if is_made(folder):
            self._loadPatient(Result(folder, ()))
        else:
            self._isSimulating = True
            self.begin(lambda: self.patientLogic.start_afresh(folder), self.takePatient)

    def optionalParts(self) -> tuple[str, ...]:
        """Give the parts whose packages are needed: the simulation has one of its own."""
        return (PART,) if self._isSimulating else ()

    def takePatient(self, job: Job) -> None:
        """Load the patient that was made."""
        self.nodes = job.nodes()
        self._sayLoaded()

    def _loadPatient(self, result: Result) -> None:
        try:
            self.nodes = dict(load_patient(result, self.patientLogic.folderName))
            self._sayLoaded()
        except (ChiSepError, OSError) as error:
            self._showError(error)

    def _sayLoaded(self) -> None:
        self.ui.statusLabel.text = _("The simulated patient is loaded; its DICOM files are the images of step 1.")

    # Run

    def onRun(self) -> None:
        """Run everything."""
        self._isSimulating, self._fraction = False, 0.0
        super().onRun()

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        given = self._parameterNode
        return self.logic.start(
            gre=given.gre, gre_phase=given.grePhase, se=given.se, flair=given.flair, mask=given.mask,
            method=given.method, r2prime_source=given.r2primeSource,
            refine=given.refine and given.method in CAN_REFINE, output=given.output, overwrite=given.overwrite,
        )  # fmt: skip

    def _showEvent(self, event: Event) -> None:
        super()._showEvent(event)
        if isinstance(event, Status):
            self._fraction = event.fraction
            self.updatePage()
        elif isinstance(event, Caution):
            self.ui.messagesCollapsibleButton.visible = True

    def takeResult(self, job: Job) -> None:
        """Load the maps, open the last step and show them; the user's own views keep what they show."""
        self.nodes = job.nodes()
        self.ui.statusLabel.text = _("Done: {count} volumes loaded.").format(count=len(self.nodes))
        page = self._page or self._pageParameters()  # the user may be in another module
        page.step = steps.VIEW
        self.updatePage()
        if self._page is not None and self.tools is not None and any(name in self.nodes for name in steps.CHI_MAPS):
            self.tools.show()
