"""What is being read, by whom, in which order: the tab's state between its widgets and the session. Needs no Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from slicer.i18n import tr as _

from ChiSepPreprocessLib.errors import ChiSepError
from ChiSepPreprocessLib.scene.session import current_scene

from ...lesions.blinding import blinding_key
from ...lesions.grades import Grade
from ...lesions.reading import Question
from ...scene.autosave import Recovered
from ...scene.review_session import Change, ReviewSession
from ...scene.review_views import ReviewViews
from .coverage import MOST_OUTSIDE, outside_fractions
from .rows import Case, Row, cases_of, row_of


class Desk:
    """Leads a reader through the lesions of the scene's segmentation.

    Parameters
    ----------
    changed : callable
        Called when rows or parameters changed.
    moved : callable
        Called when only another case is shown.
    """

    def __init__(self, changed: Callable[[], None], moved: Callable[[], None]) -> None:
        self._changed, self._moved = changed, moved
        #: Called before the case changes or is graded, so that a comment in the making is kept.
        self.leaving: Callable[[], None] = lambda: None
        self.given: Any = None
        self.session: ReviewSession | None = None
        self.views: ReviewViews | None = None
        self.rows: tuple[Row, ...] = ()
        self.case: Case | None = None
        #: Pipeline that the views show for comparison; empty while they show the one that is graded.
        self.compared = ""
        #: Judgements that were never saved, offered until they are brought back.
        self.recovered: Recovered | None = None
        self._error = self._trouble = ""
        self._outside: dict[str, Mapping[str, float]] = {}
        self._asked = ("", 1)
        self._stop: Callable[[], None] = lambda: None
        #: How many judgements each step to undo, or to redo, consists of.
        self._groups: list[int] = []
        self._undone: list[int] = []
        self._known: frozenset[str] = frozenset()

    # Session

    def show(self, given: Any) -> None:
        """Read with these parameters; ``None`` while the tab is closed, which keeps the session."""
        self.given = given
        if given is None:
            return
        wanted = given.segmentation
        if self.session is None or self.session.is_closed or self.session.segmentation is not wanted:
            self._open(wanted)
        self._arrange()

    def _open(self, segmentation: Any) -> None:
        self.close()
        self._error = ""
        if segmentation is None:
            return
        try:
            self.session = ReviewSession(current_scene(), segmentation)
        except ChiSepError as error:
            self._error = str(error)
            return
        self._stop, self._known = self.session.observe(self._on_change), self._lesion_ids()
        self.views = ReviewViews(self.session)
        self.recovered = next(iter(self.session.recoverable()), None)

    def recover(self) -> None:
        """Bring back what was said before the program ended without saving."""
        if self.session is not None and self.recovered is not None:
            self.session.recover(self.recovered)
            self.recovered = next(iter(self.session.recoverable()), None)
            self._update()

    def close(self) -> None:
        """End the session; the scene keeps the reading."""
        session, views = self.session, self.views
        self._forget()
        if session is None or views is None:
            return
        self._stop()
        if session.segmentation.GetScene() is None:  # views have nothing to put back
            session.close()
        views.close()
        session.close()

    def _forget(self) -> None:
        self.session = self.views = self.recovered = None
        self.rows, self.case, self.compared, self._outside = (), None, "", {}
        self._groups, self._undone, self._known = [], [], frozenset()

    def refresh(self) -> None:
        """Look for maps that came into the scene."""
        if self.session is not None and not self.session.find_pipelines():
            self._update()

    def _on_change(self, change: Change) -> None:
        if change is Change.SELECTION:
            return
        if change is Change.CLOSED:
            self._forget()
        if change in (Change.LESIONS, Change.PIPELINES):
            self._outside = {}
        if self._lesion_ids() != self._known:  # the session forgets steps on lesions that are gone
            self._known, self._groups, self._undone = self._lesion_ids(), [], []
        self._update()

    def _lesion_ids(self) -> frozenset[str]:
        return frozenset() if self.session is None else frozenset(one.lesion_id for one in self.session.lesions)

    def _update(self) -> None:
        if self.given is not None:
            self._arrange()
            self._changed()

    # Rows

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Methods whose maps can be read."""
        return self.session.pipelines if self.session is not None else ()

    @property
    def pipeline(self) -> str:
        """Method whose maps are shown; empty if there is none."""
        if self.given is None or not self.pipelines:
            return ""
        if self.given.blinded and self.case is not None:
            return self.case.pipeline
        return self.given.pipeline if self.given.pipeline in self.pipelines else self.pipelines[0]

    def title(self, pipeline: str) -> str:
        """Name of a pipeline for the reader: a letter in a blinded reading."""
        if self.given is None or not self.given.blinded:
            return pipeline
        return self._letters().get(pipeline, "?")

    def _letters(self) -> dict[str, str]:
        """Letter by pipeline, at random for each reader and seed."""
        if self.session is None or not self.pipelines:
            return {}
        patient = self.session.reading.patient
        return blinding_key(self.pipelines, self.reader, patient, self.given.seed).labels

    @property
    def problem(self) -> str:
        """Why nothing can be graded; empty if it can."""
        if self._error:
            return self._error
        if self.session is None:
            return _("Choose the segmentation of the lesions, segment them from FLAIR, or import a file.")
        if not self.session.lesions:
            return _("The segmentation holds no lesion. That may be the right answer.")
        if not self.session.pipelines:
            return _("There are no χ maps in the scene yet; the tab Maps makes them.")
        if not self.reader:
            return _("Fill in the reader’s initials to grade.")
        if self.compared:
            return _("The views show {method} for comparison. Press Flicker again to grade.").format(
                method=self.compared
            )  # fmt: skip
        return ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What concerns all lesions, and grades that are in the scene alone."""
        if self.session is None:
            return ()
        return tuple(filter(None, (*self.session.warnings, self.session.autosave_problem, self._trouble)))

    @property
    def progress(self) -> tuple[int, int]:
        """How many cases are graded, and how many there are."""
        return sum(row.is_graded for row in self.rows), len(self.rows)

    def _arrange(self) -> None:
        """Make the rows; the case stays if it is still there."""
        self._asked = (self.reader, self.given.repeat)  # once, for reading parameters takes time
        self.rows = () if self.session is None else tuple(self._rows(self.session))
        if self.case is not None and self.at is None:
            same = (row.case for row in self.rows if self.case and row.case.lesion_id == self.case.lesion_id)
            self.case = next(same, None)

    def _rows(self, session: ReviewSession) -> Iterator[Row]:
        blinded = self.given.blinded
        letters = self._letters() if blinded else {}
        lesions = {one.lesion_id: one for one in session.lesions}
        chosen, seed = (None, self.given.seed) if blinded else ([self.pipeline], None)
        for case, maps in cases_of(session, self._asked, chosen, seed).items():
            yield row_of(
                case, maps, lesions[case.lesion_id], session.reading, self._asked,
                letter=letters.get(case.pipeline, ""), flags=self._flags(case),
            )  # fmt: skip

    def _flags(self, case: Case) -> tuple[str, ...]:
        assert self.session is not None
        if not case.pipeline:
            return ()
        if case.pipeline not in self._outside:
            self._outside[case.pipeline] = {}
            try:
                volumes = self.session.volumes(case.pipeline)
                self._outside[case.pipeline] = outside_fractions(self.session.segments, volumes)
            except ChiSepError as error:
                self._trouble = str(error)
        outside = self._outside[case.pipeline].get(case.lesion_id, 0.0)
        if outside <= MOST_OUTSIDE:
            return ()
        return (_("{share:.0f} % of the lesion lie outside the brain or the maps’ field.").format(share=100 * outside),)

    # Judgements

    @property
    def reader(self) -> str:
        """Initials of the reader."""
        return self.given.reader.strip() if self.given is not None else ""

    @property
    def at(self) -> int | None:
        """Place of the shown case among the rows."""
        return next((at for at, row in enumerate(self.rows) if row.case == self.case), None)

    @property
    def row(self) -> Row | None:
        """The shown case."""
        return None if self.at is None else self.rows[self.at]

    def question(self, case: Case, map_name: str) -> Question:
        """What this reader is asked about a map of a case."""
        return Question(case.lesion_id, map_name, case.pipeline, *self._asked)

    def give_grade(self, map_name: str, grade: Grade | None) -> None:
        """Grade a map of the shown case, or take its grade back."""
        self.leaving()
        row = self.row
        if row is None or self.problem or map_name not in row.maps:
            return
        was_graded = row.is_graded
        self._say({map_name: (grade, row.confidence, row.comment)})
        if self.given.advance and not was_graded and self.row is not None and self.row.is_graded:
            self.next_ungraded()

    def give_confidence(self, confidence: int | None) -> None:
        """Say how certain the grades of the shown case are."""
        self.leaving()
        if self.row is not None:
            self._say_of_case(confidence, self.row.comment)

    def give_comment(self, comment: str) -> None:
        """Comment on the shown case."""
        if self.row is not None:
            self._say_of_case(self.row.confidence, comment.strip())

    def _say_of_case(self, confidence: int | None, comment: str) -> None:
        """Keep what holds for the case with each of its grades, or without a grade if there is none yet."""
        row = self.row
        if row is None or self.problem or self.session is None:
            return
        answered = [
            name for name in row.maps if self.question(row.case, name) in self.session.reading.judgements
        ] or row.maps[:1]
        self._say({name: (row.grades[name], confidence, comment) for name in answered})

    def _say(self, words: Mapping[str, tuple[Grade | None, int | None, str]]) -> None:
        """Keep judgements on the shown case, as one step to undo."""
        session, case, steps = self.session, self.case, 0
        assert session is not None and case is not None
        for map_name, (grade, confidence, comment) in words.items():
            before, question = session.reading, self.question(case, map_name)
            if grade is None and confidence is None and not comment:
                session.withdraw(question)
            else:
                session.say(question, grade, confidence, comment)
            steps += session.reading is not before
        if steps:
            self._groups.append(steps)
            self._undone.clear()

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self.session is not None and self.session.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a step was taken back."""
        return self.session is not None and self.session.can_redo

    def undo(self) -> None:
        """Take the last step back and show its case."""
        self.leaving()
        self._again(self._groups, self._undone, "undo")

    def redo(self) -> None:
        """Take the step again and show its case."""
        self._again(self._undone, self._groups, "redo")

    def _again(self, source: list[int], target: list[int], action: str) -> None:
        if self.session is None or not getattr(self.session, f"can_{action}"):
            return
        count = source.pop() if source else 1
        asked = [getattr(self.session, action)() for _step in range(count)]
        target.append(count)
        if asked[-1] is not None:
            self.show_lesion(asked[-1].lesion_id, asked[-1].pipeline)

    # Steps

    def choose(self, at: int) -> None:
        """Show the case of a row; all views jump to its lesion."""
        self.leaving()
        if not 0 <= at < len(self.rows) or self.session is None:
            return
        self.case, self._trouble = self.rows[at].case, ""
        try:
            self._show_maps()
            self.session.select(self.case.lesion_id)
        except ChiSepError as error:  # such as maps that were removed
            self._trouble = str(error)
        self._moved()

    def _show_maps(self) -> None:
        """Bring the maps of the case to the screen: the first time as a layout, later into the views as they are."""
        assert self.views is not None
        self.compared = ""
        if self.pipeline and not self.views.pipeline:
            self.views.show(pipeline=self.pipeline)
        elif self.pipeline and self.views.pipeline != self.pipeline:
            self.views.show_pipeline(self.pipeline)

    def show_pipeline_again(self) -> None:
        """Show the maps of the chosen pipeline, in the place of others that were graded before."""
        if self.at is not None:
            self.choose(self.at)
        elif self.views is not None and self.views.pipeline:
            self._show_maps()

    def flicker(self, other: str) -> None:
        """Show the maps of another pipeline for comparison, or the graded ones again."""
        if self.views is None or not self.pipeline or other not in self.pipelines or self.given.blinded:
            return
        shown = self.views.flicker(self.pipeline, other)
        self.compared = "" if shown == self.pipeline else shown
        self._moved()

    def show_lesion(self, lesion_id: str, pipeline: str = "") -> None:
        """Show a lesion wherever it stands among the rows, on a pipeline if that is among them."""
        cases = {row.case: at for at, row in enumerate(self.rows) if row.case.lesion_id == lesion_id}
        if cases:
            self.choose(cases.get(Case(lesion_id, pipeline), next(iter(cases.values()))))

    def next(self) -> None:
        """Show the next case, from the start again at the end."""
        self._step(1)

    def previous(self) -> None:
        """Show the case before, from the end again at the start."""
        self._step(-1)

    def _step(self, way: int) -> None:
        if self.rows:
            self.choose((self.at + way) % len(self.rows) if self.at is not None else 0)

    def next_ungraded(self) -> None:
        """Show the next case that is not graded; one that cannot be graded waits for the others."""
        start = 0 if self.at is None else self.at + 1
        in_turn = [*range(start, len(self.rows)), *range(start)]
        open_ones = [at for at in in_turn if not self.rows[at].is_graded]
        gradable = [at for at in open_ones if not self.rows[at].flags]
        if open_ones:
            self.choose((gradable or open_ones)[0])
