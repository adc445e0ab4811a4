"""What the views of a review show: FLAIR and the χ maps of one pipeline, outlines, reference region, legends.

::

    views = ReviewViews(session)              # follows the session until close()
    views.show(FOUR_ROW, pipeline="medi")     # layouts of ChiSepPreprocessLib.scene.layouts
    views.show_pipeline("closed-form")        # windows, colours and places stay
    views.flicker("medi", "closed-form") -> str    # the other of the two; gives the one that is shown now
    views.set_outlines(Outlines.SELECTED); views.set_reference(True); views.set_legend(True)
    views.pipeline, views.outlines, views.reference, views.legend, views.reference_problem
    views.close()
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from ChiSepPreprocessLib.errors import ChiSepError, InputError
from ChiSepPreprocessLib.scene.layouts import FOUR_GRID, FOUR_ROW, Layout, ViewPlace, composite_node, current_layout
from ChiSepPreprocessLib.scene.nodes import ARTIFACT
from ChiSepPreprocessLib.scene.views import show_maps
from ChiSepPreprocessLib.scene.volume_display import set_legend

from .pipelines import MADE
from .reference_shell import hide_shell, show_shell
from .review_session import Change, ReviewSession

#: Layouts that the review offers.
LAYOUTS = (FOUR_ROW, FOUR_GRID)

_KEYS = ("flair", *MADE)


class Outlines(Enum):
    """Which lesions have outlines."""

    ALL = "all"
    SELECTED = "selected"
    NONE = "none"


class ReviewViews:
    """The views of one session.

    Parameters
    ----------
    session : ReviewSession
        It is followed until it closes, or until :meth:`close`.
    """

    def __init__(self, session: ReviewSession) -> None:
        self.session, self.scene = session, session.scene
        self.pipeline = ""
        self.outlines, self.reference, self.legend = Outlines.ALL, False, False
        #: Why the reference region of the selected lesion is not shown; empty if it is, or is not wanted.
        self.reference_problem = ""
        self._stop = session.observe(self._on_change)

    def show(self, layout: Layout = FOUR_ROW, pipeline: str = "") -> dict[str, Any]:
        """Bring FLAIR, χ_para, χ_dia and QSM of one pipeline to the screen, linked.

        Parameters
        ----------
        layout : Layout
            One of :data:`LAYOUTS`.
        pipeline : str, optional
            The one shown before by default, else the first.

        Returns
        -------
        dict of str to vtkMRMLSliceNode
            Slice node by what its view shows.

        Raises
        ------
        InputError
            If there are no results, or none of that name.
        """
        if layout not in LAYOUTS:
            raise InputError("layout", layout.title, f"one of {', '.join(one.title for one in LAYOUTS)}")
        name = pipeline or self.pipeline or next(iter(self.session.pipelines), "")
        volumes = self.session.volumes(name)
        self._share_display(volumes)
        nodes = show_maps(self.scene, {key: volumes.get(key) for key in _KEYS}, layout=layout)
        self.pipeline = name
        if self.session.selected:
            self.session.select(self.session.selected)
        return nodes

    def show_pipeline(self, name: str) -> None:
        """Show the maps of another pipeline in the views as they are: place, windows and colours stay.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        volumes = self.session.volumes(name)
        self._share_display(volumes)
        for view in self._views():
            if view.key in MADE:
                self._put(view, volumes.get(view.key))
        self.pipeline = name
        self._update_reference()

    def flicker(self, first: str, second: str) -> str:
        """Show that one of two pipelines that is not shown now.

        Raises
        ------
        InputError
            If there is no such pipeline.
        """
        self.show_pipeline(second if self.pipeline == first else first)
        return self.pipeline

    def set_outlines(self, outlines: Outlines) -> None:
        """Draw outlines of all lesions, of the selected one, or of none."""
        self.outlines = outlines
        self._update_outlines()

    def set_reference(self, on: bool) -> None:
        """Draw the outline of the white matter that the selected lesion is compared with."""
        self.reference = on
        self._update_reference()

    def set_legend(self, on: bool) -> None:
        """Show or hide the colour legends of the χ maps of all pipelines."""
        self.legend = on
        for name in self.session.pipelines:
            for key, node in self.session.volumes(name).items():
                if key in MADE:
                    set_legend(node, on)

    def close(self) -> None:
        """Follow the session no more, show all outlines again and take the reference region out of the scene."""
        self._stop()
        if not self.session.is_closed:
            self.set_outlines(Outlines.ALL)
            hide_shell(self.scene)

    def _on_change(self, change: Change) -> None:
        if change is Change.CLOSED and not self.scene.IsClosing():
            hide_shell(self.scene)
        if change in (Change.SELECTION, Change.LESIONS):
            self._update_outlines()
            self._update_reference()

    def _views(self) -> tuple[ViewPlace, ...]:
        layout = current_layout(self.scene)
        return layout.views if layout in LAYOUTS else ()

    def _put(self, view: ViewPlace, node: Any) -> None:
        """Change the map of a view, which lies in front where an image is below the maps."""
        composite = composite_node(self.scene, view)
        front = self.scene.GetNodeByID(composite.GetForegroundVolumeID() or "")
        is_linked = composite.GetLinkedControl()
        composite.SetLinkedControl(False)  # lest the views hand their layers on to each other
        identifier = node.GetID() if node is not None else None
        if front is not None and front.GetAttribute(ARTIFACT) == view.key:
            composite.SetForegroundVolumeID(identifier)
        else:
            composite.SetBackgroundVolumeID(identifier)
        composite.SetLinkedControl(is_linked)

    def _share_display(self, volumes: dict[str, Any]) -> None:
        """Give the maps that come the window and colours of those that go, or flicker would compare windows."""
        if not self.pipeline or self.pipeline not in self.session.pipelines:
            return
        for key, source in self.session.volumes(self.pipeline).items():
            target = volumes.get(key)
            if key in MADE and target is not None and target is not source:
                _copy_display(source.GetDisplayNode(), target.GetDisplayNode())

    def _update_outlines(self) -> None:
        node = self.session.segmentation
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        was_modifying = display.StartModify()
        display.SetVisibility(self.outlines is not Outlines.NONE)
        display.SetAllSegmentsVisibility(self.outlines is Outlines.ALL)
        if self.outlines is Outlines.SELECTED and self.session.selected:
            display.SetSegmentVisibility(self.session.segment_id(self.session.selected), True)
        display.EndModify(was_modifying)

    def _update_reference(self) -> None:
        self.reference_problem = ""
        if not (self.reference and self.session.selected and self.pipeline):
            hide_shell(self.scene)
            return
        try:
            show_shell(self.scene, *self.session.shell(self.pipeline, self.session.selected))
        except ChiSepError as error:
            hide_shell(self.scene)
            self.reference_problem = str(error)


def _copy_display(source: Any, target: Any) -> None:
    target.SetAndObserveColorNodeID(source.GetColorNodeID())
    target.AutoWindowLevelOff()
    target.SetWindowLevelMinMax(source.GetWindowLevelMin(), source.GetWindowLevelMax())
    target.SetInterpolate(source.GetInterpolate())
