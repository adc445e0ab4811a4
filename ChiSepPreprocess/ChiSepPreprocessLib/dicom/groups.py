"""Volumes that belong together: the components and echoes of one scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..artifacts import Array, Grid
from ..errors import InputError
from ..files import check_voxel_size
from ..progress import Reporter
from .roles import Component, Role
from .stack import Stack

#: Echo times closer than this belong to the same echo.
ECHO_TIME_TOLERANCE_S = 1e-5

#: Stands for the name of a coil where the images of all coils are combined.
COMBINED = ""

#: Centre frequencies within a scan may differ by this share.
FREQUENCY_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Group:
    """The volumes of one scan."""

    stacks: tuple[Stack, ...]

    @cached_property
    def coils(self) -> tuple[str, ...]:
        """Names of the receive coils if the images of several lie apart, else one name that means all."""
        combined = {s.header.component for s in self.stacks if not s.header.coil}
        if {Component.MAGNITUDE, Component.PHASE} <= combined:
            return (COMBINED,)
        echoes = Counter((s.header.component, s.echo_order) for s in self.stacks)
        names = {s.header.coil for s in self.stacks} - {""}
        apart = len(names) > 1 and max(echoes.values()) > 1
        return tuple(sorted(names, key=lambda name: (len(name), name))) if apart else (COMBINED,)

    def of(self, component: Component, coil: str | None = None) -> list[Stack]:
        """Volumes of a component, in the order of their echoes; of uncombined images those of one coil."""
        name = self.coils[0] if coil is None else coil
        chosen = [s for s in self.stacks if s.header.component == component]
        if name == COMBINED:
            chosen = [s for s in chosen if not s.header.coil] or chosen
        else:
            chosen = [s for s in chosen if s.header.coil == name]
        return sorted(chosen, key=lambda s: s.echo_order)

    @property
    def role(self) -> Role:
        """Kind of sequence."""
        return self.stacks[0].header.role

    @property
    def is_real_imaginary(self) -> bool:
        """Whether it has real and imaginary parts and lacks magnitude or phase."""
        parts = bool(self.of(Component.REAL) and self.of(Component.IMAGINARY))
        return parts and not (self.of(Component.MAGNITUDE) and self.of(Component.PHASE))

    @property
    def has_phase(self) -> bool:
        """Whether phase is there or can be made."""
        return bool(self.of(Component.PHASE)) or self.is_real_imaginary

    @property
    def has_magnitude(self) -> bool:
        """Whether magnitude is there or can be made."""
        return bool(self.of(Component.MAGNITUDE)) or self.is_real_imaginary

    @property
    def echoes(self) -> list[Stack]:
        """One volume for each echo: magnitude where it is there."""
        order = (Component.MAGNITUDE, Component.REAL, Component.PHASE, Component.IMAGINARY)
        return next((self.of(part) for part in order if self.of(part)), list(self.stacks))

    @property
    def description(self) -> str:
        """Short text for people, without patient data."""
        i, j, k = self.echoes[0].shape
        times = [s.header.echo_time_s for s in self.echoes]
        known = ", ".join("?" if time is None else f"{time * 1e3:.4g}" for time in times)
        echoes = f"echo times {known} ms" if any(times) else f"{len(times)} volumes of unknown echo time"
        parts = "+".join(sorted({s.header.component.value for s in self.stacks}))
        return f"{self.role} {parts}, {i}×{j}×{k}, {echoes}"


def link(stacks: Iterable[Stack]) -> list[Group]:
    """Join volumes that share a series, or role, study, repetition time and matrix (phase is often apart)."""
    groups: list[tuple[set[object], list[Stack]]] = []
    for stack in stacks:
        keys, members = _keys(stack), [stack]
        for other in [group for group in groups if group[0] & keys]:
            keys, members = keys | other[0], other[1] + members
            groups.remove(other)
        groups.append((keys, members))
    return [Group(tuple(members)) for _, members in groups]


def _keys(stack: Stack) -> set[object]:
    header = stack.header
    keys: set[object] = {("series", header.series, header.role)}
    if header.role not in (Role.FLAIR, Role.OTHER):
        repetition = None if header.repetition_time_s is None else round(header.repetition_time_s, 5)
        keys.add(("alike", header.role, header.patient, header.study, repetition, stack.shape[:2]))
    return keys


def of_role(groups: Sequence[Group], *roles: Role) -> list[Group]:
    """Groups of these roles; if none, those whose headers are silent."""
    found = [group for group in groups if group.role in roles]
    return found or [group for group in groups if group.role == Role.UNKNOWN]


def check_one_session(stacks: Sequence[Stack]) -> None:
    """Refuse several patients or studies.

    Raises
    ------
    InputError
        It counts them and names nobody.
    """
    headers = [stack.header for stack in stacks if stack.header.patient]
    patients, studies = {h.patient for h in headers}, {h.study for h in headers}
    if len(patients) > 1:
        raise InputError("DICOM files", f"images of {len(patients)} patients", "one patient",
                         "Give the files of one patient.")  # fmt: skip
    if len(studies) > 1:
        raise InputError("DICOM files", f"images of {len(studies)} sessions (studies)", "one session",
                         "Give the files of one session.")  # fmt: skip


def check_one_field_strength(group: Group) -> None:
    """Refuse parts of a scan whose headers state different fields: they are not of one scan.

    Raises
    ------
    InputError
        With the values.
    """
    headers = [stack.header for stack in group.stacks]
    strengths_t = {round(h.field_strength_t, 2) for h in headers if h.field_strength_t}
    if len(strengths_t) > 1:
        listed = ", ".join(f"{value:g}" for value in sorted(strengths_t))
        raise InputError("field strength", f"{listed} T in the headers of one scan", "one value",
                         "Give magnitude and phase of one scan.")  # fmt: skip
    frequencies_hz = [h.imaging_frequency_hz for h in headers if h.imaging_frequency_hz]
    low, high = min(frequencies_hz, default=1.0), max(frequencies_hz, default=1.0)
    if high > low * (1.0 + FREQUENCY_TOLERANCE):
        raise InputError("imaging frequency", f"{low / 1e6:.6g} to {high / 1e6:.6g} MHz in the headers of one scan",
                         "one value", "Give magnitude and phase of one scan.")  # fmt: skip


def check_one_frame_of_reference(group: Group) -> None:
    """Refuse parts of a scan that were measured in different positions.

    Raises
    ------
    InputError
        If there are several frames of reference.
    """
    count = len({stack.header.frame_of_reference for stack in group.stacks})
    if count > 1:
        raise InputError("gradient echo scan", f"images of {count} frames of reference (sessions or repositioning)",
                         "one", "Give the series of one scan.")  # fmt: skip


def check_echoes(stacks: Sequence[Stack], what: str) -> None:
    """Refuse repeated echo times, echoes of different size, broken geometry and voxels that no head has.

    Raises
    ------
    InputError
        Naming what repeats or differs.
    """
    counts = Counter(stack.echo_order for stack in stacks)
    repeated = [order for order, count in counts.items() if count > 1]
    if repeated:
        raise InputError(what, f"{counts[repeated[0]]} volumes for the echo time {repeated[0][0] * 1e3:.4g} ms",
                         "one for each echo time",
                         "Give one scan only, and one version of each image.")  # fmt: skip
    grids = [stack.grid() for stack in stacks]
    shapes = {grid.shape for grid in grids}
    if len(shapes) > 1:
        sizes = ", ".join("×".join(map(str, shape)) for shape in sorted(shapes))
        raise InputError(what, f"echoes of different size: {sizes}", "the same size for every echo",
                         "Slices are missing, or echoes of different scans are mixed.")  # fmt: skip
    for grid in grids:
        check_voxel_size(grid, what)


def read_echoes(stacks: Sequence[Stack], report: Reporter, out: Array | None = None) -> tuple[Array, Grid]:
    """Read the echoes of one component.

    Parameters
    ----------
    stacks : sequence of Stack
        One for each echo (and coil).
    report : Reporter
        Progress.
    out : ndarray, shape (I, J, K, E), optional
        Takes the values.

    Returns
    -------
    values : ndarray, shape (I, J, K, E)
        float32, as the headers scale them.
    grid : Grid
        Of the first echo.

    Raises
    ------
    InputError
        If the grids differ or a file cannot be read.
    """
    grid = stacks[0].grid()
    component = stacks[0].header.component
    for echo, stack in enumerate(stacks, 1):
        check_same_grid(stack.grid(), grid, f"{component} of echo {echo}")
    values = np.empty((*grid.shape, len(stacks)), dtype=np.float32) if out is None else out
    for echo, volume in enumerate(stacks[0].read_all(stacks)):
        report("load", echo / len(stacks), f"{component} of echo {echo + 1}")
        values[..., echo] = volume
    return values, grid


def check_same_grid(grid: Grid, reference: Grid, what: str) -> None:
    """Refuse volumes that lie elsewhere.

    Raises
    ------
    InputError
        With both sizes, or the place.
    """
    if not grid.matches(reference):
        size, expected = ("×".join(map(str, one.shape)) for one in (grid, reference))
        same = "the same size in another place" if grid.shape == reference.shape else f"size {size}"
        raise InputError(what, same, f"the grid of the scan's first volume, {expected}",
                         "Slices are missing, or echoes of different scans are mixed.")  # fmt: skip
