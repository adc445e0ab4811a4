"""Scenes as ``.mrb`` files, which Slicer opens by dropping them on its window."""

from __future__ import annotations

import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.etree import ElementTree

from ..errors import InputError, OutputError
from ..files import writing
from .session import in_slicer, load_slicer, open_session

if TYPE_CHECKING:
    import slicer

#: Bytes that a bundle may hold unpacked; a guard against archives made to fill the disk.
MOST_BYTES = 64 * 2**30


def write_mrb(scene: slicer.vtkMRMLScene, path: Path) -> Path:
    """Write a scene with all its data as one file, whole or not at all.

    Parameters
    ----------
    scene : vtkMRMLScene
        Slicer's, or one of :mod:`.session`.
    path : Path
        Ends with ``.mrb``; an older file is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the name does not end with ``.mrb``.
    OutputError
        If it cannot be written.
    """
    if path.suffix.lower() != ".mrb":
        raise InputError("scene file", path.name, "a name that ends with .mrb")
    with writing(path) as temporary, tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
        # The folder inside a bundle is named after the file, so the file has its final name from the start.
        bundle = Path(folder) / path.name
        messages = load_slicer().vtkMRMLMessageCollection()
        written = scene.WriteToMRB(str(bundle), None, messages)
        if not written or not zipfile.is_zipfile(bundle):
            reason = messages.GetAllMessagesAsString() or "Slicer gave no reason; is the disk full?"
            raise OutputError(f"Cannot write {path}: {reason}")
        bundle.replace(temporary)
    return path


def read_mrb(path: Path, scene: slicer.vtkMRMLScene | None = None) -> slicer.vtkMRMLScene:
    """Read a scene file after a check that it stays within itself.

    Parameters
    ----------
    path : Path
        The ``.mrb`` file.
    scene : vtkMRMLScene, optional
        Emptied and filled. Without it, Slicer's scene inside Slicer and else a fresh one, to be ended with
        :func:`.session.close_session`.

    Returns
    -------
    vtkMRMLScene
        The filled scene.

    Raises
    ------
    InputError
        If the file is missing, damaged, or names files or addresses outside of it.
    """
    check_mrb(path)
    if scene is None:
        scene = load_slicer().mrmlScene if in_slicer() else open_session().scene
    messages = load_slicer().vtkMRMLMessageCollection()
    if not scene.ReadFromMRB(str(path), True, messages):
        raise InputError("scene file", f"{path.name}, which Slicer cannot read ({messages.GetAllMessagesAsString()})",
                         "a whole .mrb file")  # fmt: skip
    return scene


def check_mrb(path: Path) -> None:
    """Check that a scene file is whole and refers to nothing outside of it.

    Raises
    ------
    InputError
        If it is missing, damaged, too large or refers elsewhere.
    """
    if not path.is_file():
        raise InputError("scene file", f"{path}, which does not exist", "an .mrb file")
    try:
        with zipfile.ZipFile(path) as bundle:
            _check_members(path, bundle)
            for member in (one for one in bundle.namelist() if one.lower().endswith(".mrml")):
                _check_references(path, ElementTree.fromstring(bundle.read(member)))
    except (zipfile.BadZipFile, ElementTree.ParseError, EOFError, OSError, NotImplementedError) as error:
        raise InputError("scene file", f"{path.name}, which is damaged ({error})", "a whole .mrb file") from error


def _check_members(path: Path, bundle: zipfile.ZipFile) -> None:
    members = bundle.infolist()
    if sum(one.filename.lower().endswith(".mrml") for one in members) != 1:
        raise InputError(
            "scene file", f"{path.name} without exactly one .mrml inside", "an .mrb file that Slicer wrote"
        )
    size = sum(one.file_size for one in members)
    if size > MOST_BYTES:
        raise InputError("scene file", f"{path.name} with {size / 2**30:.0f} GiB inside", f"≤ {MOST_BYTES >> 30} GiB")
    for one in members:
        if _leads_outside(one.filename) or stat.S_ISLNK(one.external_attr >> 16):
            raise InputError("scene file", f"{path.name} with the member {one.filename}", "members inside the bundle")
    damaged = bundle.testzip()
    if damaged:
        raise InputError("scene file", f"{path.name} with the damaged member {damaged}", "a whole .mrb file")


def _check_references(path: Path, document: ElementTree.Element) -> None:
    for element in document.iter():
        for key, value in element.attrib.items():
            is_file = key == "fileName" or key.startswith("fileListMember")
            if (is_file and _leads_outside(unquote(value))) or (key.lower().startswith("uri") and value):
                raise InputError("scene file", f"{path.name}, whose {element.tag} refers to {value}",
                                 "references to files inside the bundle",
                                 "Open it in Slicer if you trust it, and save it anew.")  # fmt: skip


def _leads_outside(name: str) -> bool:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return posix.is_absolute() or bool(windows.drive or windows.root) or ".." in {*posix.parts, *windows.parts}
