"""The table of what a folder holds, with what each series is used as."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ..errors import ChiSepError
from .requirements import missing
from .survey import NOTHING, Row, Study, chosen_uses, paths_by_use, read_survey, start_survey
from .worker import ChildProcess

#: A path that is being typed is not read at once, ms.
_WAIT_MS, _POLL_MS = 400, 100
_USED_AS = 1
#: So many rows are seen without scrolling; about the height of a row, and of header and scroll bar.
_MOST_ROWS, _ROW_PX, _HEADER_PX = 6, 30, 40


class StudySection:
    """Reads the headers behind paths in a child process and shows them.

    Parameters
    ----------
    ui : object
        The panel's widgets: ``studyTable``, ``studyLabel``, ``readAgainButton``.
    on_change : callable
        Called when the table has changed, or what a series is used as.
    """

    def __init__(self, ui: Any, on_change: Callable[[], None]) -> None:
        self._ui, self._on_change = ui, on_change
        self.study: Study | None = None
        self.chosen: dict[str, str] = {}
        self._paths: tuple[str, ...] = ()
        self._child: ChildProcess | None = None
        self._folder: Path | None = None
        self._wait, self._poll = self._timer(_WAIT_MS, self._start), self._timer(_POLL_MS, self._look)
        self._wait.singleShot = True
        ui.studyTable.setHorizontalHeaderLabels([
            _("Series"), _("Used as"), _("What it is"), _("Echoes"), _("Echo times (ms)"), _("Matrix"),
            _("Voxel (mm)"), _("What is missing"),
        ])  # fmt: skip
        self._show_nothing("")

    @staticmethod
    def _timer(interval_ms: int, slot: Callable[[], None]) -> Any:
        timer = qt.QTimer()
        timer.interval = interval_ms
        timer.connect("timeout()", slot)
        return timer

    @property
    def is_reading(self) -> bool:
        """Whether the table is still to come."""
        return self._child is not None or bool(self._wait.active)

    def follow(self, paths: Sequence[str], chosen: str) -> None:
        """Read other paths soon; the same ones are not read again.

        Parameters
        ----------
        paths : sequence of str
            Folders or files; empty ones are left out.
        chosen : str
            As of :meth:`choice`.
        """
        given = tuple(path for path in paths if path)
        self.chosen = _chosen(chosen, given)
        if given != self._paths:
            self.stop()
            self._paths = given
            self._show_nothing(_("Reading…") if given else "")
            if given:
                self._wait.start()

    def read_again(self) -> None:
        """Read the same paths again."""
        paths, self._paths = self._paths, ()
        self.follow(paths, self.choice())

    def choice(self) -> str:
        """What the user chose, for the scene."""
        return json.dumps({"paths": self._paths, "uses": self.chosen}) if self.chosen else ""

    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Files to hand over, by use; empty if everything is used as it was found."""
        if self.study is None or not self.chosen:
            return {}
        return paths_by_use(self.study, chosen_uses(self.study, self.chosen))

    def stop(self) -> None:
        """Stop reading."""
        self._wait.stop()
        self._poll.stop()
        if self._child is not None:
            self._child.cancel()
            self._child = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def clear(self) -> None:
        """Stop, and show nothing."""
        self.stop()
        self._paths, self.chosen = (), {}
        self._show_nothing("")

    # Reading

    def _start(self) -> None:
        if missing():
            self._show_nothing(_("Python packages must be installed before images can be read: press Run."))
            self._paths = ()  # so that they are read as soon as they can be
            return
        self._folder = Path(tempfile.mkdtemp(prefix="chisep-survey-"))
        try:
            self._child = start_survey(self._paths, self._folder)
        except ChiSepError as error:
            self._show_nothing(str(error))
            return
        self._poll.start()

    def _look(self) -> None:
        if self._child is None or not self._child.finished:
            return
        child, folder, self._child = self._child, self._folder, None
        self._poll.stop()
        try:
            child.result()
            assert folder is not None
            self.study = read_survey(folder)
        except ChiSepError as error:
            self._show_nothing(str(error))
        else:
            self._show(self.study)
        finally:
            self.stop()
        self._on_change()

    # Showing

    def _show_nothing(self, text: str) -> None:
        self.study = None
        self._ui.studyTable.setRowCount(0)
        self._ui.studyTable.visible = False
        self._ui.readAgainButton.visible = bool(text)
        self._ui.studyLabel.text = text
        self._ui.studyLabel.visible = bool(text)

    def _show(self, study: Study) -> None:
        table = self._ui.studyTable
        table.setRowCount(len(study.rows))
        uses = chosen_uses(study, self.chosen)
        for number, row in enumerate(study.rows):
            for column, text in enumerate(_cells(row)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(number, column, item)
            table.setCellWidget(number, _USED_AS, self._use_box(row, uses[row.key]))
        table.resizeColumnsToContents()
        table.setMinimumHeight(_HEADER_PX + _ROW_PX * min(len(study.rows), _MOST_ROWS))
        table.visible = bool(study.rows)
        self._ui.studyLabel.text = "\n".join(study.missing)
        self._ui.studyLabel.visible = bool(study.missing)
        self._ui.readAgainButton.visible = True

    def _use_box(self, row: Row, use: str) -> Any:
        box, names, choices = qt.QComboBox(), use_names(), row.choices
        box.addItems([names[one] for one in choices])
        box.currentIndex = choices.index(use)
        box.enabled = len(choices) > 1
        box.toolTip = _("What this series is used as. What its headers say cannot be overruled.")
        box.connect("currentIndexChanged(int)", lambda index: self._choose(row, choices[index]))
        return box

    def _choose(self, row: Row, use: str) -> None:
        self.chosen.pop(row.key, None)
        if use != row.use:
            self.chosen[row.key] = use
        self._on_change()


def use_names() -> Mapping[str, str]:
    """What a series can be used as, in words."""
    return {
        NOTHING: _("not used"),
        "gre_magnitude": _("GRE magnitude"),
        "gre_phase": _("GRE phase"),
        "gre_complex": _("GRE real or imaginary"),
        "se_magnitude": _("spin echo"),
        "flair": _("FLAIR"),
    }


def _cells(row: Row) -> tuple[str, ...]:
    times = ", ".join("?" if time is None else f"{1e3 * time:.4g}" for time in row.echo_times_s)
    size = " × ".join(f"{length:.3g}" for length in row.voxel_size_mm or ())
    shape = " × ".join(map(str, row.shape))
    return (row.description, "", row.component, str(len(row.echo_times_s)), times, shape, size, " ".join(row.missing))


def _chosen(text: str, paths: tuple[str, ...]) -> dict[str, str]:
    """What the user chose for these paths; nothing if it was for others, or the text is none of ours."""
    try:
        content = json.loads(text) if text else {}
        is_ours = tuple(content.get("paths", ())) == paths
        return {str(key): str(use) for key, use in content["uses"].items()} if is_ours and "uses" in content else {}
    except (ValueError, AttributeError, TypeError):
        return {}
