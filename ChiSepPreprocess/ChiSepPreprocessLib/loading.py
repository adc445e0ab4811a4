"""Files to an :class:`~ChiSepPreprocessLib.artifacts.Acquisition`, whatever their names and order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .artifacts import Acquisition, Array, Image, SpinEcho
from .dicom.checks import check_magnitude
from .dicom.gradient_echo import LoadOptions, echo_times, read_gradient_echo
from .dicom.groups import Group, check_echoes, check_one_session, of_role, read_echoes
from .dicom.inventory import FEWEST_ECHOES, FEWEST_VOXELS, Inventory, obstacles_of, rows_of, too_thin
from .dicom.roles import Component, Role, is_turbo
from .dicom.stack import Stack
from .errors import InputError
from .files import check_voxel_size
from .found import Found, Given, check_usable, volumes_behind
from .progress import Reporter

__all__ = ["Inventory", "LoadOptions", "Survey", "acquisition_of", "check_reconstructable", "inspect",
           "load_acquisition", "load_image", "load_spin_echo", "surveyed"]  # fmt: skip


@dataclass(frozen=True)
class Survey:
    """The scans behind some paths.

    Parameters
    ----------
    scans : tuple of Group
        In the order of the numbers in the inventory's rows, which count from 1.
    used : tuple of Group
        Those that :func:`load_acquisition` would read; none if it would refuse.
    inventory : Inventory
        What is there and what is missing.
    """

    scans: tuple[Group, ...]
    used: tuple[Group, ...]
    inventory: Inventory


def inspect(paths: Sequence[Path], report: Reporter = Reporter()) -> Inventory:  # noqa: B008 (frozen)
    """List what files, folders or archives hold and whether it suffices; pixels are not read.

    Raises
    ------
    InputError
        If a path does not exist or an archive is unsafe.
    CancelledError
        If the user stops it.
    """
    with surveyed(paths, report) as survey:
        return survey.inventory


@contextmanager
def surveyed(paths: Sequence[Path], report: Reporter = Reporter()) -> Iterator[Survey]:  # noqa: B008 (frozen)
    """Find the scans behind paths; their files can be read within the block.

    Raises
    ------
    InputError
        If a path does not exist or an archive is unsafe.
    CancelledError
        If the user stops it.
    """
    with volumes_behind(Given(paths, component=Component.UNKNOWN), report=report) as found:
        groups = sorted(found.groups, key=lambda group: list(Role).index(group.role))
        rows = [row for number, group in enumerate(groups, 1) for row in rows_of(number, group)]
        obstacles = _obstacles(found, groups)
        inventory = Inventory(
            series=tuple(rows),
            files=found.files,
            skipped_files=found.skipped,
            damaged_files=found.damaged,
            obstacles=tuple(obstacles),
            problems=(*obstacles, *_remarks(found, groups)),
        )
        yield Survey(tuple(groups), tuple(_used(found, groups)), inventory)


def _used(found: Found, groups: Sequence[Group]) -> list[Group]:
    try:
        check_usable(found)
        check_one_session(found.stacks)
        gre = [_gradient_echo(groups)]
    except InputError:
        return []
    others = (_spin_echoes_within(groups), [group for group in groups if group.role == Role.FLAIR])
    return gre + [scans[0] for scans in others if len(scans) == 1]


def _obstacles(found: Found, groups: Sequence[Group]) -> list[str]:
    try:
        check_usable(found)
        check_one_session(found.stacks)
        return obstacles_of(_gradient_echo(groups))
    except InputError as error:
        return [str(error)]


def _remarks(found: Found, groups: Sequence[Group]) -> list[str]:
    roles = {group.role for group in groups}
    remarks = []
    if found.skipped:
        remarks.append(f"{found.skipped} of {found.files} files are no MR images and were skipped")
    coils = max((len(group.coils) for group in groups if group.role == Role.GRE), default=1)
    if coils > 1:
        remarks.append(f"images of {coils} receive coils lie apart and will be combined")
    if Role.SPIN_ECHO not in roles:
        remarks.append("no spin echo series: R2 cannot be measured")
    if Role.FLAIR not in roles:
        remarks.append("no FLAIR series: lesions cannot be segmented from it")
    return remarks


def load_acquisition(
    gre: Sequence[Path],
    *,
    gre_phase: Sequence[Path] = (),
    se: Sequence[Path] = (),
    flair: Sequence[Path] = (),
    options: LoadOptions = LoadOptions(),  # noqa: B008 (frozen)
    report: Reporter = Reporter(),  # noqa: B008 (frozen)
) -> Acquisition:
    """Load a multi-echo gradient echo scan, and spin echo and FLAIR where they are.

    Parameters
    ----------
    gre : sequence of Path
        Files, folders or zip archives, DICOM or NIfTI; magnitude, or everything. Spin echo and FLAIR series
        that lie there are found too.
    gre_phase, se, flair : sequence of Path, optional
        The same, where they lie apart.
    options : LoadOptions
        What the headers do not say.
    report : Reporter
        Progress.

    Returns
    -------
    Acquisition
        In the project's units.

    Raises
    ------
    InputError
        If something needed is missing, contradictory or broken.
    CancelledError
        If the user stops it.
    """
    with (
        volumes_behind(Given(gre), Given(gre_phase, component=Component.PHASE), report=report.span(0.0, 0.4)) as main,
        volumes_behind(Given(se, Role.SPIN_ECHO)) as spin,
        volumes_behind(Given(flair, Role.FLAIR)) as fluid,
    ):
        for given, part in ((True, main), (se, spin), (flair, fluid)):
            if given:
                check_usable(part)
        acquisition = _acquired(main, spin, fluid, options, report.span(0.4, 1.0), bool(gre_phase))
    source = {**acquisition.source, "files": main.files, "files_skipped": main.skipped}
    return replace(acquisition, source=source)


def acquisition_of(
    gre: Sequence[Stack],
    *,
    se: Sequence[Stack] = (),
    flair: Sequence[Stack] = (),
    options: LoadOptions = LoadOptions(),  # noqa: B008 (frozen)
    report: Reporter = Reporter(),  # noqa: B008 (frozen)
) -> Acquisition:
    """Make an acquisition of volumes that lie elsewhere than in files, with the checks and rules of files.

    Parameters
    ----------
    gre, se, flair : sequence of Stack
        Volumes of the gradient echo, spin echo and FLAIR.
    options : LoadOptions
        What the headers of the volumes do not say.
    report : Reporter
        Progress.

    Raises
    ------
    InputError
        If something needed is missing, contradictory or broken.
    CancelledError
        If the user stops it.
    """
    main, spin, fluid = (Found(tuple(stacks), len(stacks), 0, 0) for stacks in (gre, se, flair))
    return _acquired(main, spin, fluid, options, report)


def _acquired(
    main: Found, spin: Found, fluid: Found, options: LoadOptions, report: Reporter, phase_given: bool = False
) -> Acquisition:
    """What was measured; spin echo and FLAIR are looked for in the main volumes unless volumes are given apart."""
    check_one_session([*main.stacks, *spin.stacks, *fluid.stacks])
    group = _gradient_echo(main.groups, phase_given)
    acquisition = read_gradient_echo(group, options, _combine_coils, report.span(0.0, 0.75))
    spin_echo, spin_notes = _optional_spin_echo(spin, main, bool(spin.stacks), options, report.span(0.75, 0.92))
    image, image_notes = _optional_flair(fluid, main, bool(fluid.stacks))
    if spin_echo is None and options.se_echo_times_s is not None:
        spin_notes = (*spin_notes, "Spin echo times were stated, but no spin echo was used.")
    report("load", 1.0)
    return replace(acquisition, spin_echo=spin_echo, flair=image,
                   warnings=(*acquisition.warnings, *spin_notes, *image_notes))  # fmt: skip


def _combine_coils(
    magnitude: Array, phase: Array, echo_times_s: Sequence[float], voxel_size_mm: Sequence[float], report: Reporter
) -> tuple[Array, Array]:
    from .coils.combine import CoilOptions, combine_coils

    return combine_coils(magnitude, phase, echo_times_s, None, voxel_size_mm, CoilOptions(), report)


def _gradient_echo(groups: Sequence[Group], phase_given: bool = False) -> Group:
    """The one scan with magnitude and phase; of several, the one that alone has more than one echo."""
    scans = of_role(groups, Role.GRE)
    if not scans:
        raise InputError("series", "no gradient echo series", "a multi-echo gradient echo scan", "Check the path.")
    complete = [scan for scan in scans if scan.has_magnitude and scan.has_phase]
    if not complete:
        raise _incomplete(scans, phase_given)
    usable = [scan for scan in complete if len(scan.echoes) >= FEWEST_ECHOES] or complete
    if len(usable) > 1:
        listed = "; ".join(scan.description for scan in usable)
        raise InputError("series", f"{len(usable)} gradient echo scans ({listed})", "one", "Give the folder of one.")
    return usable[0]


def _incomplete(scans: Sequence[Group], phase_given: bool) -> InputError:
    listed = "; ".join(scan.description for scan in scans)
    components = {stack.header.component for scan in scans for stack in scan.stacks}
    derived = [part for part in (Component.FIELD_MAP, Component.PHASE_DIFFERENCE) if part in components]
    if derived:
        got = f"a {derived[0]}, by its header, in place of phase"
        hint = "Export the phase images of each echo; what the scanner makes of them cannot stand in for them."
    elif any(scan.has_magnitude for scan in scans):
        got, hint = "magnitude without phase", "Export the phase images too, or name them with --gre-phase."
        if phase_given:
            got, hint = (
                "magnitude alone: the images given as phase are magnitude by their headers, or the same files",
                "Name the phase.",
            )
    elif any(scan.has_phase for scan in scans):
        got, hint = "phase without magnitude", "Export the magnitude images too."
    else:
        got, hint = "files that do not say what they are", "Name NIfTI files with --gre and --gre-phase."
    return InputError("gradient echo scan", f"{got} ({listed})", "magnitude and phase", hint)


def load_spin_echo(paths: Sequence[Path], options: LoadOptions = LoadOptions()) -> SpinEcho:  # noqa: B008 (frozen)
    """Load a spin echo or turbo spin echo scan of at least two echoes.

    Raises
    ------
    InputError
        If there is not exactly one, or it is broken.
    """
    with volumes_behind(Given(paths, Role.SPIN_ECHO)) as found:
        check_usable(found)
        check_one_session(found.stacks)
        return _read_spin_echo(_spin_echo_groups(found), options, Reporter())


def _spin_echoes_within(groups: Sequence[Group]) -> list[Group]:
    """Spin echo scans of two or more echoes, by their headers."""
    scans = [group for group in groups if group.role == Role.SPIN_ECHO]
    return [group for group in scans if len(group.of(Component.MAGNITUDE)) >= FEWEST_ECHOES]


def _spin_echo_groups(found: Found) -> list[Group]:
    groups = of_role(found.groups, Role.SPIN_ECHO)
    return [group for group in groups if len(group.of(Component.MAGNITUDE)) >= FEWEST_ECHOES]


def _read_spin_echo(groups: Sequence[Group], options: LoadOptions, report: Reporter) -> SpinEcho:
    if len(groups) != 1:
        listed = "; ".join(group.description for group in groups) or "none"
        raise InputError("spin echo scans", f"{len(groups)} with two or more echoes ({listed})", "one",
                         "Give the folder of one spin echo or dual-echo TSE scan.")  # fmt: skip
    stacks = groups[0].of(Component.MAGNITUDE)
    check_echoes(stacks, "spin echo")
    times, _ = echo_times(stacks, options.se_echo_times_s, "--se-echo-times")
    values, grid = read_echoes(stacks, report)
    check_magnitude(values, times, "se_magnitude")
    return SpinEcho(values, times, grid, is_turbo(stacks[0].header.facts, len(stacks)))


def _optional_spin_echo(
    given: Found, main: Found, required: bool, options: LoadOptions, report: Reporter
) -> tuple[SpinEcho | None, tuple[str, ...]]:
    if required:
        return _read_spin_echo(_spin_echo_groups(given), options, report), ()
    groups = _spin_echoes_within(main.groups)
    if len(groups) > 1:
        return None, (f"{len(groups)} spin echo scans were found and none was used; name one with --se.",)
    return (_read_spin_echo(groups, options, report) if groups else None), ()


def _optional_flair(given: Found, main: Found, required: bool) -> tuple[Image | None, tuple[str, ...]]:
    if required:
        groups = of_role(given.groups, Role.FLAIR)
        note = "The image given as FLAIR is not FLAIR by its header; confirm that it is."
        return _read_image(groups or given.groups, "FLAIR"), (() if groups else (note,))
    groups = [group for group in main.groups if group.role == Role.FLAIR]
    if len(groups) > 1:
        return None, (f"{len(groups)} FLAIR scans were found and none was used; name one with --flair.",)
    return (_read_image(groups, "FLAIR") if groups else None), ()


def load_image(paths: Sequence[Path]) -> Image:
    """Load a single 3D volume, such as FLAIR or a label map, as stored but for the header's scaling.

    Raises
    ------
    InputError
        If there is not exactly one volume.
    """
    with volumes_behind(Given(paths)) as found:
        check_usable(found)
        check_one_session(found.stacks)
        return _read_image(found.groups, "image")


def _read_image(groups: Sequence[Group], what: str) -> Image:
    stacks = [stack for group in groups for stack in group.stacks]
    if len(stacks) != 1:
        raise InputError(what, f"{len(stacks)} volumes", "one 3D volume", "Give the folder or file of one series.")
    grid = stacks[0].grid()
    check_voxel_size(grid, what)
    return Image(stacks[0].read(), grid)


def check_reconstructable(acquisition: Acquisition) -> None:
    """Refuse scans that load but cannot give susceptibility maps.

    Raises
    ------
    InputError
        For fewer than 2 echoes or 8 voxels along an axis.
    """
    echoes = len(acquisition.scan.echo_times_s)
    if echoes < FEWEST_ECHOES:
        raise InputError("gradient echo scan", f"{echoes} echo", f"at least {FEWEST_ECHOES} echoes",
                         "The decay, and so R2*, cannot be told from one echo.")  # fmt: skip
    if min(acquisition.grid.shape) < FEWEST_VOXELS:
        raise InputError("gradient echo scan", too_thin(acquisition.grid.shape),
                         f"at least {FEWEST_VOXELS} voxels along each axis",
                         "A field needs a volume; check that all slices were exported.")  # fmt: skip
