"""From nodes to an acquisition: sequence nodes, or volume nodes of single echoes, wherever they come from.

The nodes become volumes with headers and pass the rules and checks of files (:mod:`..loading`). What neither index
nor attribute of a node tells must be stated; nothing is guessed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..artifacts import Acquisition, Array, Grid
from ..dicom.roles import Component, Role, SequenceFacts
from ..dicom.stack import OWN_EXPORT, Header, Stack
from ..errors import InputError
from ..loading import LoadOptions, acquisition_of
from ..progress import Reporter
from ..quantities import ms_to_s
from .nodes import ARTIFACT, HANDEDNESS, OPTIONS, UNIT, WARNINGS
from .sequences import ECHO_TIME, FIELD_STRENGTH, FREQUENCY, SOURCE, TURBO
from .volumes import array_from_node, as_made, grid_from_node

#: One node, or several in the order of their echoes.
Nodes = Any | Sequence[Any]

#: Attribute that Slicer gives volumes which it loaded from DICOM, whose axes are those of the scanner.
DICOM_UIDS = "DICOM.instanceUIDs"

#: Attributes of sequences from Slicer's own importer of DICOM: what tells the volumes apart, its values, its unit.
_FRAME_TAG, _FRAME_VALUES, _FRAME_UNIT = (
    f"MultiVolume.{key}" for key in ("FrameIdentifyingDICOMTagName", "FrameLabels", "FrameIdentifyingDICOMTagUnits")
)

_NAMES_OF_ECHO_TIME = ("echotime", "te")


@dataclass(frozen=True)
class NodeStack(Stack):
    """One volume of a scene.

    Parameters
    ----------
    node : vtkMRMLScalarVolumeNode
        Holds the voxels.
    made : str or None
        Handedness that the grid had before a file of Slicer changed it.
    doubts : tuple of str
        What the user must confirm about it.
    """

    node: Any = field(repr=False)
    made: str | None = None
    doubts: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along i, j, k."""
        return self.grid().shape

    def grid(self) -> Grid:
        """Grid of the node.

        Raises
        ------
        InputError
            If it has no image or stands under a transform.
        """
        if self.node.GetImageData() is None:
            raise InputError(f"node '{self.node.GetName()}'", "no image", "a volume with voxels")
        return as_made(np.empty((0, 0, 0)), grid_from_node(self.node), self.made)[1]

    def read(self) -> Array:
        """Voxels as they are, float32."""
        values, _ = as_made(array_from_node(self.node), grid_from_node(self.node), self.made)
        return values.astype(np.float32, copy=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user must confirm."""
        return self.doubts


@dataclass(frozen=True)
class _Slot:
    """What nodes are given as."""

    artifact: str
    role: Role
    component: Component = Component.MAGNITUDE


_MAGNITUDE = _Slot("gre_magnitude", Role.GRE)
_PHASE = _Slot("gre_phase", Role.GRE, Component.PHASE)
_SPIN_ECHO = _Slot("se_magnitude", Role.SPIN_ECHO)
_FLAIR = _Slot("flair", Role.FLAIR)


def acquisition_from_nodes(
    magnitude: Nodes,
    phase: Nodes,
    *,
    se: Nodes = (),
    flair: Nodes = (),
    options: LoadOptions = LoadOptions(),  # noqa: B008 (frozen)
    in_scanner_space: bool = False,
    se_is_turbo: bool = False,
    report: Reporter = Reporter(),  # noqa: B008 (frozen)
) -> Acquisition:
    """Make an acquisition of nodes.

    Parameters
    ----------
    magnitude, phase : vtkMRMLSequenceNode, volume node, or a list of volume nodes in the order of their echoes
        Gradient echo. A volume that a sequence browser shows stands for its whole sequence.
    se : the same, optional
        Spin echo magnitude.
    flair : volume node, optional
        FLAIR.
    options : LoadOptions
        What the nodes do not tell: echo times, field strength, phase unit, sign of the phase.
    in_scanner_space : bool
        State that the axes of the nodes are those of the scanner, so that B0 runs along superior. Nodes from DICOM
        and from this extension tell it themselves.
    se_is_turbo : bool
        State that the spin echo is a turbo spin echo, where the node does not tell.
    report : Reporter
        Progress.

    Returns
    -------
    Acquisition
        In the project's units; warnings and source of nodes of this extension are kept.

    Raises
    ------
    InputError
        If something needed is missing, contradictory or broken, or a node stands under a transform.
    CancelledError
        If the user stops it.
    """
    gre = [*_stacks(magnitude, _MAGNITUDE), *_stacks(phase, _PHASE)]
    for stack in gre:
        _check_scanner_space(stack, in_scanner_space)
    acquisition = acquisition_of(
        gre,
        se=[_stated_turbo(stack, se_is_turbo) for stack in _stacks(se, _SPIN_ECHO)],
        flair=_stacks(flair, _FLAIR),
        options=options,
        report=report,
    )
    source = next((_content(node, SOURCE, dict) for node in _listed(magnitude)), None)
    return replace(
        acquisition,
        warnings=tuple(dict.fromkeys(acquisition.warnings)),
        source=acquisition.source if source is None else source,
    )


def _listed(nodes: Nodes) -> list[Any]:
    """Nodes as a list; a volume that a browser shows is replaced by its sequence."""
    several = list(nodes) if isinstance(nodes, list | tuple) else [nodes]
    return [sequence_behind(node) or node for node in several if node is not None]


def _stacks(nodes: Nodes, slot: _Slot) -> list[NodeStack]:
    return [stack for number, node in enumerate(_listed(nodes)) for stack in _stacks_of(node, slot, number)]


def _stacks_of(node: Any, slot: _Slot, number: int) -> Iterator[NodeStack]:
    """Volumes of one node, which tells about all of them."""
    held = node.GetAttribute(ARTIFACT)
    if held not in (None, slot.artifact):
        raise InputError(f"node '{node.GetName()}'", f"{held}", slot.artifact, "Choose another node.")
    doubts = tuple(str(text) for text in _content(node, WARNINGS, list) or ())
    for echo, (volume, time_s) in enumerate(volumes_with_times(node)):
        header = _header(node, slot, time_s, number * 1000 + echo)
        yield NodeStack(header, volume, node.GetAttribute(HANDEDNESS), doubts)


def volumes_with_times(node: Any) -> list[tuple[Any, float | None]]:
    """Volumes of a node, each with its echo time in s if it is known."""
    if not node.IsA("vtkMRMLSequenceNode"):
        time_s = node.GetAttribute(ECHO_TIME)
        return [(node, None if time_s is None else _number(node, time_s))]
    count = node.GetNumberOfDataNodes()
    volumes = [node.GetNthDataNode(item) for item in range(count)]
    if not all(volume.IsA("vtkMRMLScalarVolumeNode") for volume in volumes):
        raise InputError(f"sequence '{node.GetName()}'", "items that are no scalar volumes", "one volume for each echo")
    _check_no_transform(node)
    return list(zip(volumes, _echo_times_s(node, count), strict=True))


def _echo_times_s(sequence: Any, count: int) -> list[float | None]:
    """Echo times of a sequence if its index is called so and has a unit, or its attributes tell them."""
    if "".join((sequence.GetIndexName() or "").lower().split()) in _NAMES_OF_ECHO_TIME:
        values, unit = [sequence.GetNthIndexValue(item) for item in range(count)], sequence.GetIndexUnit()
    elif sequence.GetAttribute(_FRAME_TAG) == "EchoTime":
        values, unit = (sequence.GetAttribute(_FRAME_VALUES) or "").split(","), sequence.GetAttribute(_FRAME_UNIT)
    else:
        return [None] * count
    if unit not in ("ms", "s") or len(values) != count:
        return [None] * count
    # To the nanosecond, as headers are read, so that times in milliseconds come back as they were.
    numbers = [_number(sequence, value) for value in values]
    return [round(ms_to_s(number) if unit == "ms" else number, 9) for number in numbers]


def _number(node: Any, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"node '{node.GetName()}'", f"'{text}' as an echo time or field", "a number")
    return number


def _header(node: Any, slot: _Slot, echo_time_s: float | None, number: int) -> Header:
    is_own = node.GetAttribute(ARTIFACT) is not None
    field_t, frequency_hz = node.GetAttribute(FIELD_STRENGTH), node.GetAttribute(FREQUENCY)
    turbo = (_content(node, OPTIONS, dict) or {}).get(TURBO)
    return Header(
        role=slot.role,
        component=slot.component,
        facts=SequenceFacts(name="tse" if turbo else ""),
        echo_time_s=echo_time_s,
        echo_number=number,
        field_strength_t=None if field_t is None else _number(node, field_t),
        imaging_frequency_hz=None if frequency_hz is None else _number(node, frequency_hz),
        rescale_type=(node.GetAttribute(UNIT) or "") if is_own and slot.component == Component.PHASE else "",
        export=OWN_EXPORT if is_own else "scene",
        series="nodes",
    )


def _stated_turbo(stack: NodeStack, is_turbo: bool) -> NodeStack:
    silent = stack.header.export != OWN_EXPORT
    facts = SequenceFacts(name="tse")
    return replace(stack, header=replace(stack.header, facts=facts)) if silent and is_turbo else stack


def _check_scanner_space(stack: NodeStack, stated: bool) -> None:
    tells = stack.header.export == OWN_EXPORT or stack.node.GetAttribute(DICOM_UIDS)
    if not (tells or stated):
        raise InputError(f"axes of node '{stack.node.GetName()}'", "a node that does not tell where it comes from",
                         "axes of the scanner, which tell the direction of B0",
                         "Load the images from DICOM, or state that the node was never turned.")  # fmt: skip


def _browsers(node: Any) -> list[Any]:
    scene = node.GetScene()
    count = scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode") if scene is not None else 0
    return [scene.GetNthNodeByClass(n, "vtkMRMLSequenceBrowserNode") for n in range(count)]


def sequence_behind(node: Any) -> Any:
    """Sequence of which a browser shows one item as this volume; ``None`` for other nodes."""
    if node is None or node.IsA("vtkMRMLSequenceNode"):
        return None
    showing = (browser for browser in _browsers(node) if browser.IsProxyNodeID(node.GetID()))
    return next((browser.GetSequenceNode(node) for browser in showing), None)


def _check_no_transform(sequence: Any) -> None:
    """Refuse a sequence whose volume was moved in the scene: its items would not lie where they are seen."""
    for browser in _browsers(sequence):
        proxy = browser.GetProxyNode(sequence) if browser.IsSynchronizedSequenceNode(sequence, True) else None
        if proxy is not None and proxy.GetTransformNodeID():
            raise InputError(f"sequence '{sequence.GetName()}'", "a transform above its volume", "none",
                             "Take the volume out of the transform in the Data module.")  # fmt: skip


def _content(node: Any, attribute: str, kind: type) -> Any:
    """Content of an attribute that holds JSON; ``None`` without it."""
    text = node.GetAttribute(attribute)
    try:
        value = json.loads(text) if text else None
    except ValueError:
        value = text
    if value is not None and not isinstance(value, kind):
        raise InputError(f"node '{node.GetName()}'", f"a broken attribute {attribute}", "one that this extension wrote",
                         "Load the images again.")  # fmt: skip
    return value
