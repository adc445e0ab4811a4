"""The volumes behind the paths that a user names; only headers are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from .dicom.collect import collected
from .dicom.groups import Group, link
from .dicom.headers import DamagedFileError, Frame, read_frames
from .dicom.roles import Component, Role
from .dicom.series import stacks_of
from .dicom.stack import Stack
from .errors import InputError
from .nifti import is_nifti, nifti_stacks
from .progress import Reporter

#: Reading a header takes milliseconds; reports need not come faster than they are seen.
HEADERS_PER_REPORT = 50


@dataclass(frozen=True)
class Given:
    """Paths, and what NIfTI files among them are where no sidecar says it."""

    paths: Sequence[Path]
    role: Role = Role.UNKNOWN
    component: Component = Component.MAGNITUDE


@dataclass(frozen=True)
class Found:
    """Volumes behind the user's paths.

    Parameters
    ----------
    stacks : tuple of Stack
        One for each component, echo and coil.
    files, skipped, damaged : int
        All files; those that are no MR images; those that begin as DICOM and cannot be read.
    """

    stacks: tuple[Stack, ...]
    files: int
    skipped: int
    damaged: int

    @property
    def groups(self) -> list[Group]:
        """The volumes, joined to scans."""
        return link(self.stacks)


@contextmanager
def volumes_behind(*given: Given, report: Reporter = Reporter()) -> Iterator[Found]:  # noqa: B008 (frozen)
    """Find the volumes behind all paths, readable within the block; a file that was given twice counts once.

    Raises
    ------
    InputError
        If a path does not exist, or an archive or NIfTI file is broken.
    CancelledError
        If the user stops it.
    """
    with ExitStack() as unpacked:
        files: dict[Path, Given] = {}
        for one in given:
            for file in unpacked.enter_context(collected(one.paths)):
                known = files.get(file.resolve())
                # A file named for a role keeps it, although a folder named for another holds it too.
                if known is None or (file in one.paths and file not in known.paths):
                    files[file.resolve()] = one
        yield _read_headers(files, report)


def _read_headers(files: Mapping[Path, Given], report: Reporter) -> Found:
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
    return Found((*stacks, *stacks_of(frames)), len(files), skipped, damaged)


def check_usable(found: Found) -> None:
    """Refuse damaged files, and paths without any image.

    Raises
    ------
    InputError
        With how many.
    """
    if found.damaged:
        raise InputError("DICOM files", f"{found.damaged} of {found.files} files that are damaged or truncated",
                         "whole files", "Copy or export the series again.")  # fmt: skip
    if not found.stacks:
        content = f"{found.files} files, none of them an MR image" if found.files else "no files"
        raise InputError("input", content, "DICOM or NIfTI images (files, folders or zip archives)",
                         "Check the path.")  # fmt: skip
