"""The table of what the chosen folders hold, with the place that folders can be dropped on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import CancelledError, ChiSepError
from ChiSepPreprocessLib.gui.computation import Job

from .study_reading import STUDY, FoundStudy, SeriesLine, StudyReadingLogic

#: Typing a path changes it with every key; the reading starts when it has rested for so long.
_REST_MS, _POLL_MS = 400, 100


class DropArea(qt.QLabel):  # type: ignore[misc]
    """Takes one folder or archive from the file manager.

    Parameters
    ----------
    take : callable
        Receives the paths that were dropped.
    """

    def __init__(self, take: Callable[[list[str]], None]) -> None:
        qt.QLabel.__init__(self, _("… or drop the folder here"))
        self._take = take
        self.setAlignment(qt.Qt.AlignCenter)
        self.setFrameShape(qt.QFrame.StyledPanel)
        self.setMargin(6)
        self.setAcceptDrops(True)

    def dragEnterEvent(self, event: Any) -> None:
        """Say whether it can be dropped here."""
        if _paths(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Take it."""
        event.acceptProposedAction()
        self._take(_paths(event.mimeData()))


def _paths(content: Any) -> list[str]:
    return [url.toLocalFile() for url in content.urls() if url.isLocalFile()]


class StudyView:
    """Reads the headers behind the chosen paths and shows what was found.

    Parameters
    ----------
    ui : namespace
        The panel's widgets.
    changed : callable
        Called whenever there is news.
    logic : StudyReadingLogic, optional
        Reads the headers.
    """

    def __init__(self, ui: Any, changed: Callable[[], None], logic: StudyReadingLogic | None = None) -> None:
        self.ui, self._changed, self.logic = ui, changed, logic or StudyReadingLogic()
        self.study: FoundStudy | None = None
        self._refused = ""
        self._paths: tuple[str, ...] = ()
        self._job: Job | None = None
        self._rest, self._poll = qt.QTimer(), qt.QTimer()
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.connect("timeout()", self._start)
        self._poll.setInterval(_POLL_MS)
        self._poll.connect("timeout()", self._look)
        self._show()

    @property
    def isReading(self) -> bool:
        """Whether headers are being read, or soon will be."""
        return self._job is not None or bool(self._rest.active)

    @property
    def isComplete(self) -> bool:
        """Whether nothing is known that prevents χ maps."""
        return not self._refused and (self.study is None or self.study.can_reconstruct)

    def choose(self, paths: Sequence[str]) -> None:
        """Show these paths from now on; the same ones again change nothing."""
        if tuple(paths) == self._paths:
            return
        self.close()
        self._paths, self.study, self._refused = tuple(paths), None, ""
        absent = [path for path in paths if not Path(path).expanduser().exists()]
        if absent:
            self._refused = _("This is not there: {path}").format(path=absent[0])
        elif paths:
            self._rest.start()
        self._show()

    def close(self) -> None:
        """Stop reading."""
        self._rest.stop()
        self._poll.stop()
        job, self._job = self._job, None
        if job is not None:
            job.close()

    def _start(self) -> None:
        try:
            self._job = self.logic.start(self._paths)
            self._poll.start()
        except ChiSepError as error:
            self._refused = str(error)
        self._show()

    def _look(self) -> None:
        job = self._job
        if job is None or not job.finished:
            return
        self._job = None
        self._poll.stop()
        try:
            with job:
                self.study = job.nodes()[STUDY]
        except CancelledError:
            pass
        except ChiSepError as error:
            self._refused = str(error)
        self._show()

    # What is shown

    def _show(self) -> None:
        gaps = self.study.gaps if self.study is not None else ()
        self.ui.studyLabel.text = self._refused or self._sentence(gaps)
        self.ui.studyLabel.toolTip = "\n".join(gaps)
        self._fill(self.study.lines if self.study is not None else ())
        self._changed()

    def _sentence(self, gaps: Sequence[str]) -> str:
        if self.isReading:
            return _("Looking at what is in there…")
        if self.study is None:
            return "" if self._paths else _("Choose the folder of a study, or make a simulated patient.")
        if not gaps:
            return _("Everything is there.")
        return gaps[0] if len(gaps) == 1 else _("{gap} (1 of {count} notes)").format(gap=gaps[0], count=len(gaps))

    def _fill(self, lines: Sequence[SeriesLine]) -> None:
        table = self.ui.studyTable
        table.setRowCount(len(lines))
        table.setVisible(bool(lines))
        for row, line in enumerate(lines):
            for column, text in enumerate((_use(line), _images(line), line.description or "–")):
                item = qt.QTableWidgetItem(text)
                item.setToolTip("\n".join([_size(line), *line.missing]))
                table.setItem(row, column, item)
        table.resizeColumnsToContents()


def _images(line: SeriesLine) -> str:
    """Component, echoes and their times in words."""
    if line.echoes < 2 or not line.echo_times_s:
        return line.component
    first, last = min(line.echo_times_s), max(line.echo_times_s)
    return _("{component}, {count} echoes, {first:.1f}–{last:.1f} ms").format(
        component=line.component, count=line.echoes, first=1000 * first, last=1000 * last
    )


def _size(line: SeriesLine) -> str:
    matrix = " × ".join(map(str, line.shape))
    voxel = " × ".join(f"{size:.2g}" for size in line.voxel_size_mm) or "?"
    return _("{matrix} voxels of {voxel} mm").format(matrix=matrix, voxel=voxel)


def _use(line: SeriesLine) -> str:
    words = {
        "gre_magnitude": _("GRE magnitude"),
        "gre_phase": _("GRE phase"),
        "gre_complex": _("GRE magnitude and phase"),
        "se_magnitude": _("Spin echo, for R2"),
        "flair": _("FLAIR"),
    }
    return words.get(line.use, _("not used"))
