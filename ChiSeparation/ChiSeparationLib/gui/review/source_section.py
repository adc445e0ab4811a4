"""Where the lesions come from: a segmentation of the scene, a search in FLAIR, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import CancelledError, ChiSepError
from ChiSepPreprocessLib.gui.computation import Job
from ChiSepPreprocessLib.gui.worker import Caution
from ChiSepPreprocessLib.progress import Status
from ChiSepPreprocessLib.scene.session import current_scene
from ChiSepPreprocessLib.scene.volumes import grid_from_node

from ...scene.lesion_segments import add_lesions_of_segment
from ..steps import newest
from .background import BackgroundTask
from .lesion_files import SEGMENTATION, LesionFile, add_lesion_file, load_segmentation, read_lesion_file
from .lesion_search import LesionSearchLogic
from .section import ReviewSection

_POLL_MS = 100


class SourceSection(ReviewSection):
    """Chooses, finds and imports lesions; the search runs in a child process."""

    def build(self) -> None:
        """Connect the widgets."""
        self.search = LesionSearchLogic()
        self._job: Job | None = None
        self._notes: list[str] = []
        self._found: LesionFile | None = None
        self._reading = BackgroundTask(self._on_read)
        self._poll = qt.QTimer()
        self._poll.setInterval(_POLL_MS)
        self._poll.connect("timeout()", self.onPoll)
        ui = self.ui
        ui.segmentButton.connect("clicked()", self.onSegment)
        ui.cancelSegmentButton.connect("clicked()", self.onCancel)
        ui.importButton.connect("clicked()", self.onImport)
        ui.uniteButton.connect("clicked()", self.onPart)
        self.say(ui.sourceNoteLabel, "")
        self._show_running()

    def update(self) -> None:
        """Show which ways there are."""
        ui, running = self.ui, self._job is not None
        ui.segmentButton.enabled = self.given.flair is not None and not running
        ui.segmentButton.toolTip = (
            _("Look for lesions in the FLAIR image. Look at the result and correct it before you grade.")
            if self.given.flair is not None else _("Choose a FLAIR image first.")
        )  # fmt: skip
        ui.uniteButton.visible = self._holds_one_segment()

    def _holds_one_segment(self) -> bool:
        """Whether lesions may lie together in the only segment."""
        node = self.given.segmentation
        return node is not None and node.GetSegmentation().GetNumberOfSegments() == 1

    # Search

    def onSegment(self) -> None:
        """Look for lesions in FLAIR."""
        self._notes = []
        try:
            brain = newest(current_scene()).get("brain_mask")
            self._job = self.search.start(self.given.flair, self.given.minimumVolume, brain)
            self._poll.start()
            self._tell(_("Looking for lesions…"))
        except ChiSepError as error:
            self._tell(str(error))
        self._show_running()

    def onCancel(self) -> None:
        """Stop the search; the timer then clears up."""
        if self._job is not None:
            self._job.cancel()

    def onPoll(self) -> None:
        """Show how far the search has come; called by the timer."""
        job = self._job
        if job is None:
            return
        finished = job.finished  # before poll, so that no last event is missed
        for event in job.poll():
            if isinstance(event, Status):
                self.ui.segmentProgressBar.value = round(100 * event.fraction)
            elif isinstance(event, Caution):
                self._notes.append(event.message)
        if finished:
            self._finish(job)

    def _finish(self, job: Job) -> None:
        self._poll.stop()
        self._job = None
        try:
            with job:
                self._take(job.nodes()["lesions"])
        except CancelledError:
            self._tell(_("Cancelled."))
        except ChiSepError as error:
            self._tell(str(error))
        self._show_running()

    def _show_running(self) -> None:
        ui, running = self.ui, self._job is not None
        ui.segmentProgressBar.visible = ui.cancelSegmentButton.visible = running
        ui.importButton.enabled = not running
        ui.segmentProgressBar.value = 0
        if self.given is not None:
            self.update()

    def _take(self, node: Any) -> None:
        """Read the lesions of a node that has come into the scene."""
        count = node.GetSegmentation().GetNumberOfSegments()
        self._tell("\n".join([_("{count} lesions.").format(count=count), *self._notes]))
        if self.given is not None:
            self.given.segmentation = node

    def _tell(self, text: str) -> None:
        self.say(self.ui.sourceNoteLabel, text)

    # Files

    def onImport(self) -> None:
        """Take lesions from a file of another program, or of an earlier export."""
        name = qt.QFileDialog.getOpenFileName(
            self.ui.importButton, _("Lesions of another program"), "",
            _("Lesions (*.nii *.nii.gz *.seg.nrrd *.dcm *.zip);;All files (*)"),
        )  # fmt: skip
        if not name:
            return
        path, given, self._notes = Path(name), self.given, []
        try:
            if path.name.endswith(SEGMENTATION):
                self._take(load_segmentation(current_scene(), path, self.search.folderName))
                return
            grid = grid_from_node(given.flair) if given.flair is not None else None
        except ChiSepError as error:
            self._tell(str(error))
            return
        limit, threshold = given.minimumVolume, given.importThreshold or None

        def read() -> None:
            self._found = read_lesion_file(path, grid, minimum_volume_mm3=limit, threshold=threshold)

        self._tell(_("Reading {name}…").format(name=path.name))
        self._reading.run(read)

    def _on_read(self, error: Exception | None) -> None:
        found, self._found = self._found, None
        if error is not None or found is None or self.given is None:
            self._tell(str(error or ""))
            return
        self._notes = list(found.lesions.warnings)
        self._take(add_lesion_file(current_scene(), found, self.search.folderName, self.given.flair))
        if self.desk.session is not None:
            self.desk.session.take_over(found.reading)

    def onPart(self) -> None:
        """Make one segment for each connected part of the only segment."""
        node = self.given.segmentation
        self._notes = []
        try:
            made, labelled = add_lesions_of_segment(
                current_scene(), node, node.GetSegmentation().GetNthSegmentID(0),
                minimum_volume_mm3=self.given.minimumVolume, folder_name=self.search.folderName,
            )  # fmt: skip
            node.CreateDefaultDisplayNodes()
            node.GetDisplayNode().SetVisibility(False)
            self._notes = list(labelled.lesions.warnings)
            self._take(made)
        except ChiSepError as error:
            self._tell(str(error))

    def close(self) -> None:
        """Stop the search."""
        self._poll.stop()
        self._reading.close()
        job, self._job = self._job, None
        if job is not None:
            job.close()
            self._tell(_("Cancelled."))
            self._show_running()
