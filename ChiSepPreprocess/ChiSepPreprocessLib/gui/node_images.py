"""Images that are loaded in the scene as the input of a computation in another process. Needs no Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..acquisition_files import write_acquisition
from ..errors import InputError
from ..loading import LoadOptions
from ..progress import Reporter
from ..scene.acquisition_nodes import acquisition_from_nodes, sequence_behind, volumes_with_times
from ..scene.dicom_loadables import files_behind
from ..scene.sequences import ECHO_TIME
from ..scene.session import load_slicer
from ..scene.volumes import grid_from_node

#: What nodes can be given as.
ROLES = ("magnitude", "phase", "se", "flair")


def files_of(nodes: Mapping[str, Any], database: Any) -> dict[str, tuple[Path, ...]]:
    """Files from which all of the nodes were loaded, by role; empty unless there are files behind each of them.

    Parameters
    ----------
    nodes : mapping of str to vtkMRMLNode
        By :data:`ROLES`.
    database : ctkDICOMDatabase or None
        ``slicer.dicomDatabase``.
    """
    if database is None:
        return {}
    found = {role: files_behind(node, database) for role, node in nodes.items()}
    return found if all(found.values()) else {}


def check_given(nodes: Mapping[str, Any]) -> None:
    """Refuse a selection without magnitude or phase.

    Raises
    ------
    InputError
        If one is missing.
    """
    for role in ("magnitude", "phase"):
        if nodes.get(role) is None:
            raise InputError(f"GRE {role}", "nothing", "a sequence of echoes", "Choose it under 'Input'.")


def writer_of(
    nodes: Mapping[str, Any], options: LoadOptions, *, in_scanner_space: bool = False, se_is_turbo: bool = False
) -> Callable[[Path, Reporter], tuple[str, ...]]:
    """Make a function that writes the nodes' images as they are now, and may run in a thread of its own.

    Parameters
    ----------
    nodes : mapping of str to vtkMRMLNode
        By :data:`ROLES`; sequences of echoes, or volumes that a browser shows of them.
    options : LoadOptions
        What the nodes do not tell.
    in_scanner_space, se_is_turbo : bool
        As :func:`.acquisition_from_nodes` has them.

    Returns
    -------
    callable
        Takes a folder and a reporter, and gives the warnings of the acquisition.

    Raises
    ------
    InputError
        If magnitude or phase is missing, or a node stands under a transform.
    """
    check_given(nodes)
    copies = {role: echoes_apart(node) for role, node in nodes.items() if node is not None}

    def write(folder: Path, report: Reporter) -> tuple[str, ...]:
        acquisition = acquisition_from_nodes(
            copies["magnitude"], copies["phase"], se=copies.get("se", ()), flair=copies.get("flair", ()),
            options=options, in_scanner_space=in_scanner_space, se_is_turbo=se_is_turbo, report=report.span(0.0, 0.6),
        )  # fmt: skip
        write_acquisition(acquisition, folder, report.span(0.6, 1.0))
        return acquisition.warnings

    return write


def echoes_apart(node: Any) -> list[Any]:
    """Volumes of a node outside of any scene, one for each echo, which nobody else changes; voxels are not copied.

    Raises
    ------
    InputError
        If the node is no volume or sequence of volumes, or stands under a transform.
    """
    source = sequence_behind(node) or node
    return [_apart(volume, source, time_s) for volume, time_s in volumes_with_times(source)]


def _apart(volume: Any, described: Any, time_s: float | None) -> Any:
    if not volume.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(f"node '{described.GetName()}'", volume.GetClassName(), "volumes with one value in each voxel")
    grid_from_node(volume)  # refuses a transform, which the copy would lose
    from vtkmodules.vtkCommonMath import vtkMatrix4x4

    slicer, matrix = load_slicer(), vtkMatrix4x4()
    copy, image = slicer.vtkMRMLScalarVolumeNode(), type(volume.GetImageData())()
    volume.GetIJKToRASMatrix(matrix)
    image.ShallowCopy(volume.GetImageData())
    copy.SetName(described.GetName())
    copy.SetIJKToRASMatrix(matrix)
    copy.SetAndObserveImageData(image)
    for name in described.GetAttributeNames():
        copy.SetAttribute(name, described.GetAttribute(name))
    if time_s is not None:
        copy.SetAttribute(ECHO_TIME, repr(time_s))
    return copy
