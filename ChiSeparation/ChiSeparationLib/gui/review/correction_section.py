"""Slicer's Segment Editor in the tab, with the four effects that lesions need."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError

from .parameters import NODE
from .section import ReviewSection

EFFECTS = ("Paint", "Erase", "Islands", "Scissors")


class CorrectionSection(ReviewSection):
    """Corrects segments; lesions follow when the part is folded, the tab is left, or the user asks for it.

    The editor is made when the part is first opened: it is the heaviest widget of the tab.
    """

    def build(self) -> None:
        """Connect the widgets."""
        self.editor: Any = None
        self._isAtWork = False
        self.ui.correctionButton.connect("contentsCollapsed(bool)", self.onFolded)
        self.ui.synchroniseButton.connect("clicked()", self.synchronise)
        self.say(self.ui.correctionNoteLabel, "")

    def update(self) -> None:
        """Follow the chosen segmentation."""
        self.ui.correctionButton.enabled = self.desk.session is not None
        self.ui.synchroniseButton.enabled = self.desk.session is not None and self.desk.session.is_stale
        if not self.ui.correctionButton.collapsed:
            self._open()

    def look(self) -> None:
        """Edit the lesion that is shown."""
        if self._isAtWork and self.desk.case is not None:
            self.editor.setCurrentSegmentID(self.desk.session.segment_id(self.desk.case.lesion_id))

    def onFolded(self, collapsed: bool) -> None:
        """Open the editor, or follow what was edited."""
        if collapsed:
            self.leave()
        elif self.given is not None:
            self._open()

    def _open(self) -> None:
        if self.desk.session is None:
            return
        if self.editor is None:
            self._make()
        editor, wanted = self.editor, self.desk.session.segmentation
        if not self._isAtWork:
            editor.setMRMLSegmentEditorNode(self._editor_node())
        editor.setSegmentationNode(wanted)
        if self.given.flair is not None:  # after the segmentation, or Slicer refuses it
            editor.setSourceVolumeNode(self.given.flair)
        if not self._isAtWork:
            self._isAtWork = True
            editor.setupViewObservations()
            editor.installKeyboardShortcuts()
            self.look()

    def _make(self) -> None:
        self.editor = editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        editor.setEffectNameOrder(EFFECTS)
        editor.unorderedEffectsVisible = False
        editor.segmentationNodeSelectorVisible = False
        editor.sourceVolumeNodeSelectorVisible = False
        editor.switchToSegmentationsButtonVisible = False
        editor.maximumNumberOfUndoStates = 10
        self.ui.correctionButton.layout().insertWidget(1, editor)

    @staticmethod
    def _editor_node() -> Any:
        """Editor's state of this tab alone, lest the Segment Editor module's is changed."""
        scene = slicer.mrmlScene
        node = scene.GetSingletonNode(NODE, "vtkMRMLSegmentEditorNode")
        if node is None:
            node = scene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
            node.UnRegister(None)  # the scene holds the only reference
            node.SetSingletonTag(NODE)
            node = scene.AddNode(node)
        return node

    def synchronise(self) -> None:
        """Let lesions and grades follow the segments."""
        session = self.desk.session
        if session is None or session.is_closed:
            return
        try:
            self._tell(session.synchronise())
        except ChiSepError as error:
            self.say(self.ui.correctionNoteLabel, str(error))

    def _tell(self, edits: Any) -> None:
        if edits is None:
            return
        parts = [
            _("{count} new").format(count=len(edits.added) + len(edits.inherits_from)),
            _("{count} joined to others").format(count=len(edits.merged)),
            _("{count} deleted").format(count=len(edits.deleted)),
        ]
        self.say(self.ui.correctionNoteLabel, _("Lesions: {what}.").format(what=", ".join(parts)))

    def leave(self) -> None:
        """Put the tools down, follow what was edited, and leave scene, views and keys to others."""
        self.synchronise()
        if not self._isAtWork:
            return
        self._isAtWork = False
        self.editor.setActiveEffect(None)
        self.editor.uninstallKeyboardShortcuts()
        self.editor.removeViewObservations()
        self.editor.setSegmentationNode(None)
        self.editor.setMRMLSegmentEditorNode(None)
