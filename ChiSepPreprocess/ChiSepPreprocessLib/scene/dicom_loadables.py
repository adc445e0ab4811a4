"""Multi-echo scans among DICOM files, as Slicer's DICOM module offers and loads them.

What a plugin of the DICOM module does, without that module: :func:`offers` looks at headers, :func:`load_offer` makes
sequence nodes. Slicer asks about all series that the user chose at once, so magnitude and phase are joined although
most scanners store them as two series.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..artifacts import Map
from ..dicom.checks import check_magnitude
from ..dicom.description import series_description
from ..dicom.gradient_echo import echo_times
from ..dicom.groups import COMBINED, Group, check_echoes, link, read_echoes
from ..dicom.headers import DamagedFileError, read_frames
from ..dicom.inventory import FEWEST_ECHOES
from ..dicom.roles import Component, Role
from ..dicom.series import DicomStack
from ..errors import InputError
from ..found import Found, Given, check_usable, volumes_behind
from ..loading import load_acquisition, load_spin_echo
from ..progress import Reporter
from ..study_table import faults_of
from .acquisition_nodes import DICOM_UIDS, sequence_behind
from .sequences import add_acquisition, add_browser, add_echoes, add_spin_echo, volumes_of
from .session import load_slicer

if TYPE_CHECKING:
    import slicer

#: Slicer's own reader of volumes, which stacks echoes on each other, has 0.5. A loadable with faults lies below it.
_SURE, _DOUBTFUL = 0.95, 0.3


class Kind(StrEnum):
    """What is offered."""

    GRE = "Multi-echo GRE (magnitude + phase)"
    GRE_MAGNITUDE = "Multi-echo GRE (magnitude)"
    SPIN_ECHO = "Multi-echo spin echo"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One scan that can be loaded, in the terms of Slicer's loadables.

    Parameters
    ----------
    kind : Kind
        What it is.
    files : tuple of str
        Its files, as Slicer named them.
    name, tooltip, warning : str
        For the user.
    selected : bool
        Whether it is loaded unless the user objects.
    confidence : float
        From 0 to 1; of loadables that share files Slicer prefers the highest.
    """

    kind: Kind
    files: tuple[str, ...]
    name: str
    tooltip: str
    warning: str
    selected: bool
    confidence: float


@dataclass(frozen=True)
class _Series:
    """One of the lists of files that Slicer asks about."""

    found: Found
    paths: dict[Path, str]

    @property
    def read(self) -> set[Path]:
        """Files of which there is an image."""
        return {path for stack in self.found.stacks for path in _paths(stack)}


def offers(file_lists: Iterable[Sequence[str]]) -> list[Offer]:
    """List the multi-echo scans among files; pixels are not read, and broken files raise nothing.

    Parameters
    ----------
    file_lists : iterable of sequence of str
        Files by series, as Slicer's DICOM module names them.
    """
    series = [one for files in file_lists for one in _examined(files)]
    groups = link(stack for one in series for stack in one.found.stacks if isinstance(stack, DicomStack))
    return [_offer(group, kind, series) for group in groups if (kind := _kind(group)) is not None]


def load_offer(
    scene: slicer.vtkMRMLScene, files: Sequence[str], *, name: str = "", folder_name: str = ""
) -> dict[str, Any]:
    """Load the scan of an offer as sequence nodes.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    files : sequence of str
        Of :attr:`Offer.files`.
    name : str, optional
        Begins the names of the nodes.
    folder_name : str, optional
        Folder in the subject hierarchy.

    Returns
    -------
    dict of str to vtkMRMLNode
        As of :func:`.sequences.add_acquisition`, and under ``volume`` the volume that shows the first echo.

    Raises
    ------
    InputError
        If the scan is not whole, or its headers do not tell what its values mean.
    """
    paths = [Path(file) for file in files]
    kind, group = _only_scan(paths)
    if kind is Kind.GRE:
        nodes = add_acquisition(scene, load_acquisition(paths), name=name, folder_name=folder_name)
    elif kind is Kind.SPIN_ECHO:
        nodes = add_spin_echo(scene, load_spin_echo(paths), name=name, folder_name=folder_name)
    else:
        nodes = _add_magnitude(scene, group, name)
    browser, sequence = (
        (nodes["se_browser"], nodes["se_magnitude"])
        if kind is Kind.SPIN_ECHO
        else (nodes["gre_browser"], nodes["gre_magnitude"])
    )
    return {**nodes, "volume": browser.GetProxyNode(sequence)}


def files_behind(node: Any, database: Any) -> tuple[Path, ...]:
    """Files from which Slicer loaded a node; none if it was not loaded from DICOM, or if files are gone.

    Their headers tell more than the node does: unit and sign of the phase, field strength.

    Parameters
    ----------
    node : vtkMRMLNode
        Volume or sequence.
    database : ctkDICOMDatabase
        ``slicer.dicomDatabase``.
    """
    # What a browser shows loses its attributes with every step.
    uids = (sequence_behind(node) or node).GetAttribute(DICOM_UIDS) or ""
    files = [database.fileForInstance(uid) for uid in uids.split()]
    return tuple(Path(file) for file in dict.fromkeys(files)) if all(files) else ()


def put_beside(scene: slicer.vtkMRMLScene, nodes: Iterable[Any], reference: Any) -> None:
    """Put nodes, and what browsers among them show, beside another, such as under the study that Slicer made for it."""
    hierarchy = load_slicer().vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(reference))
    for node in [shown for one in nodes for shown in (one, *volumes_of(one))]:
        item = hierarchy.GetItemByDataNode(node)
        if item == hierarchy.GetInvalidItemID():
            hierarchy.CreateItem(parent, node)
        else:
            hierarchy.SetItemParent(item, parent)


def _examined(files: Sequence[str]) -> list[_Series]:
    """Headers of a list of files; nothing if it holds no echoes of MR or files that are gone."""
    paths = {Path(file): file for file in files}
    if _may_hold_echoes(list(paths)):
        with suppress(InputError), volumes_behind(Given(tuple(paths))) as found:
            return [_Series(found, paths)]
    return []


def _may_hold_echoes(paths: Sequence[Path]) -> bool:
    """Whether the first, middle or last file is of a gradient or spin echo; spares reading all of other series."""
    for path in {paths[0], paths[len(paths) // 2], paths[-1]} if paths else ():
        with suppress(DamagedFileError):
            if any(frame.header.role in (Role.GRE, Role.SPIN_ECHO) for frame in read_frames(path)):
                return True
    return False


def _kind(group: Group) -> Kind | None:
    """What a scan is offered as, if at all."""
    if len(group.echoes) < FEWEST_ECHOES or not group.has_magnitude:
        return None
    if group.role == Role.GRE and group.has_phase:
        return Kind.GRE
    if group.coils != (COMBINED,):
        return None
    return {Role.GRE: Kind.GRE_MAGNITUDE, Role.SPIN_ECHO: Kind.SPIN_ECHO}.get(group.role)


def _offer(group: Group, kind: Kind, series: Sequence[_Series]) -> Offer:
    paths = {path for stack in group.stacks for path in _paths(stack)}
    own = [one for one in series if paths & one.paths.keys()]
    damaged = sum(one.found.damaged for one in own)
    # Damaged files go with the series they lie in, so that they are not lost unnoticed.
    lost = {path for one in own if one.found.damaged for path in one.paths.keys() - one.read}
    notes = [f"{damaged} files of the series are damaged: copy or export them again."] if damaged else []
    warning = " ".join([*notes, *faults_of(group)])
    description = series_description(_paths(group.echoes[0])[0])
    return Offer(
        kind=kind,
        files=tuple(text for one in own for path, text in one.paths.items() if path in paths | lost),
        name=f"{description}: {kind}" if description else str(kind),
        tooltip=f"{group.description}; loaded as sequences indexed by echo time",
        warning=warning,
        selected=not warning,
        confidence=_DOUBTFUL if warning else _SURE,
    )


def _paths(stack: Any) -> list[Path]:
    return [frame.path for frame in stack.frames] if isinstance(stack, DicomStack) else []


def _only_scan(paths: Sequence[Path]) -> tuple[Kind, Group]:
    with volumes_behind(Given(paths)) as found:
        check_usable(found)
        kinds = [(kind, group) for group in found.groups if (kind := _kind(group)) is not None]
    if len(kinds) != 1:
        raise InputError("DICOM files", f"{len(kinds)} multi-echo scans", "one", "Examine the series again.")
    return kinds[0]


def _add_magnitude(scene: Any, group: Group, name: str) -> dict[str, Any]:
    """Magnitude of a scan whose phase is missing."""
    stacks = group.of(Component.MAGNITUDE)
    check_echoes(stacks, "magnitude")
    times, _ = echo_times(stacks, None, "--echo-times")
    values, grid = read_echoes(stacks, Reporter())
    warnings = check_magnitude(values, times)
    one = Map(name="gre_magnitude", data=values, grid=grid, method="measured", warnings=warnings)
    sequence = add_echoes(scene, one, times, name=f"{name} {one.name}".strip())
    browser = add_browser(scene, (sequence,), name=f"{name} echoes".strip())
    return {"gre_magnitude": sequence, "gre_browser": browser}
