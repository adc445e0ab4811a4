"""Panel of the module ChiSepPreprocess."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from .computation import Job
from .computation_widget import ComputationWidget
from .folder_drop import FolderDrop
from .logic import ChiSepPreprocessLogic
from .mask_node import load_mask, reference_of, write_mask
from .node_images import ROLES
from .parameters import FOLDER, NODES, PreprocessParameterNode
from .quality_section import QualitySection
from .statements import AS_STORED, STATEMENTS, needed_statements, times_s
from .step_options import PLACES, STEPS, changed_steps, defaults, options_file
from .study_section import StudySection

_MASK = "brainMask"


class ChiSepPreprocessWidget(ComputationWidget):
    """Asks for images and options and starts the computation of the maps."""

    logicClass = ChiSepPreprocessLogic
    parameterNodeClass = PreprocessParameterNode
    required = ()

    def __init__(self, parent: Any = None, logic: ChiSepPreprocessLogic | None = None) -> None:
        self._refused = ""
        self._kept: Path | None = None
        self._maskFile: tuple[tuple[str, int], Path] | None = None
        self._startedWith: dict[str, Any] = {}
        self._ranWith: dict[str, Any] = {}
        self._isShowing = False
        ComputationWidget.__init__(self, parent, logic)

    # Life of the panel

    def setupPanel(self, panel: Any) -> None:
        """Connect what is this panel's own."""
        self._study = StudySection(self.ui, self.onStudyChanged)
        self._quality = QualitySection(self.ui)
        self._drop = FolderDrop(panel, self.onFolderDropped)
        for role in (*ROLES, _MASK):
            box = self._nodeBox(role)
            box.connect("currentNodeChanged(vtkMRMLNode*)", lambda node, role=role: self.onNode(role, node))
        for step in STEPS:
            self._againButton(step).connect("clicked()", self.onRunAgain)
        self.ui.readAgainButton.connect("clicked()", self._study.read_again)
        self.ui.presetComboBox.connect("activated(int)", self.onPreset)  # by the user only, not by a scene
        self.ui.resetButton.connect("clicked()", self.onReset)
        self.ui.makeMaskButton.connect("clicked()", self.onMakeMask)
        self.ui.editMaskButton.connect("clicked()", self.onEditMask)

    def cleanup(self) -> None:
        """Let go of everything; called by Slicer before the module goes."""
        super().cleanup()
        self._forgetRun()
        self._study.clear()
        self._quality.clear()

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """Drop what belongs to the scene."""
        super().onSceneStartClose(caller, event)
        self._forgetRun()
        self._study.clear()
        self._quality.clear()

    def setParameterNode(self, parameterNode: Any) -> None:
        """Connect the panel to a parameter node, or to none."""
        self._isShowing = True
        try:
            super().setParameterNode(parameterNode)
            for role in (*ROLES, _MASK):
                self._nodeBox(role).setCurrentNode(self._node(role))
        finally:
            self._isShowing = False
        self.onParametersChanged()

    def _nodeBox(self, role: str) -> Any:
        return getattr(self.ui, f"{role}NodeComboBox")

    def _againButton(self, step: str) -> Any:
        return getattr(self.ui, f"{step}AgainButton")

    def _node(self, role: str) -> Any:
        """Node that was chosen, kept as a reference so that it survives saving and loading."""
        given = self._parameterNode
        return None if given is None else self.logic.getParameterNode().GetNodeReference(role)

    # What the user does

    def onNode(self, role: str, node: Any) -> None:
        """Keep a chosen node in the scene."""
        if self._parameterNode is None or self._isShowing:
            return
        self.logic.getParameterNode().SetNodeReferenceID(role, node.GetID() if node is not None else None)
        self._updateButtons()

    def onFolderDropped(self, path: str) -> None:
        """Take a folder as input."""
        if self._parameterNode is not None:
            self._parameterNode.source = FOLDER
            self._parameterNode.gre = path

    def onStudyChanged(self) -> None:
        """Keep what series are used as."""
        if self._parameterNode is not None:
            self._parameterNode.uses = self._study.choice()
        self._updateButtons()

    def onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        """Follow the parameters."""
        given = self._parameterNode
        if given is not None:
            self._refused = ""
            paths = (given.gre, given.grePhase, given.se) if given.source == FOLDER else ()
            self._study.follow(paths, given.uses)
        self._updateButtons()

    def onReset(self) -> None:
        """Give all options of the steps their defaults."""
        self._setValues({"preset": "best", **defaults()})

    def onPreset(self, index: int) -> None:
        """Give all options of the steps the values of the set that the user chose."""
        self._setValues(defaults(self._parameterNode.preset))

    def _setValues(self, values: Mapping[str, Any]) -> None:
        node = self._parameterNode.parameterNode
        before = node.StartModify()
        for name, value in values.items():
            setattr(self._parameterNode, name, value)
        node.EndModify(before)

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self._parameterNode, name) for name in PLACES}

    # Which widgets make sense

    def isReady(self) -> bool:
        """Whether the images are given."""
        given = self._parameterNode
        if given is None:
            return False
        if given.source == NODES:
            return self._node("magnitude") is not None and self._node("phase") is not None
        return bool(given.gre) and not (self._study.is_reading and self._study.chosen)

    def _updateButtons(self) -> None:
        super()._updateButtons()
        given = self._parameterNode
        if given is None:
            return
        self.ui.folderWidget.visible = given.source == FOLDER
        self.ui.nodesWidget.visible = given.source == NODES
        self._showStatements()
        self.ui.makeMaskButton.enabled = self.ui.runButton.enabled
        mask = self._node(_MASK)
        self.ui.editMaskButton.enabled = mask is not None and mask.IsA("vtkMRMLSegmentationNode")
        self.ui.vsharpRadiusSpinBox.enabled = given.backgroundMethod == "v-sharp"
        self.ui.pseudoR2SpinBox.enabled = given.withoutSpinEcho == "pseudo-r2"
        self.ui.r2primeShareSpinBox.enabled = given.withoutSpinEcho == "scaled-r2star"
        self._showWhatCanRunAgain()

    def _showStatements(self) -> None:
        """Show a field for what the images do not say, and for what is stated already."""
        nodes = {role: self._node(role) for role in ROLES} if self._parameterNode.source == NODES else {}
        needed = needed_statements(self._parameterNode, self._study.study, nodes, self._refused)
        for name in STATEMENTS:
            getattr(self.ui, f"{name}Row").visible = name in needed
        self.ui.statementsGroupBox.visible = bool(needed)

    def _showWhatCanRunAgain(self) -> None:
        changed = changed_steps(self._values(), self._ranWith) if self._ranWith else frozenset()
        for step in STEPS:
            button = self._againButton(step)
            button.enabled = step in changed and self.ui.runButton.enabled
            if not self._ranWith:
                button.toolTip = _("Possible after a run of images that lie in files.")
            elif step in changed:
                button.toolTip = _("Compute this step and those that follow from it; all other maps are kept.")
            else:
                button.toolTip = _("The options of this step are those of the last run.")

    # Computation

    def optionalParts(self) -> tuple[str, ...]:
        """Give the parts whose packages are needed."""
        return ("denoise",) if self._parameterNode.denoise else ()

    def startJob(self) -> Job:
        """Start the computation with the panel's parameters."""
        self._forgetRun()
        self._startedWith = self._values() if self._parameterNode.source == FOLDER else {}
        return self._start(self._outputFolder(), overwrite=self._parameterNode.overwrite)

    def onRunAgain(self) -> None:
        """Compute again what the changed options touch."""
        self._startedWith = self._values()
        self.nodes = {}
        self.begin(lambda: self._start(self._outputFolder(), overwrite=True), self.takeResult)

    def onMakeMask(self) -> None:
        """Find the brain, for the user to check before the long part."""
        self.begin(lambda: self._start(None, until="brain_mask", with_mask=False), self.takeMask)

    def _start(self, output: Path | str | None, *, with_mask: bool = True, **others: Any) -> Job:
        given, name = self._parameterNode, self._parameterNode.preset
        options = options_file(self._values(), name)
        mask = self._maskPath() if with_mask else None
        if mask is not None and self._node(_MASK) is not None:
            # The rim was taken off when the mask was made; what the user drew stays.
            options.setdefault("preprocess", {}).setdefault("mask", {})["erosion_mm"] = 0.0
        stated: dict[str, Any] = {
            "echo_times_s": times_s("echo times", given.echoTimes),
            "se_echo_times_s": times_s("spin echo times", given.seEchoTimes),
            "field_strength_t": given.fieldStrength or None,
            "phase_unit": None if given.phaseUnit == AS_STORED else given.phaseUnit,
            "flip_phase_sign": given.flipPhase,
        }
        common = {"options": options, "preset": name, "output": output, "mask": mask, **stated, **others}
        if given.source == NODES:
            nodes = {role: node for role in ROLES if (node := self._node(role)) is not None}
            return self.logic.start_from_nodes(
                nodes, database=getattr(slicer, "dicomDatabase", None), in_scanner_space=given.inScannerSpace,
                se_is_turbo=given.seIsTurbo, **common,
            )  # fmt: skip
        images = self._study.inputs() or {"gre": given.gre, "gre_phase": given.grePhase, "se": given.se}
        return self.logic.start(**{"gre": None, **images, **common})

    def _outputFolder(self) -> Path | str:
        """Folder for the maps: the user's, or one that is kept until the next run so that steps can run again."""
        if self._parameterNode.output:
            return str(self._parameterNode.output)
        if self._kept is None:
            self._kept = Path(tempfile.mkdtemp(prefix="chisep-maps-"))
        return self._kept

    def _forgetRun(self) -> None:
        self._ranWith = {}
        for folder in (self._kept, self._maskFile[1].parent if self._maskFile else None):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        self._kept, self._maskFile = None, None

    def _maskPath(self) -> Path | str | None:
        """File of the mask: the chosen node as it is now, else the file that the user named."""
        node = self._node(_MASK)
        if node is None:
            return self._parameterNode.mask or None
        shown = node.GetSegmentation() if node.IsA("vtkMRMLSegmentationNode") else node.GetImageData()
        state = (node.GetID(), shown.GetMTime())
        if self._maskFile is None or self._maskFile[0] != state:  # an unchanged file lets steps run again
            path = Path(tempfile.mkdtemp(prefix="chisep-mask-")) / "brain_mask.nii"
            write_mask(node, path)
            if self._maskFile is not None:
                shutil.rmtree(self._maskFile[1].parent, ignore_errors=True)
            self._maskFile = (state, path)
        return self._maskFile[1]

    # Results

    def takeResult(self, job: Job) -> None:
        """Load the maps and show the quality page."""
        super().takeResult(job)
        self._ranWith = self._startedWith
        self._quality.show(job.output)

    def takeMask(self, job: Job) -> None:
        """Load the mask as a segmentation on the magnitude, choose it for the run, and show both."""
        mask, magnitude = load_mask(slicer.mrmlScene, job.output / "maps", self.logic.folderName)
        self._nodeBox(_MASK).setCurrentNode(mask)
        slicer.util.setSliceViewerLayers(background=magnitude, label=None, fit=True)
        self.ui.statusLabel.text = _("The mask is made. Check it, edit it if need be, then compute the maps.")

    def onEditMask(self) -> None:
        """Open the Segment Editor with the mask."""
        node = self._node(_MASK)
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(node)
        if reference_of(node) is not None:
            editor.setSourceVolumeNode(reference_of(node))

    def _showError(self, error: Exception) -> None:
        super()._showError(error)
        self._refused = str(error)  # it may name what the user can state
        self._updateButtons()
