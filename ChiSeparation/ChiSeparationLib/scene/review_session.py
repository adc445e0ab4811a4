"""The review of a segmentation's lesions, without Qt: who they are, what was said of them, what comes next.

::

    session = ReviewSession(scene, segmentation)            # finds pipelines in the scene by itself
    session.observe(callback) -> remove()                   # callback(change: Change)
    session.lesions, session.reading, session.pipelines     # tuples and a Reading; never changed in place
    session.say(Question("Lesion_3", "chi_para", "medi", "reader A"), Grade.HYPER, confidence=2, comment="…")
    session.take_over(judgements) -> int                    # of an import, where nothing was said yet
    session.withdraw(question); session.undo(); session.redo(); session.can_undo; session.can_redo
    session.questions("reader A", 1, pipelines=None, maps=GRADED_MAPS, seed=None)   # seed: blinded order
    session.next_ungraded("reader A", 1, None, GRADED_MAPS, after=question) -> Question | None
    session.progress("reader A", 1) -> Progress(answered, graded, total)
    session.select("Lesion_3")                              # all slice views jump, centre and zoom
    session.is_stale; session.synchronise() -> Edits        # after the Segment Editor changed segments
    session.find_places("medi")                             # names such as "left deep white matter, parietal"
    session.suggestions("medi") -> LesionTable              # rows by label; see label_of(lesion_id)
    session.recoverable() -> tuple[Recovered, ...]; session.recover(recovered)
    session.close()                                         # the scene's closing does it too

Nothing here opens a dialog: errors are raised, and what went wrong in the background stands in ``autosave_problem``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.errors import ChiSepError, InputError

from ..lesions.grades import Grade
from ..lesions.identities import Edits, label_of
from ..lesions.reading import GRADED_MAPS, Judgement, Lesion, Question, Reading
from .autosave import Autosave, Recovered, new_key, recoverable, remove_stale
from .judgement_history import JudgementHistory
from .lesion_edits import Ended, changed_lesions
from .lesion_jump import jump_to_lesion
from .lesion_segments import box_corners_ras, find_lesions, with_names
from .pipelines import find_pipelines, remember
from .reading_store import ReadingStore
from .review_data import ReviewData
from .scene_events import SceneEvents
from .suggestions import places
from .synchronising import followed_segments

if TYPE_CHECKING:
    import slicer


class Change(Enum):
    """What observers are told."""

    #: A judgement came, went or changed.
    READING = "reading"
    #: Lesions came, went, or have another name or place.
    LESIONS = "lesions"
    #: Segments were edited; the lesions are those from before until ``synchronise()``.
    SEGMENTS = "segments"
    #: Another lesion was selected.
    SELECTION = "selection"
    #: Results were added.
    PIPELINES = "pipelines"
    #: The session has ended, as the scene or the segmentation is gone.
    CLOSED = "closed"


class ReviewSession(ReviewData):
    """One segmentation under review.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`ChiSepPreprocessLib.scene.session`.
    segmentation : vtkMRMLSegmentationNode
        One segment for each lesion; it may be empty.
    pipelines : mapping of str to mapping of str to vtkMRMLVolumeNode, optional
        Results by pipeline; those of :func:`.pipelines.find_pipelines` by default.
    autosave_folder : Path, optional
        Folder of the autosave; :func:`.autosave.autosave_folder` by default.

    Raises
    ------
    InputError
        If the voxels of the segmentation cannot be read, or the scene holds a reading that is damaged or of a newer
        version; that one is left as it is.
    """

    def __init__(
        self, scene: slicer.vtkMRMLScene, segmentation: Any, *,
        pipelines: Mapping[str, Mapping[str, Any]] | None = None, autosave_folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.store = ReadingStore(scene, segmentation)
        saved = self.store.read()
        used = self.store.used_ids(saved)
        segments = find_lesions(segmentation, saved.lesions, used)
        volumes = find_pipelines(scene) if pipelines is None else pipelines
        super().__init__(scene, segmentation, segments, saved, volumes)
        remember(self._volumes)
        #: Why the last judgement is not on disk too; empty if it is.
        self.autosave_problem = ""
        self._autosave_folder, self._token = autosave_folder, new_key()
        self._callbacks: list[Callable[[Change], None]] = []
        self._history = JudgementHistory()
        self._used = {*used, *segments.segment_ids}
        self._ended: dict[str, Lesion] = {}
        #: What was said of lesions that are gone; the scene keeps it too, for they may come back.
        self._dropped: dict[Question, Judgement] = {}
        self._reading = self._present(saved)
        self._events = SceneEvents(scene, segmentation, edited=self._on_edit, closed=self.close)
        self._write_tags(segments.segment_ids)

    def add_pipeline(self, name: str, volumes: Mapping[str, Any]) -> None:
        """Add a result, or replace that of the name.

        Parameters
        ----------
        name : str
            Of the method.
        volumes : mapping of str to vtkMRMLVolumeNode
            ``chi_para`` or ``chi_dia`` or both, and what goes with them, by artifact.

        Raises
        ------
        InputError
            If the name is empty or there is neither map.
        """
        if not name or not any(volumes.get(one) is not None for one in GRADED_MAPS):
            raise InputError("pipeline", f"{name!r} with {', '.join(volumes) or 'no maps'}",
                             f"a name and at least one of {', '.join(GRADED_MAPS)}")  # fmt: skip
        self._volumes[name] = dict(volumes)
        remember(self._volumes)
        self._notify(Change.PIPELINES)

    def find_pipelines(self) -> tuple[str, ...]:
        """Look for results that came into the scene since; the names of those that are new."""
        found = find_pipelines(self.scene)
        new = tuple(name for name in found if name not in self._volumes)
        for name in new:
            self.add_pipeline(name, found[name])
        return new

    def say(self, question: Question, grade: Grade | None, confidence: int | None = None, comment: str = "") -> None:
        """Keep what the reader said, in the place of what was said to the question before.

        Parameters
        ----------
        question : Question
            What was asked.
        grade : Grade or None
            ``None`` if there is only a comment, or it cannot be graded.
        confidence : int, optional
            1 to 3.
        comment : str
            Any text.

        Raises
        ------
        InputError
            If there is no such lesion or pipeline, or the judgement cannot be right.
        """
        self.lesion(question.lesion_id)
        self.volumes(question.pipeline)
        said = Judgement(question=question, grade=grade, confidence=confidence, comment=comment)
        before = self._reading.judgements.get(question)
        if before is not None and replace(before, time=said.time) == said:
            return
        self._history.add(question, before, said)
        self._keep(self._reading.said(said))

    def withdraw(self, question: Question) -> None:
        """Take back what was said to a question, if anything was."""
        before = self._reading.judgements.get(question)
        if before is not None:
            self._history.add(question, before, None)
            self._keep(self._reading.without(question))

    def take_over(self, judgements: Iterable[Judgement]) -> int:
        """Add judgements from elsewhere as they are, where lesion and pipeline are here and nothing was said yet.

        Returns
        -------
        int
            How many were added.
        """
        ids, before = self._segments.segment_ids, len(self._reading.judgements)
        reading = self._reading
        for one in judgements:
            asked = one.question
            if asked.lesion_id in ids and asked.pipeline in self.pipelines and asked not in reading.judgements:
                reading = reading.said(one)
        if len(reading.judgements) > before:
            self._keep(reading)
        return len(reading.judgements) - before

    @property
    def can_undo(self) -> bool:
        """Whether there is a judgement to undo."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a judgement was undone."""
        return self._history.can_redo

    def undo(self) -> Question | None:
        """Undo the last judgement; gives its question, ``None`` if there is none."""
        if not self.can_undo:
            return None
        question, reading = self._history.undo(self._reading)
        self._keep(reading)
        return question

    def redo(self) -> Question | None:
        """Redo the judgement that was undone last; gives its question, ``None`` if there is none."""
        if not self.can_redo:
            return None
        question, reading = self._history.redo(self._reading)
        self._keep(reading)
        return question

    def select(self, lesion_id: str) -> None:
        """Make a lesion the current one; all slice views jump to it, centre it and zoom in.

        Raises
        ------
        InputError
            If there is none of that identity.
        """
        lesion = self.lesion(lesion_id)
        corners = box_corners_ras(self._segments.boxes[lesion_id], self._segments.grid)
        jump_to_lesion(self.scene, lesion.centroid_ras_mm, corners)
        self.selected = lesion_id
        self._notify(Change.SELECTION)

    @property
    def is_stale(self) -> bool:
        """Whether segments were edited since the last :meth:`synchronise`."""
        return self._events.has_edits

    def synchronise(self) -> Edits | None:
        """Follow edits of the segmentation: lesions keep identity and grades through split, merge, add and delete.

        Returns
        -------
        Edits or None
            What became of the lesions; ``None`` if no voxel was changed.

        Raises
        ------
        InputError
            If the voxels cannot be read, as under a transform; all stays as before.
        """
        if not self.is_stale:
            return None
        if not self._events.has_new_voxels:
            self._segments = with_names(self.segmentation, self._segments)
            self._after_edit(self._reading)
            return None
        ended = Ended(self._ended, self._dropped)
        edits, followed, segments = followed_segments(
            self.segmentation, self._segments, self._reading, ended, self._used
        )
        self._ended |= {one.lesion_id: one for one in self.lesions if one.lesion_id not in segments.segment_ids}
        self._used |= edits.used_ids
        said = {**self._dropped, **self._reading.judgements}
        self._dropped = {q: one for q, one in said.items() if q.lesion_id not in segments.segment_ids}
        self._segments = segments
        self._suggestions.forget()
        self._after_edit(followed)
        return edits

    def find_places(self, pipeline: str) -> int:
        """Name the places of lesions that have no name yet, from the masks of a pipeline; how many that are.

        Raises
        ------
        InputError
            If there is no such pipeline, or its masks cannot be used.
        """
        found = places(self.volumes(pipeline), self._segments)
        new = {one.lesion_id: found[one.lesion_id] for one in self.lesions if not one.place and one.lesion_id in found}
        if new:
            self.name_places(new)
        return len(new)

    def name_places(self, names: Mapping[str, str]) -> None:
        """Give lesions the anatomical names of their places, by identity."""
        lesions = tuple(replace(one, place=names.get(one.lesion_id, one.place)) for one in self.lesions)
        self._segments = replace(self._segments, lesions=lesions)
        self._keep(replace(self._reading, lesions=lesions), Change.LESIONS)

    def recoverable(self) -> tuple[Recovered, ...]:
        """Judgements on these lesions that were never saved, the latest first."""
        return recoverable(self._reading, self._autosave)

    def recover(self, recovered: Recovered) -> None:
        """Add judgements that were never saved; their file is taken away once they are in this session's own."""
        reading = self._reading
        for one in recovered.judgements:
            reading = reading.said(one)
        self._keep(reading)
        if not self.autosave_problem:
            recovered.file.remove()

    def tidy_autosave(self) -> None:
        """Take the autosave away if the scene was saved since; the session's end does it too."""
        try:
            remove_stale(self._reading, self._autosave, is_saved=self.store.is_saved)
        except ChiSepError as error:
            self.autosave_problem = str(error)

    def observe(self, callback: Callable[[Change], None]) -> Callable[[], None]:
        """Have a function called at every change.

        Returns
        -------
        callable
            Ends it; may be called more than once. The session's end does it too.
        """
        self._callbacks.append(callback)

        def remove() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return remove

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended."""
        return self._events.is_removed

    def close(self) -> None:
        """End the session: nothing of the scene is observed any more, and observers are told and let go."""
        if not self.is_closed:
            self.tidy_autosave()
            self._events.remove()
            self._notify(Change.CLOSED)
            self._callbacks.clear()

    def _present(self, reading: Reading) -> Reading:
        """The reading on the lesions that are there; what was said of others is kept aside."""
        ids = {one.lesion_id for one in self.lesions}
        judgements = {question: one for question, one in reading.judgements.items() if question.lesion_id in ids}
        self._dropped = {q: one for q, one in reading.judgements.items() if q not in judgements}
        return replace(reading, lesions=self.lesions, judgements=judgements)

    def _keep(self, reading: Reading, change: Change = Change.READING) -> None:
        """Write a reading into scene, tags and autosave, in this order, and tell the observers."""
        if self.is_closed:
            raise InputError("review of lesions", "a session that has ended", "one whose scene is open")
        changed = changed_lesions(self._reading, reading)
        self._reading = reading
        highest = max((label_of(one) for one in self._used), default=0)
        self.store.write(replace(reading, judgements={**self._dropped, **reading.judgements}), highest)
        self._write_tags({one: self._segments.segment_ids[one] for one in changed if one in self._segments.segment_ids})
        self._save()
        self._notify(change)

    def _write_tags(self, segment_ids: Mapping[str, str]) -> None:
        asked = len(GRADED_MAPS) * max(len(self.pipelines), 1)
        with self._events.ignored():
            self.store.write_tags(self._reading, segment_ids, asked)

    @property
    def _autosave(self) -> Autosave:
        return Autosave(self.store.key, self._token, self._autosave_folder)

    def _save(self) -> None:
        try:
            self._autosave.write(self._reading)
            self.autosave_problem = ""
        except ChiSepError as error:
            # The judgement is in the scene; a full disk must not stop the reader.
            self.autosave_problem = str(error)

    def _after_edit(self, reading: Reading) -> None:
        self._events.forget_edits()
        if self.selected not in self._segments.segment_ids:
            self.selected = ""
        self._history.keep_only(self._segments.segment_ids)
        self._reading = replace(reading, lesions=self.lesions)
        self._write_tags(self._segments.segment_ids)
        self._keep(self._reading, Change.LESIONS)

    def _on_edit(self) -> None:
        self._notify(Change.SEGMENTS)

    def _notify(self, change: Change) -> None:
        for callback in tuple(self._callbacks):
            callback(change)
