"""Names of the lesions' places, found in the background for lesions that have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node

from ...lesions.identities import lesion_id_of
from .background import BackgroundTask


class PlaceNamer:
    """Asks the brain mask where lesions lie, once for each set of lesions without a name.

    Parameters
    ----------
    desk : Desk
        What is being read.
    """

    def __init__(self, desk: Any) -> None:
        self._desk = desk
        self._task = BackgroundTask(self._on_ended)
        self._tried: tuple[Any, frozenset[str]] | None = None
        self._found: Mapping[int, str] = {}

    def begin(self) -> None:
        """Begin, if there is a lesion without a name and a brain mask."""
        session = self._desk.session
        if session is None or self._task.running or not self._desk.pipeline:
            return
        wanted = session, frozenset(one.lesion_id for one in session.lesions if not one.place)
        mask = session.volumes(self._desk.pipeline).get("brain_mask")
        if mask is None or not wanted[1] or wanted == self._tried:
            return
        from ...lesions.naming import name_places

        self._tried, self._found = wanted, {}
        grid, brain = grid_from_node(mask), array_from_node(mask) > 0
        labels = session.segments.on_grid(grid).data

        def work() -> None:
            self._found = name_places(labels, grid, brain)

        self._task.run(work)

    def _on_ended(self, error: Exception | None) -> None:
        session, unnamed = self._tried or (None, frozenset())
        if error is not None or session is not self._desk.session or session.is_closed:
            return  # a name is no reason to trouble the reader
        places = {lesion_id_of(label): place for label, place in self._found.items()}
        if found := {one: places[one] for one in unnamed if one in places}:
            session.name_places(found)

    def close(self) -> None:
        """Look no more."""
        self._task.close()
