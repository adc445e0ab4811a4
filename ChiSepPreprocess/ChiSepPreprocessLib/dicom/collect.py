"""Files behind what the user names: files, folders and zip archives, in any mix."""

from __future__ import annotations

import errno
import lzma
import os
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..errors import InputError, OutputError

#: An archive may unpack to at most this much; a whole study is a few GB.
MAX_UNPACKED_BYTES = 20 * 2**30
MAX_UNPACKED_FILES = 200_000


@contextmanager
def collected(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Give every file behind the paths, each once; unpacked archives vanish with the block.

    Files keep the order in which they were named; those of a folder come in natural order (2 before 10).

    Raises
    ------
    InputError
        If a path does not exist, or an archive is broken, unsafe or too large.
    OutputError
        If there is no space to unpack it.
    """
    with tempfile.TemporaryDirectory(prefix="chisep-") as folder:
        files: dict[Path, Path] = {}
        for number, path in enumerate(paths):
            for file in _files_behind(Path(path), Path(folder) / str(number)):
                files.setdefault(file.resolve(), file)
        yield list(files.values())


def _files_behind(path: Path, unpacked: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from _files_in(path)
    elif not path.is_file():
        raise InputError("input", f"'{path.name}', which does not exist", "a file, a folder or a zip archive")
    elif path.suffix.lower() == ".zip":
        _unpack(path, unpacked)
        yield from _files_in(unpacked)
    else:
        yield path


def _files_in(folder: Path) -> Iterator[Path]:
    """Files of a folder, recursively; links that lead out of it are not followed."""
    root = folder.resolve()
    for parent, folders, names in os.walk(folder, onerror=_unreadable):
        folders.sort(key=_natural)
        for name in sorted(names, key=_natural):
            file = Path(parent) / name
            if not name.startswith(".") and file.is_file() and file.resolve().is_relative_to(root):
                yield file


def _unreadable(error: OSError) -> None:
    raise InputError("folder", error.strerror or "an error", "a folder that can be read", "Check its permissions.")


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            _check_members(members)
            for member in members:
                opened.extract(member, target)
    except InputError:  # which is a ValueError too
        raise
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, OSError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(
                f"Cannot unpack {archive.name}: no space in the folder for temporary files, {tempfile.gettempdir()}; "
                "free space, or unpack it yourself and give the folder."
            ) from error
        raise InputError(
            "zip archive",
            f"one that cannot be unpacked ({type(error).__name__})",
            "a whole archive without password",
            "Unpack it yourself and give the folder.",
        ) from error


def _check_members(members: Sequence[zipfile.ZipInfo]) -> None:
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED_BYTES or len(members) > MAX_UNPACKED_FILES:
        raise InputError("zip archive", f"{len(members)} files, {size / 2**30:.1f} GiB unpacked",
                         f"at most {MAX_UNPACKED_FILES} files and {MAX_UNPACKED_BYTES / 2**30:.0f} GiB",
                         "Unpack it yourself and give the folder of one scan.")  # fmt: skip
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        leads_out = name.is_absolute() or ".." in name.parts or ":" in name.parts[0]
        if leads_out or stat.S_ISLNK(member.external_attr >> 16):
            raise InputError("zip archive", "a member that is a link or leads out of the archive", "plain files",
                             "Do not trust this archive; ask for a new one.")  # fmt: skip
