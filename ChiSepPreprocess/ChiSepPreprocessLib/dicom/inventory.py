"""What a set of files holds, without patient data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .groups import Group, check_echoes, check_one_field_strength, check_one_frame_of_reference
from .roles import Component, Role, is_turbo
from .stack import Stack

#: Fewer echoes cannot tell decay; thinner slabs cannot tell fields.
FEWEST_ECHOES = 2
FEWEST_VOXELS = 8


@dataclass(frozen=True, kw_only=True)
class SeriesRow:
    """One component of one scan.

    Parameters
    ----------
    scan : int
        Rows of the same scan share the number, from 1.
    role, component : str
        What it is, such as ``"gre"``, ``"phase"``.
    echo_times_s : tuple of float or None
        One for each echo, s; ``None`` where the header is silent.
    shape : tuple of int
        Voxels along i, j, k.
    voxel_size_mm : tuple of float or None
        ``None`` if the geometry is broken.
    vendor : str
        Manufacturer.
    field_strength_t : float or None
        B0, T.
    """

    scan: int
    role: str
    component: str
    echo_times_s: tuple[float | None, ...]
    shape: tuple[int, int, int]
    voxel_size_mm: tuple[float, float, float] | None
    vendor: str
    field_strength_t: float | None

    @property
    def echoes(self) -> int:
        """Number of echoes."""
        return len(self.echo_times_s)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What is there and what is missing.

    Parameters
    ----------
    series : tuple of SeriesRow
        Sorted by scan, component.
    files, skipped_files, damaged_files : int
        All files; those that are no MR images; those that begin as DICOM and cannot be read.
    obstacles : tuple of str
        Why maps cannot be reconstructed; empty if they can.
    problems : tuple of str
        Everything the user should know, obstacles first.
    """

    series: tuple[SeriesRow, ...]
    files: int
    skipped_files: int
    damaged_files: int
    obstacles: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def can_reconstruct(self) -> bool:
        """Whether the gradient echo scan suffices for susceptibility maps."""
        return not self.obstacles

    def to_json(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {**asdict(self), "can_reconstruct": self.can_reconstruct}


def rows_of(number: int, group: Group) -> list[SeriesRow]:
    """Rows of one scan."""
    present = [part for part in Component if group.of(part)]
    return [_row(number, group, group.of(part)) for part in present]


def _row(number: int, group: Group, stacks: Sequence[Stack]) -> SeriesRow:
    header = stacks[0].header
    turbo = header.role == Role.SPIN_ECHO and is_turbo(header.facts, len(group.echoes))
    return SeriesRow(
        scan=number,
        role=(Role.TURBO_SPIN_ECHO if turbo else header.role).value,
        component=header.component.value,
        echo_times_s=tuple(stack.header.echo_time_s for stack in stacks),
        shape=stacks[0].shape,
        voxel_size_mm=_voxel_size_mm(stacks[0]),
        vendor=header.vendor.value,
        field_strength_t=header.field_strength_t,
    )


def _voxel_size_mm(stack: Stack) -> tuple[float, float, float] | None:
    try:
        di, dj, dk = np.round(stack.grid().voxel_size_mm, 4)
    except InputError:
        return None
    return float(di), float(dj), float(dk)


def obstacles_of(group: Group) -> list[str]:
    """Why a gradient echo scan of magnitude and phase does not suffice for susceptibility maps."""
    found = []
    if len(group.echoes) < FEWEST_ECHOES:
        found.append(f"{len(group.echoes)} echo; at least {FEWEST_ECHOES} are needed")
    if min(group.echoes[0].shape) < FEWEST_VOXELS:
        found.append(f"{too_thin(group.echoes[0].shape)}; at least {FEWEST_VOXELS} voxels are needed along each axis")
    if any(stack.header.echo_time_s is None for stack in group.echoes):
        found.append("echo times are missing from the headers; state them with --echo-times")
    header = group.echoes[0].header
    if header.field_strength_t is None and header.imaging_frequency_hz is None:
        found.append("field strength is missing from the headers; state it with --field-strength")
    return found + broken(group)


def too_thin(shape: tuple[int, ...]) -> str:
    """Say how thin a volume is: '1 slice'."""
    thinnest = min(shape)
    if shape[2] == thinnest:
        return f"{thinnest} slice{'s' if thinnest > 1 else ''}"
    return f"{thinnest} voxels along an axis"


def broken(group: Group) -> list[str]:
    """Faults of echoes and geometry, one for each component at most."""
    faults = []
    for part in Component:
        try:
            check_echoes(group.of(part), part.value)
        except InputError as error:
            faults.append(str(error))
    for check in (check_one_frame_of_reference, check_one_field_strength):
        try:
            check(group)
        except InputError as error:
            faults.append(str(error))
    return faults
