"""The reading as a file, the patient's page, and DICOM."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError

from ...lesions.reading import Reading
from ...lesions.reading_files import read_grades_csv, read_reading, write_grades_csv, write_reading
from .background import BackgroundTask
from .section import ReviewSection
from .study import images_path, study_of

#: Name of the folder of an export, in the folder that the user chose.
EXPORT = "lesions"


class ExportSection(ReviewSection):
    """Saves and loads; a button that cannot work says in its tool tip what it lacks."""

    def build(self) -> None:
        """Connect the widgets."""
        ui = self.ui
        self._task = BackgroundTask(self._on_ended)
        self._told = ""
        ui.saveReadingButton.connect("clicked()", self.onSave)
        ui.loadReadingButton.connect("clicked()", self.onLoad)
        ui.reportButton.connect("clicked()", self.onReport)
        ui.dicomButton.connect("clicked()", self.onDicom)
        ui.exportButton.connect("contentsCollapsed(bool)", self.onFolded)
        self.say(ui.exportNoteLabel, "")

    def onFolded(self, collapsed: bool) -> None:
        """Say what can be exported once the part is open."""
        if self.given is not None:
            self.update()

    def update(self) -> None:
        """Enable what can work."""
        ui, session = self.ui, self.desk.session
        if ui.exportButton.collapsed:
            return
        lesions = "" if session is not None else _("Choose the segmentation of the lesions first.")
        maps = lesions or ("" if session.pipelines else _("There are no χ maps in the scene."))
        grades = lesions or ("" if session.reading.judgements else _("Nothing has been graded yet."))
        busy = _("Another file is being written.") if self._task.running else ""
        self._offer(ui.saveReadingButton, grades, _("Save lesions and grades as JSON or CSV."))
        self._offer(ui.loadReadingButton, lesions, _("Load grades that were saved before, for the same lesions."))
        self._offer(ui.reportButton, maps or busy, _("Save one page on this patient as HTML or PDF."))
        images = "" if session is not None and images_path(session.scene) else _(
            "DICOM needs the images that the maps were made of: choose them as Images on the tab Maps."
        )  # fmt: skip
        tip = _("Save everything into a folder: segmentation, measurements and maps as DICOM, page and tables.")
        self._offer(ui.dicomButton, maps or images or busy, tip)

    @staticmethod
    def _offer(button: Any, lack: str, tip: str) -> None:
        button.enabled = not lack
        button.toolTip = lack or tip

    # Readings

    def onSave(self) -> None:
        """Save lesions and grades."""
        path = self._asked_path(_("Save the reading"), _("Reading (*.json);;Table of grades (*.csv)"), ".json")
        if path is None:
            return
        reading = replace(self.desk.session.reading, patient=self.given.patient)
        try:
            if path.suffix.lower() == ".csv":
                write_grades_csv(path, reading)
            else:
                write_reading(path, reading)
            self._tell(_("Saved: {name}").format(name=path.name))
        except ChiSepError as error:
            self._tell(str(error))

    def onLoad(self) -> None:
        """Load grades for the lesions that are there; what was said since to the same questions stays."""
        name = qt.QFileDialog.getOpenFileName(
            self.ui.loadReadingButton, _("Load a reading"), "", _("Readings (*.json *.csv *.zip)")
        )  # fmt: skip
        if not name:
            return
        path = Path(name)
        try:
            self._tell(self._take(_readings(path)))
        except ChiSepError as error:
            self._tell(str(error))

    def _take(self, readings: Iterable[Reading]) -> str:
        said = [one for reading in readings for one in reading]
        added = self.desk.session.take_over(said)
        text = _("{count} judgements loaded.").format(count=added)
        if added == len(said):
            return text
        rest = _("{count} were there already, or are of other lesions or methods.").format(count=len(said) - added)
        return f"{text} {rest}"

    # Report and DICOM

    def onReport(self) -> None:
        """Write the patient's page; the window goes on meanwhile."""
        path = self._asked_path(_("Save the report"), _("Web page (*.html);;PDF (*.pdf)"), ".html")
        if path is None:
            return
        from ...report.lesion_page import write_lesion_page
        from ...report.lesion_pdf import write_lesion_pdf

        write = write_lesion_pdf if path.suffix.lower() == ".pdf" else write_lesion_page
        session, patient, options = self.desk.session, self.given.patient, self._page_options()
        self._run(path.name, lambda: write(path, study_of(session, patient), options))

    def onDicom(self) -> None:
        """Write everything, DICOM objects too, into a folder of its own; the window goes on meanwhile."""
        folder = qt.QFileDialog.getExistingDirectory(self.ui.exportButton, _("Folder for the export"))
        session, patient, page = self.desk.session, self.given.patient, self._page_options()
        images = images_path(session.scene)
        if not folder or images is None:
            return
        target = Path(folder) / EXPORT

        def write() -> None:
            from ...report.dicom_source import read_source
            from ...report.lesion_export import ExportOptions, write_export

            study = study_of(session, patient)
            source = read_source([images], next(iter(study.maps.values())))
            write_export(target, study, ExportOptions(page=page, dicom=source))

        self._run(target.name, write)

    def _page_options(self) -> Any:
        from ...report.lesion_page import PageOptions

        return PageOptions(suggestions=self.given.suggestion and not self.given.blinded)

    def _run(self, name: str, write: Callable[[], Any]) -> None:
        self._told = _("Saved: {name}").format(name=name)
        self._tell(_("Writing {name}…").format(name=name))
        self._task.run(write)
        self.update()

    def _on_ended(self, error: Exception | None) -> None:
        self._tell(self._told if error is None else str(error))
        if self.given is not None:
            self.update()

    def _asked_path(self, title: str, kinds: str, suffix: str) -> Path | None:
        name = qt.QFileDialog.getSaveFileName(self.ui.exportButton, title, "", kinds)
        if not name:
            return None
        path = Path(name)
        return path if path.suffix else path.with_name(path.name + suffix)

    def _tell(self, text: str) -> None:
        self.say(self.ui.exportNoteLabel, text)

    def close(self) -> None:
        """Look no more at what is being written."""
        self._task.close()


def _readings(path: Path) -> Iterable[Reading]:
    """Readings in a file of any kind that is saved here.

    Raises
    ------
    InputError
        If there is none in it.
    """
    if path.suffix.lower() == ".csv":
        return read_grades_csv(path)
    if path.suffix.lower() == ".zip":
        from ...report.lesion_export import import_export

        return (import_export(path).reading,)
    return (read_reading(path),)
