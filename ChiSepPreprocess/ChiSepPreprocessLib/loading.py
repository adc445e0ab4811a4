"""Files to an :class:`~ChiSepPreprocessLib.artifacts.Acquisition`, whatever their names and order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .artifacts import Acquisition, Array, Image, SpinEcho
from .dicom.checks import check_magnitude
from .dicom.collect import collected
from .dicom.gradient_echo import LoadOptions, echo_times, read_gradient_echo
from .dicom.groups import Group, check_echoes, check_one_session, link, of_role, read_echoes
from .dicom.headers import DamagedFileError, Frame, read_frames
from .dicom.inventory import FEWEST_ECHOES, FEWEST_VOXELS, Inventory, obstacles_of, rows_of, too_thin
from .dicom.roles import Component, Role, is_turbo
from .dicom.series import stacks_of
from .dicom.stack import Stack
from .errors import InputError
from .files import check_voxel_size
from .nifti import is_nifti, nifti_stacks
from .progress import Reporter

__all__ = ["Inventory", "LoadOptions", "check_reconstructable", "inspect", "load_acquisition", "load_image",
           "load_spin_echo"]  # fmt: skip


#: Reading a header takes milliseconds; reports need not come faster than they are seen.
HEADERS_PER_REPORT = 50


@dataclass(frozen=True)
class _Given:
    """Paths, and what NIfTI files among them are where no sidecar says it."""

    paths: Sequence[Path]
    role: Role = Role.UNKNOWN
    component: Component = Component.MAGNITUDE


@dataclass(frozen=True)
class _Found:
    """Volumes behind the user's paths, and how many files were of no use."""

    stacks: tuple[Stack, ...]
    files: int
    skipped: int
    damaged: int

    @property
    def groups(self) -> list[Group]:
        return link(self.stacks)


@contextmanager
def _found(*given: _Given, report: Reporter = Reporter()) -> Iterator[_Found]:  # noqa: B008 (frozen)
    """Volumes behind all paths; a file that was given twice counts once."""
    with ExitStack() as unpacked:
        files: dict[Path, _Given] = {}
        for one in given:
            for file in unpacked.enter_context(collected(one.paths)):
                known = files.get(file.resolve())
                # A file named for a role keeps it, although a folder named for another holds it too.
                if known is None or (file in one.paths and file not in known.paths):
                    files[file.resolve()] = one
        yield _read_headers(files, report)


def _read_headers(files: Mapping[Path, _Given], report: Reporter) -> _Found:
    stacks: list[Stack] = []
    frames: list[Frame] = []
    skipped = damaged = 0
    for number, (file, one) in enumerate(files.items()):
        if number % HEADERS_PER_REPORT == 0:
            report("load", number / len(files), "headers")
        try:
            new_stacks = nifti_stacks(file, number, one.role, one.component) if is_nifti(file) else []
            new_frames = [] if new_stacks else read_frames(file)
        except DamagedFileError:
            damaged += 1
            continue
        skipped += not new_stacks and not new_frames and file.suffix.lower() != ".json"
        stacks += new_stacks
        frames += new_frames
    return _Found((*stacks, *stacks_of(frames)), len(files), skipped, damaged)


def inspect(paths: Sequence[Path]) -> Inventory:
    """List what files, folders or archives hold and whether it suffices; pixels are not read.

    Raises
    ------
    InputError
        If a path does not exist or an archive is unsafe.
    """
    with _found(_Given(paths, component=Component.UNKNOWN)) as found:
        groups = sorted(found.groups, key=lambda group: list(Role).index(group.role))
        rows = [row for number, group in enumerate(groups, 1) for row in rows_of(number, group)]
        obstacles = _obstacles(found, groups)
        return Inventory(
            series=tuple(rows),
            files=found.files,
            skipped_files=found.skipped,
            damaged_files=found.damaged,
            obstacles=tuple(obstacles),
            problems=(*obstacles, *_remarks(found, groups)),
        )


def _obstacles(found: _Found, groups: Sequence[Group]) -> list[str]:
    try:
        _check_usable(found)
        check_one_session(found.stacks)
        return obstacles_of(_gradient_echo(groups))
    except InputError as error:
        return [str(error)]


def _remarks(found: _Found, groups: Sequence[Group]) -> list[str]:
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


def _check_usable(found: _Found) -> None:
    if found.damaged:
        raise InputError("DICOM files", f"{found.damaged} of {found.files} files that are damaged or truncated",
                         "whole files", "Copy or export the series again.")  # fmt: skip
    if not found.stacks:
        content = f"{found.files} files, none of them an MR image" if found.files else "no files"
        raise InputError("input", content, "DICOM or NIfTI images (files, folders or zip archives)",
                         "Check the path.")  # fmt: skip


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
        _found(_Given(gre), _Given(gre_phase, component=Component.PHASE), report=report.span(0.0, 0.4)) as main,
        _found(_Given(se, Role.SPIN_ECHO)) as spin,
        _found(_Given(flair, Role.FLAIR)) as fluid,
    ):
        for given, part in ((True, main), (se, spin), (flair, fluid)):
            if given:
                _check_usable(part)
        check_one_session([*main.stacks, *spin.stacks, *fluid.stacks])
        group = _gradient_echo(main.groups, bool(gre_phase))
        acquisition = read_gradient_echo(group, options, _combine_coils, report.span(0.4, 0.85))
        spin_echo, spin_notes = _optional_spin_echo(spin, main, bool(se), options, report.span(0.85, 0.95))
        image, image_notes = _optional_flair(fluid, main, bool(flair))
        if spin_echo is None and options.se_echo_times_s is not None:
            spin_notes = (*spin_notes, "Spin echo times were stated, but no spin echo was used.")
        report("load", 1.0)
    source = {**acquisition.source, "files": main.files, "files_skipped": main.skipped}
    return replace(acquisition, spin_echo=spin_echo, flair=image, source=source,
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
    with _found(_Given(paths, Role.SPIN_ECHO)) as found:
        _check_usable(found)
        check_one_session(found.stacks)
        return _read_spin_echo(_spin_echo_groups(found), options, Reporter())


def _spin_echo_groups(found: _Found) -> list[Group]:
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
    given: _Found, main: _Found, required: bool, options: LoadOptions, report: Reporter
) -> tuple[SpinEcho | None, tuple[str, ...]]:
    if required:
        return _read_spin_echo(_spin_echo_groups(given), options, report), ()
    groups = [group for group in _spin_echo_groups(main) if group.role == Role.SPIN_ECHO]
    if len(groups) > 1:
        return None, (f"{len(groups)} spin echo scans were found and none was used; name one with --se.",)
    return (_read_spin_echo(groups, options, report) if groups else None), ()


def _optional_flair(given: _Found, main: _Found, required: bool) -> tuple[Image | None, tuple[str, ...]]:
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
    with _found(_Given(paths)) as found:
        _check_usable(found)
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
