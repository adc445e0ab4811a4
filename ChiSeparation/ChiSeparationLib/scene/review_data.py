"""What a review holds and asks, without changing anything: lesions, judgements, results, questions, suggestions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ChiSepPreprocessLib.errors import InputError

from ..lesions.blinding import Progress, progress, reading_order
from ..lesions.identities import label_of
from ..lesions.reading import GRADED_MAPS, Lesion, Question, Reading
from .lesion_segments import LesionSegments
from .suggestions import Suggestions

if TYPE_CHECKING:
    import slicer

    from ChiSepPreprocessLib.artifacts import Grid
    from ChiSepPreprocessLib.morphology import Mask

    from ..lesions.table import LesionTable


class ReviewData:
    """State of a review.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    segmentation : vtkMRMLSegmentationNode
        Lesions.
    segments : LesionSegments
        Who the lesions are, and where.
    reading : Reading
        What was said of them.
    volumes : mapping of str to mapping of str to vtkMRMLVolumeNode
        Results by pipeline.
    """

    def __init__(
        self, scene: slicer.vtkMRMLScene, segmentation: Any, segments: LesionSegments, reading: Reading,
        volumes: Mapping[str, Mapping[str, Any]],
    ) -> None:  # fmt: skip
        self.scene, self.segmentation = scene, segmentation
        #: Identity of the lesion that the views show; empty at first.
        self.selected = ""
        self._segments, self._reading = segments, reading
        self._volumes = {name: dict(one) for name, one in volumes.items()}
        self._suggestions = Suggestions()

    @property
    def lesions(self) -> tuple[Lesion, ...]:
        """Lesions in the order of the segments, as of the last :meth:`synchronise`."""
        return self._segments.lesions

    @property
    def reading(self) -> Reading:
        """Lesions and all judgements."""
        return self._reading

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the results."""
        return tuple(self._volumes)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What concerns all lesions, such as segments that overlap."""
        return self._segments.warnings

    @property
    def segments(self) -> LesionSegments:
        """Where the lesions lie."""
        return self._segments

    def lesion(self, lesion_id: str) -> Lesion:
        """One lesion.

        Raises
        ------
        InputError
            If there is none of that identity.
        """
        found = next((one for one in self.lesions if one.lesion_id == lesion_id), None)
        if found is None:
            raise InputError("lesion", lesion_id or "none", f"one of the {len(self.lesions)} lesions",
                             "Choose a lesion of the table.")  # fmt: skip
        return found

    def segment_id(self, lesion_id: str) -> str:
        """Segment ID of a lesion, for Slicer's own widgets.

        Raises
        ------
        InputError
            If there is none of that identity.
        """
        return self._segments.segment_ids[self.lesion(lesion_id).lesion_id]

    def volumes(self, pipeline: str) -> dict[str, Any]:
        """Volume nodes of a pipeline by artifact; those that left the scene are left out.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        if pipeline not in self._volumes:
            raise InputError("pipeline", repr(pipeline), f"one of {', '.join(self.pipelines) or 'none: no χ maps yet'}")
        present = self.scene.IsNodePresent
        return {name: node for name, node in self._volumes[pipeline].items() if node is not None and present(node)}

    def label(self, lesion_id: str) -> int:
        """Number of a lesion in label maps and tables."""
        return label_of(lesion_id)

    def questions(
        self, reader: str, repeat: int = 1, pipelines: Iterable[str] | None = None,
        maps: Sequence[str] = GRADED_MAPS, seed: int | None = None,
    ) -> tuple[Question, ...]:  # fmt: skip
        """List what a reader is asked, in order.

        Parameters
        ----------
        reader : str
            Name of the reader.
        repeat : int
            How many times the reader has read, this time included.
        pipelines : iterable of str, optional
            All by default.
        maps : sequence of str
            Graded maps; those that a pipeline lacks are not asked.
        seed : int, optional
            Random order for a blinded reading, the same for the same reader and seed; lesion by lesion without it.
        """
        names = tuple(self.pipelines if pipelines is None else pipelines)
        there = {name: self.volumes(name) for name in names}
        asked = tuple(
            Question(lesion.lesion_id, map_name, name, reader, repeat)
            for name in names
            for lesion in self.lesions
            for map_name in maps
            if map_name in there[name]
        )
        if seed is None:
            return asked
        return reading_order(asked, reader, seed, self._reading.patient)

    def next_ungraded(
        self, reader: str, repeat: int = 1, pipelines: Iterable[str] | None = None,
        maps: Sequence[str] = GRADED_MAPS, after: Question | None = None, seed: int | None = None,
    ) -> Question | None:  # fmt: skip
        """Find the next question without a judgement behind ``after``, from the start again at the end.

        Parameters as in :meth:`questions`; gives ``None`` if all are answered.
        """
        asked = self.questions(reader, repeat, pipelines, maps, seed)
        start = asked.index(after) + 1 if after in asked else 0
        in_turn = (*asked[start:], *asked[:start])
        return next((one for one in in_turn if one not in self._reading.judgements), None)

    def progress(
        self, reader: str, repeat: int = 1, pipelines: Iterable[str] | None = None, maps: Sequence[str] = GRADED_MAPS
    ) -> Progress:
        """How many questions are answered, graded, and asked; parameters as in :meth:`questions`."""
        return progress(self._reading, self.questions(reader, repeat, pipelines, maps))

    def suggestions(self, pipeline: str) -> LesionTable:
        """Measure every lesion in the maps of a pipeline and suggest grades; computed when lesions or maps changed.

        Returns
        -------
        LesionTable
            Rows by label; lesion ``Lesion_12`` has the label 12. Lesions outside brain or field have a flag and no
            grade. Lesions without a voxel of the maps have no row.

        Raises
        ------
        InputError
            If there is no such pipeline, or its maps cannot be measured.
        """
        return self._suggestions.table(pipeline, self.volumes(pipeline), self._segments)

    def shell(self, pipeline: str, lesion_id: str) -> tuple[Mask, Grid]:
        """White matter that a lesion is compared with in the maps of a pipeline, as a mask on a grid of its own.

        Raises
        ------
        InputError
            If there is no such lesion or pipeline, or its maps cannot be measured.
        """
        self.lesion(lesion_id)
        return self._suggestions.shell(pipeline, self.volumes(pipeline), self._segments, lesion_id)
