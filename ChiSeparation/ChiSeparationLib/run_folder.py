"""The folder of a run: what belongs together, what is complete, what can be resumed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ChiSepPreprocessLib import __version__
from ChiSepPreprocessLib.artifacts import Grid, Image, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import (
    is_complete,
    read_json,
    read_map,
    read_mapset,
    write_json,
    write_map,
    write_nifti,
    writing_to,
)

#: Folders of the maps that preprocessing makes, the images that they are shown on, lesion labels, pictures.
MAPS, IMAGES, LESIONS, PICTURES = "maps", "images", "lesions", "pictures"
SCENE, REPORT, QUALITY = "scene.mrb", "report.html", "quality.png"
_RECORD, _LOCK = "provenance.json", ".lock"


def fingerprint(inputs: Mapping[str, Iterable[Path]], options: Mapping[str, Any]) -> str:
    """Short hash of the files in each role (names, sizes, times) and of every option."""
    listed = {role: [file for path in paths for file in _files(path)] for role, paths in inputs.items()}
    text = json.dumps([__version__, listed, options], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files(path: Path) -> list[tuple[str, int, int]]:
    files = sorted(one for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())
    return [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files]


def check_apart(output: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output folder inside an input folder: the next run would read its own results.

    Raises
    ------
    InputError
        If it is so.
    """
    for path in inputs:
        if path.is_dir() and output.resolve().is_relative_to(path.resolve()):
            raise InputError("output folder", f"{output}, which lies inside the input {path}", "a folder elsewhere",
                             "Choose another one with -o.")  # fmt: skip


@contextmanager
def busy(path: Path) -> Iterator[None]:
    """Hold an output folder for this process, by a lock that the system releases if the process dies.

    Raises
    ------
    InputError
        If another run is at work in it.
    OutputError
        If it cannot be made or written.
    """
    with ExitStack() as held:
        with writing_to(path):
            created = [one for one in (path, *path.parents) if not one.exists()]
        held.callback(_remove_empty, created)
        lock = path / _LOCK
        with writing_to(path):
            path.mkdir(parents=True, exist_ok=True)
            file = lock.open("w")
        held.callback(lock.unlink, missing_ok=True)
        held.callback(file.close)  # before the unlink, which Windows refuses for an open file
        if not _locked(file):
            held.pop_all()
            file.close()
            raise InputError("output folder", f"{path}, in which another run is at work", "a folder of its own",
                             "Wait until that run is done, or choose another folder.")  # fmt: skip
        yield


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _locked(file: IO[str]) -> bool:
    """Whether the lock could be had; always so on a system or a network drive without locks."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows, which refuses to replace a file that another process holds open
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@dataclass(frozen=True)
class RunFolder:
    """Where a run's files go.

    Parameters
    ----------
    path : Path
        The output folder.
    mark : str
        :func:`fingerprint` of the run.
    """

    path: Path
    mark: str

    @classmethod
    def open(cls, path: Path, mark: str, *, overwrite: bool = False) -> RunFolder:
        """Open a new folder, or one that an interrupted run with the same inputs and options left.

        Raises
        ------
        InputError
            If the folder holds another run.
        OutputError
            If it cannot be written.
        """
        record = read_record(path)
        previous = record.get("fingerprint")
        if previous not in (None, mark) and not _is_bare(path, record):
            if not overwrite:
                raise InputError("output folder", f"{path}, which holds a run with other inputs or options",
                                 "a new or empty folder", "Choose another one, or add --overwrite.")  # fmt: skip
            with writing_to(path):
                _clear(path, record)
        with writing_to(path):
            _remove_parts(path, record)
        folder = cls(path, mark)
        if previous != mark:
            folder.record({"state": "started"})
        return folder

    def record(self, content: Mapping[str, Any]) -> None:
        """Write ``provenance.json``."""
        write_json(self.path / _RECORD, {"version": __version__, "fingerprint": self.mark, **content})

    def complete_maps(self, grid: Grid) -> dict[str, Map]:
        """Maps of the same run that an earlier try completed."""
        folder = self.path / MAPS
        names = sorted(note.stem for note in folder.glob("*.json") if is_complete(folder, note.stem))
        found = {name: read_map(folder, name)[0] for name in names}
        return {name: one for name, one in found.items() if one.grid.matches(grid)}

    def keep(self, one: Map, scan: ScanParameters, folder: str = MAPS) -> None:
        """Write one map."""
        write_map(one, scan, self.path / folder)

    def keep_image(self, name: str, image: Image) -> None:
        """Write an anatomical image, which is no map."""
        write_nifti(self.path / IMAGES / f"{name}.nii.gz", image.data, image.grid)


def _is_bare(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a run was refused or stopped in the folder before it made anything."""
    return record.get("state") == "started" and not _folders(path, record)


def _folders(path: Path, record: Mapping[str, Any]) -> list[Path]:
    """Folders that a run has written."""
    return [
        path / name for name in (MAPS, IMAGES, LESIONS, PICTURES, *record.get("methods", {})) if (path / name).is_dir()
    ]


def _clear(path: Path, record: Mapping[str, Any]) -> None:
    """Remove what an earlier run has written, and nothing else."""
    for folder in _folders(path, record):
        shutil.rmtree(folder)
    for name in (SCENE, REPORT, QUALITY):
        (path / name).unlink(missing_ok=True)


def _remove_parts(path: Path, record: Mapping[str, Any]) -> None:
    """Remove what a killed run left unfinished."""
    for folder in (path, *_folders(path, record)):
        for part in folder.glob(".part-*"):
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any]:
    """Content of a folder's ``provenance.json``; empty where there is none.

    Raises
    ------
    InputError
        If it is there and cannot be read.
    """
    note = path / _RECORD
    if not note.is_file():
        return {}
    content = read_json(note)
    for key in ("methods", "seconds"):
        if not isinstance(content.get(key, {}), dict):
            raise InputError(_RECORD, f"{key} {content[key]!r}", "a JSON object", "Choose another folder.")
    return content


def read_run(path: Path, method: str | None = None) -> MapSet:
    """Maps of a run and of one of its methods, or of a plain folder of maps.

    Parameters
    ----------
    path : Path
        A run's folder, or a folder of maps with sidecars.
    method : str, optional
        Which method's maps; the first that was run by default.

    Raises
    ------
    InputError
        If there are no maps, or the method was not run.
    """
    done = list(read_record(path).get("methods", {}))
    if method is not None and method not in done:
        raise InputError("method", method, f"one of those that were run: {', '.join(done) or 'none'}")
    folders = [path / MAPS, *([path / (method or done[0])] if done else [])]
    found = [read_mapset(folder) for folder in folders if folder.is_dir()]
    if not found:
        return read_mapset(path)
    return found[0].including(*(one for maps in found[1:] for one in maps.values()))
