"""The four steps from DICOM to result, and how far the scene has come. Needs no Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any

from slicer.i18n import tr as _

from ChiSepPreprocessLib.scene.nodes import ARTIFACT, METHOD

LOAD, MAPS, CHI, VIEW = range(1, 5)
COUNT = 4

#: Module with the details of each step.
MODULES = {LOAD: "DICOM", MAPS: "ChiSepPreprocess", CHI: "ChiSepReconstruct", VIEW: "SegmentEditor"}

#: What the views show, in their order; all but the first are maps.
SHOWN = ("flair", "chi_para", "chi_dia", "chi_total")
CHI_MAPS = SHOWN[1:]

#: Steps that the whole run takes, with the share of the run at which each ends, as ``workflow.run`` divides it.
_ENDS = {LOAD: 0.13, MAPS: 0.85, CHI: 1.0}


class State(Enum):
    """How a step stands."""

    DONE = auto()
    NEXT = auto()
    #: Something that it needs is not there.
    MISSING = auto()
    RUNNING = auto()


def heading(step: int, state: State) -> str:
    """Number, name and state of a step in words."""
    names = {LOAD: _("Load"), MAPS: _("Maps"), CHI: _("χ maps"), VIEW: _("View and read")}
    words = {
        State.DONE: _("done"), State.NEXT: _("next"), State.MISSING: _("missing"), State.RUNNING: _("running"),
    }  # fmt: skip
    return _("{number}  {name}: {state}").format(number=step, name=names[step], state=words[state])


def newest(scene: Any) -> dict[str, Any]:
    """Find the last node of each artifact in a scene, and as ``flair`` the last image with that in its name.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`ChiSepPreprocessLib.scene.session`.

    Returns
    -------
    dict of str to vtkMRMLVolumeNode
        By artifact; difference images and volumes without voxels are left out.
    """
    found = {}
    for node in scene.GetNodesByClass("vtkMRMLVolumeNode"):
        name = node.GetAttribute(ARTIFACT) or ("flair" if _is_flair(node) else "")
        if name and node.GetImageData() is not None:
            found[name] = node
    return found


def _is_flair(node: Any) -> bool:
    return "flair" in (node.GetName() or "").lower() and not node.IsA("vtkMRMLLabelMapVolumeNode")


def states(found: Mapping[str, Any], *, given: bool, complete: bool, shown: bool) -> dict[int, State]:
    """How each step stands: done, or next, or waiting for one before it.

    Parameters
    ----------
    found : mapping
        Of :func:`newest`.
    given : bool
        Whether images are chosen.
    complete : bool
        Whether they suffice, or nothing is known against them.
    shown : bool
        Whether the views of the maps are on the screen.

    Returns
    -------
    dict of int to State
        By step. Images that do not suffice are missing something; what was made counts whatever became of its images.
    """
    has_chi = any(name in found for name in CHI_MAPS)
    has_maps = has_chi or "local_field" in found
    done = {LOAD: has_maps or (given and complete), MAPS: has_maps, CHI: has_chi, VIEW: has_chi and shown}
    following = next((step for step, is_done in done.items() if not is_done), None)
    answer = {
        step: State.DONE if is_done else State.NEXT if step == following else State.MISSING
        for step, is_done in done.items()
    }
    if given and not complete and not done[LOAD]:
        answer[LOAD] = State.MISSING
    return answer


def running(fraction: float) -> dict[int, State]:
    """How each step stands while the whole run is at a share of it, 0 to 1."""
    current = next((step for step, end in _ENDS.items() if fraction < end), CHI)
    return {
        step: State.DONE if step < current else State.RUNNING if step == current else State.MISSING
        for step in range(1, COUNT + 1)
    }


def maps_sentence(found: Mapping[str, Any]) -> str:
    """Say which maps are in the scene."""
    names = [name for name in found if name not in SHOWN]
    if not names:
        return _("No maps yet. Run everything makes them; the button below makes them step by step.")
    return _("In the scene: {names}.").format(names=", ".join(names))


def chi_sentence(found: Mapping[str, Any]) -> str:
    """Say which χ maps are in the scene, and by which method."""
    names = [name for name in CHI_MAPS if name in found]
    if not names:
        return _("No χ maps yet. Run everything makes them with the method below.")
    methods = dict.fromkeys(found[name].GetAttribute(METHOD) or "?" for name in names)
    return _("In the scene: {names}, by {methods}.").format(names=", ".join(names), methods=", ".join(methods))


def view_sentence(found: Mapping[str, Any]) -> str:
    """Say what can be looked at."""
    lacking = [name for name in SHOWN if name not in found]
    if not set(CHI_MAPS) - set(lacking):
        return _("There are no χ maps to look at yet.")
    if lacking:
        return _("Not in the scene, so its view stays empty: {names}.").format(names=_listed(lacking))
    return _("FLAIR, χ_para, χ_dia and QSM move together; hold Shift to move the crosshair.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join({"flair": "FLAIR", "chi_total": "QSM"}.get(name, name) for name in names)
