"""What a folder or a set of files holds, as a table for people: what each series is, its use, and what is missing.

The reading is that of :mod:`.loading`; pixels are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from .dicom.description import series_description
from .dicom.groups import Group, check_echoes, check_one_session
from .dicom.inventory import FEWEST_ECHOES, FEWEST_VOXELS, Inventory, SeriesRow, rows_of, too_thin
from .dicom.roles import Component, Role
from .dicom.series import DicomStack
from .dicom.stack import Stack
from .errors import InputError
from .loading import Survey, surveyed
from .nifti import NiftiStack
from .progress import Reporter


class Use(StrEnum):
    """What a row will be used as."""

    GRE_MAGNITUDE = "gre_magnitude"
    GRE_PHASE = "gre_phase"
    #: A real or imaginary part, of which magnitude and phase are made.
    GRE_COMPLEX = "gre_complex"
    SE_MAGNITUDE = "se_magnitude"
    FLAIR = "flair"
    NOTHING = ""


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """One component of one scan.

    Parameters
    ----------
    scan : int
        Rows of the same scan share the number, from 1.
    description : str
        What the scanner's operator called the series, or the name of a NIfTI file; never the patient's name or
        number. Empty where that cannot be told.
    component : str
        In words: ``"magnitude"``, ``"phase"``, ``"spin echo magnitude"``, ``"FLAIR"``, ``"other"``...
    echo_times_s : tuple of float or None
        One for each echo, s; ``None`` where the header is silent.
    shape : tuple of int
        Matrix: voxels along i, j, k.
    voxel_size_mm : tuple of float or None
        ``None`` if the geometry is broken.
    use : Use
        What it will be used as.
    missing : tuple of str
        What stands in the way of a use, each a plain sentence with how to supply it.
    files : tuple of Path
        Files of the row; none if they lay in an archive.
    """

    scan: int
    description: str
    component: str
    echo_times_s: tuple[float | None, ...]
    shape: tuple[int, int, int]
    voxel_size_mm: tuple[float, float, float] | None
    use: Use
    missing: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def echoes(self) -> int:
        """Number of echoes."""
        return len(self.echo_times_s)


@dataclass(frozen=True, kw_only=True)
class StudyTable:
    """Every row, and what is missing altogether.

    Parameters
    ----------
    rows : tuple of StudyRow
        Gradient echo first, then spin echo, FLAIR and what is not used.
    missing : tuple of str
        What no row can tell: absent series, damaged files. Plain sentences.
    can_reconstruct : bool
        Whether the rows suffice for susceptibility maps.
    inventory : Inventory
        The same as ``chisep info`` has it.
    """

    rows: tuple[StudyRow, ...]
    missing: tuple[str, ...]
    can_reconstruct: bool
    inventory: Inventory


def study_table(paths: Sequence[Path], report: Reporter = Reporter()) -> StudyTable:  # noqa: B008 (frozen)
    """List the series behind paths.

    Parameters
    ----------
    paths : sequence of Path
        A folder, or the DICOM files of some series; archives and NIfTI files too.
    report : Reporter
        Progress.

    Raises
    ------
    InputError
        If a path does not exist, or an archive or NIfTI file is broken.
    CancelledError
        If the user stops it.
    """
    with surveyed(paths, report) as survey:
        rows = [row for number in range(1, len(survey.scans) + 1) for row in _rows_of(number, survey)]
        inside_archives = any(path.suffix.lower() == ".zip" for path in paths)
    return StudyTable(
        rows=tuple(_without_files(row) for row in rows) if inside_archives else tuple(rows),
        missing=tuple(_missing_altogether(survey)),
        can_reconstruct=survey.inventory.can_reconstruct,
        inventory=survey.inventory,
    )


def faults_of(scan: Group) -> list[str]:
    """What stands in the way of a scan whatever lies beside it, each a plain sentence with how to supply it."""
    rows = [row for row in rows_of(1, scan) if (scan.role, row.component) in _USES]
    found = [text for row in rows for text in (*_faults(row, scan, scan.role), *_gaps(scan, scan.role, row.component))]
    return list(dict.fromkeys(found))


#: What a component is used as in a scan of each role.
_USES = {
    (Role.GRE, Component.MAGNITUDE): Use.GRE_MAGNITUDE,
    (Role.GRE, Component.PHASE): Use.GRE_PHASE,
    (Role.GRE, Component.REAL): Use.GRE_COMPLEX,
    (Role.GRE, Component.IMAGINARY): Use.GRE_COMPLEX,
    (Role.SPIN_ECHO, Component.MAGNITUDE): Use.SE_MAGNITUDE,
    (Role.FLAIR, Component.MAGNITUDE): Use.FLAIR,
}

#: Words for images that are no part of a gradient echo scan.
_WORDS = {Use.SE_MAGNITUDE: "spin echo magnitude", Use.FLAIR: "FLAIR"}

#: Roles of which one scan is used, in words.
_WANTED = {Role.GRE: "gradient echo", Role.SPIN_ECHO: "spin echo", Role.FLAIR: "FLAIR"}


def _rows_of(number: int, survey: Survey) -> list[StudyRow]:
    group = survey.scans[number - 1]
    return [_row(row, group, survey) for row in survey.inventory.series if row.scan == number]


def _row(row: SeriesRow, group: Group, survey: Survey) -> StudyRow:
    component = Component(row.component)
    role = _role(group, survey)
    possible = _USES.get((role, component), Use.NOTHING)
    files = _files(stack for stack in group.stacks if stack.header.component == component)
    return StudyRow(
        scan=row.scan,
        description=_description(group.of(component)[0], files),
        component=_WORDS.get(possible) or _component_words(role, component),
        echo_times_s=row.echo_times_s,
        shape=row.shape,
        voxel_size_mm=row.voxel_size_mm,
        use=_use(possible, group, survey),
        missing=tuple(_missing(row, group, possible, survey)),
        files=files,
    )


def _role(group: Group, survey: Survey) -> Role:
    """Role of a scan; one whose headers are silent about it counts as the gradient echo if it is used at all."""
    silent = group.role == Role.UNKNOWN and _is_among(group, survey.used)
    return Role.GRE if silent else group.role


def _component_words(role: Role, component: Component) -> str:
    known = role in (Role.GRE, Role.UNKNOWN) and component not in (Component.OTHER, Component.UNKNOWN)
    return component.value if known else Component.OTHER.value


def _use(possible: Use, group: Group, survey: Survey) -> Use:
    """Of a scan that has all four components, real and imaginary parts are left aside."""
    aside = possible == Use.GRE_COMPLEX and not group.is_real_imaginary
    return possible if _is_among(group, survey.used) and not aside else Use.NOTHING


def _is_among(group: Group, groups: Iterable[Group]) -> bool:
    return any(one is group for one in groups)


def _files(stacks: Iterable[Stack]) -> tuple[Path, ...]:
    files: dict[Path, None] = {}
    for stack in stacks:
        if isinstance(stack, DicomStack):
            files |= dict.fromkeys(frame.path for frame in stack.frames)
        elif isinstance(stack, NiftiStack):
            files[stack.path] = None
    return tuple(files)


def _description(stack: Stack, files: Sequence[Path]) -> str:
    if isinstance(stack, DicomStack):
        return series_description(stack.frames[0].path)
    return files[0].name if files else ""


def _without_files(row: StudyRow) -> StudyRow:
    return replace(row, files=())


def _missing(row: SeriesRow, group: Group, possible: Use, survey: Survey) -> list[str]:
    """What stands in the way of a row; nothing if another scan of its kind is used, or none is wanted."""
    role, component = _role(group, survey), Component(row.component)
    if role == Role.UNKNOWN or (role in _WANTED and component == Component.UNKNOWN):
        return ["The file does not tell what it is: choose it as magnitude, phase, spin echo or FLAIR."]
    if role not in _WANTED or not (_is_among(group, survey.used) or _is_vacant(role, survey)):
        return []
    if role == Role.GRE and component in (Component.PHASE_DIFFERENCE, Component.FIELD_MAP):
        return [f"A {component} cannot stand in for phase: export the phase images of each echo."]
    if possible == Use.NOTHING:
        return []
    return [*_faults(row, group, role), *_gaps(group, role, component), *_rivals(role, group, survey)]


def _is_vacant(role: Role, survey: Survey) -> bool:
    return all(one.role != role for one in survey.used)


def _faults(row: SeriesRow, group: Group, role: Role) -> list[str]:
    """What the headers of the row lack or contradict."""
    found = []
    if role != Role.FLAIR and None in row.echo_times_s:
        found.append("The headers do not tell the echo times: state them, one for each echo.")
    if role == Role.GRE and row.field_strength_t is None and group.echoes[0].header.imaging_frequency_hz is None:
        found.append("The headers do not tell the field strength: state it in tesla.")
    if role == Role.GRE and min(row.shape) < FEWEST_VOXELS:
        found.append(f"It has {too_thin(row.shape)}, and {FEWEST_VOXELS} are needed: check that all were exported.")
    try:
        check_echoes(group.of(Component(row.component)), row.component)
    except InputError as error:
        found.append(str(error))
    return found


def _gaps(group: Group, role: Role, component: str) -> list[str]:
    """Components and echoes that a scan lacks."""
    found = []
    if role != Role.FLAIR and len(group.of(Component(component))) < FEWEST_ECHOES:
        found.append(f"One echo cannot tell a decay: add the series of the other echoes, at least {FEWEST_ECHOES}.")
    if role == Role.GRE and not group.has_phase:
        found.append("The phase is missing: export the phase images of this scan and add them.")
    if role == Role.GRE and not group.has_magnitude:
        found.append("The magnitude is missing: export the magnitude images of this scan and add them.")
    return found


def _rivals(role: Role, group: Group, survey: Survey) -> list[str]:
    """Say that one of several scans of a kind must be chosen."""
    alike = [one for one in survey.scans if one.role == role and _could_serve(one)]
    several = len(alike) > 1 and _is_among(group, alike) and _is_vacant(role, survey)
    return [f"{len(alike)} {_WANTED[role]} scans are there and none is used: choose one."] if several else []


def _could_serve(group: Group) -> bool:
    if group.role == Role.GRE:
        return group.has_magnitude and group.has_phase
    return len(group.of(Component.MAGNITUDE)) >= (1 if group.role == Role.FLAIR else FEWEST_ECHOES)


def _missing_altogether(survey: Survey) -> list[str]:
    inventory, roles = survey.inventory, {group.role for group in survey.scans}
    found = []
    if inventory.damaged_files:
        found.append(f"{inventory.damaged_files} of {inventory.files} files are damaged: copy or export them again.")
    try:
        check_one_session([stack for group in survey.scans for stack in group.stacks])
    except InputError as error:
        found.append(str(error))
    if not roles & {Role.GRE, Role.UNKNOWN}:
        found.append("There is no gradient echo series: add a multi-echo gradient echo with magnitude and phase.")
    if Role.SPIN_ECHO not in roles:
        found.append("There is no spin echo series, so R2 cannot be measured: add one with two or more echoes, or "
                     "choose a method that needs none.")  # fmt: skip
    if Role.FLAIR not in roles:
        found.append("There is no FLAIR series to find lesions on: add one, or segment on the maps.")
    return found
