"""What the review has to know of the scene: edits of the segmentation, and the end of scene or segmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ChiSepPreprocessLib.scene.session import load_slicer

#: Events of a segmentation after which voxels may be others, and those after which only names and colours may be.
_VOXELS = ("SourceRepresentationModified", "SegmentAdded", "SegmentRemoved")
_NAMES = ("SegmentModified", "SegmentsOrderModified")


class SceneEvents:
    """Observers of a scene and one of its segmentations, until :meth:`remove`.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    segmentation : vtkMRMLSegmentationNode
        Lesions.
    edited, closed : callable
        Called when segments were edited, and when the scene is about to close or the segmentation is gone.
    """

    def __init__(
        self, scene: Any, segmentation: Any, *, edited: Callable[[], None], closed: Callable[[], None]
    ) -> None:
        slicer_module = load_slicer()
        self.has_edits = self.has_new_voxels = False
        self._edited, self._ignoring = edited, False
        self._observed: list[tuple[Any, int]] = []
        for name in _VOXELS:
            self._observe(segmentation, getattr(slicer_module.vtkSegmentation, name), self._on_voxels)
        for name in _NAMES:
            self._observe(segmentation, getattr(slicer_module.vtkSegmentation, name), self._on_names)
        self._observe(scene, scene.StartCloseEvent, lambda *_: closed())
        self._observe(scene, scene.NodeRemovedEvent, lambda *_: closed() if segmentation.GetScene() is None else None)

    @property
    def is_removed(self) -> bool:
        """Whether nothing is observed any more."""
        return not self._observed

    def remove(self) -> None:
        """Observe nothing any more."""
        for node, number in self._observed:
            node.RemoveObserver(number)
        self._observed = []

    def forget_edits(self) -> None:
        """Count edits from here on."""
        self.has_edits = self.has_new_voxels = False

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """Let what the block does with the segments be no edits."""
        before, self._ignoring = self._ignoring, True
        try:
            yield
        finally:
            self._ignoring = before

    def _observe(self, node: Any, event: Any, function: Callable[..., None]) -> None:
        self._observed.append((node, node.AddObserver(event, function)))

    def _on_voxels(self, *_: Any) -> None:
        self._on_edit(voxels=True)

    def _on_names(self, *_: Any) -> None:
        self._on_edit(voxels=False)

    def _on_edit(self, *, voxels: bool) -> None:
        if self._ignoring:
            return
        is_news = not self.has_edits
        self.has_edits = True
        self.has_new_voxels |= voxels
        # Once is enough until they are followed: a brush stroke makes many events.
        if is_news:
            self._edited()
