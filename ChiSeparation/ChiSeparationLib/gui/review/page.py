"""The tab "Lesions": its parts, its keys, and its life with the scene."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from ...scene.lesion_segments import lesion_nodes
from .. import steps
from . import shortcuts as keys
from .agreement_section import AgreementSection
from .correction_section import CorrectionSection
from .desk import Desk
from .export_section import ExportSection
from .grading_section import GradingSection
from .parameters import ReviewParameterNode, review_node
from .places import PlaceNamer
from .shortcuts import Shortcuts
from .source_section import SourceSection
from .suggestion_section import SuggestionSection
from .table_section import TableSection
from .view_section import ViewSection

#: Nodes often come by the dozen; the tab looks at them once they have settled.
_SETTLE_MS = 200


class ReviewPage(VTKObservationMixin):  # type: ignore[misc]
    """Loads the tab's widgets and leads what they do to the session.

    Parameters
    ----------
    tab : QWidget
        The empty tab.
    ui_file : str
        Path of ``ChiSeparationLesions.ui``.
    """

    parameterNodeClass: Any = ReviewParameterNode

    def __init__(self, tab: Any, ui_file: str) -> None:
        VTKObservationMixin.__init__(self)
        self.panel = slicer.util.loadUI(ui_file)
        tab.layout().addWidget(self.panel)
        self.ui = slicer.util.childWidgetVariables(self.panel)
        self.panel.setMRMLScene(slicer.mrmlScene)
        self._given: Any = None
        self._guiTag: Any = None
        self.desk = Desk(self.update, self.look)
        parts = (SourceSection, TableSection, GradingSection, SuggestionSection, ViewSection, CorrectionSection,
                 AgreementSection, ExportSection)  # fmt: skip
        self._sections: tuple[Any, ...] = tuple(part(self.ui, self.desk) for part in parts)
        self.source, self.table, self.grading, self.suggestion, self.views, *rest = self._sections
        self.correction, self.agreement, self.export = rest
        self.desk.leaving = self.grading.onComment
        self._places = PlaceNamer(self.desk)
        self._keys = Shortcuts(self.panel, self._actions())
        self._settle = qt.QTimer()
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.connect("timeout()", self.onSettled)

    def _actions(self) -> dict[str, Any]:
        """Give what each key does."""
        grade_keys = (key for map_keys in keys.GRADE_KEYS.values() for key in map_keys)
        return {
            **{key: button.click for key, (*_question, button) in zip(grade_keys, self.grading.buttons(), strict=True)},
            keys.NEXT: self.desk.next,
            keys.PREVIOUS: self.desk.previous,
            keys.NEXT_UNGRADED: self.desk.next_ungraded,
            keys.UNDO: self.desk.undo,
            keys.REDO: self.desk.redo,
            keys.FLICKER: self.views.flicker,
            keys.OUTLINES: self.views.toggle_outlines,
            keys.REFERENCE: self.views.toggle_reference,
            keys.CONFIDENCE: self.grading.next_confidence,
            keys.COMMENT: self.grading.edit_comment,
        }

    # Life

    def enter(self) -> None:
        """Connect to the scene and take the keys; called when the tab or the module is opened."""
        self.exit()
        scene = slicer.mrmlScene
        self._given = self.parameterNodeClass(review_node(scene))
        self._guiTag = self._given.connectGui(self.ui)
        self.addObserver(self._given, vtk.vtkCommand.ModifiedEvent, self.onParametersChanged)
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent):
            self.addObserver(scene, event, self.onSceneChanged)
        self._keys.install()
        self._chooseInputs()
        self.desk.show(self._given)
        self.correction.synchronise()  # the segments may have been edited in another module
        self.desk.refresh()
        self.update()
        self.ui.sourceButton.collapsed = bool(self.desk.rows)

    def exit(self) -> None:
        """Disconnect from the scene and leave the keys to others; what was graded is in the scene."""
        if self._given is None:
            return
        self.desk.leaving()
        for section in self._sections:
            section.leave()
        self._keys.remove()
        self._settle.stop()
        self.removeObservers()
        given, self._given = self._given, None
        given.disconnectGui(self._guiTag)
        self.desk.show(None)
        for section in self._sections:
            section.show(None)

    def cleanup(self) -> None:
        """Let go of everything; called before the module goes."""
        self.exit()
        for section in self._sections:
            section.close()
        self._places.close()
        self.desk.close()

    def _chooseInputs(self) -> None:
        """Take lesions and FLAIR that are there, where the user has chosen none."""
        scene, given = slicer.mrmlScene, self._given
        lesions = lesion_nodes(scene)
        if given.segmentation is None and lesions:
            given.segmentation = lesions[-1]
        if given.flair is None:
            given.flair = steps.newest(scene).get("flair")

    # What the tab shows

    def onParametersChanged(self, caller: Any = None, event: Any = None) -> None:
        """Follow what the user has chosen; what comes with a scene is looked at once all of it is there."""
        if not slicer.mrmlScene.IsBatchProcessing():
            self.desk.show(self._given)
            self.update()

    def onSceneChanged(self, caller: Any = None, event: Any = None) -> None:
        """Look at the scene soon."""
        self._settle.start()

    def onSettled(self) -> None:
        """Look for maps and lesions that came."""
        if self._given is not None and not slicer.mrmlScene.IsBatchProcessing():
            self._chooseInputs()
            self.desk.refresh()

    def update(self) -> None:
        """Show everything."""
        if self._given is not None:
            for section in self._sections:
                section.show(self._given)
            self._places.begin()

    def look(self) -> None:
        """Show another lesion."""
        if self._given is not None:
            for section in self._sections:
                section.look()
