"""The folder of a run: what belongs together, what is complete, what can be resumed."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
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
SCENE, REPORT, QUALITY, COMPARISON = "scene.mrb", "report.html", "quality.png", "comparison.csv"
_RECORD, _LOCK = "provenance.json", ".lock"
#: While runs change places: the new one, complete, and what it replaces.
_NEW, _OLD = ".new-run", ".old-run"


def fingerprint(inputs: Mapping[str, Iterable[Path]], options: Mapping[str, Any]) -> str:
    """Short hash of the files in each role (names, sizes, times) and of every option."""
    listed = {role: [file for path in paths for file in _files(path)] for role, paths in inputs.items()}
    text = json.dumps([__version__, listed, options], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_with(mark: str, r2prime_source: str) -> str:
    """Fingerprint of χ maps: that of the maps that they are made of, and where R2′ comes from if not from these."""
    own = fingerprint_of_maps(mark)
    return own if r2prime_source == "maps" else f"{own}+{r2prime_source}"


def fingerprint_of_maps(mark: str) -> str:
    """That of the maps, of one by :func:`fingerprint_with`."""
    return mark.partition("+")[0]


def check_one_source(path: Path, maps_mark: str, mark: str) -> None:
    """Refuse χ maps beside those of the same maps that were made with R2′ from elsewhere.

    Raises
    ------
    InputError
        If they would be; overwriting is no way out, as it would take away the maps that all is made of.
    """
    record = read_record(path)
    if record.get("fingerprint") == maps_mark != mark and _holds_chi(path, record):
        raise InputError("output folder", f"{path}, whose χ maps were made with R2′ from elsewhere",
                         "χ maps with R2′ from one source in a folder", "Choose another one with -o.")  # fmt: skip


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
        The output folder, or a hidden one in it while the output folder still shows another run.
    mark : str
        :func:`fingerprint` of the run.
    """

    path: Path
    mark: str

    def record(self, content: Mapping[str, Any]) -> None:
        """Write ``provenance.json``."""
        rest = {key: value for key, value in content.items() if key not in ("version", "fingerprint")}
        write_json(self.path / _RECORD, {"version": __version__, "fingerprint": self.mark, **rest})

    def extend_record(self, added: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> None:
        """Write into ``provenance.json`` what is new; ``methods`` and ``seconds`` that are there stay listed."""
        record = read_record(self.path)
        joined = {key: {**record.get(key, {}), **added.get(key, {})} for key in ("methods", "seconds")}
        self.record({**(defaults or {}), **record, **added, **joined})

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


@contextmanager
def opened(path: Path, mark: str, *, overwrite: bool = False) -> Iterator[RunFolder]:
    """Hold an output folder for a run: new, or left by an interrupted run with the same inputs and options.

    A folder of maps alone goes on as a run of those maps, whatever R2′ its χ maps are made with. Another run's results
    stay as they are until the block is done. The new ones are written into a hidden folder beside them, on the same
    disk, then change places with them; if the block fails, the hidden folder is removed.

    Raises
    ------
    InputError
        If the folder holds another run, which may not be overwritten, or another process is at work in it.
    OutputError
        If it cannot be written.
    """
    with busy(path):
        with writing_to(path):
            _settle(path)
            record = read_record(path)
            _remove_parts(path, record)
        previous = record.get("fingerprint")
        maps = record if _has_maps_alone(path, record, mark) else {}
        if previous in (None, mark) or _is_bare(path, record) or maps:
            folder = RunFolder(path, mark)
            if previous != mark:
                folder.record({"state": "started", **maps})
            yield folder
        elif overwrite:
            with _in_place_of_another(path) as hidden:
                yield RunFolder(hidden, mark)
        else:
            raise InputError("output folder", f"{path}, which holds a run with other inputs or options",
                             "a new or empty folder", "Choose another one, or add --overwrite.")  # fmt: skip


def _has_maps_alone(path: Path, record: Mapping[str, Any], mark: str) -> bool:
    """Whether the maps are those of the run of this mark, and there are no χ maps of any."""
    own = fingerprint_of_maps(str(record.get("fingerprint", "")))
    return own == fingerprint_of_maps(mark) and not _holds_chi(path, record)


def _holds_chi(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a method left χ maps, finished or not; R2′ by R2PRIMEnet is none."""
    return any(any((path / name).glob("chi_*")) for name in record.get("methods", {}))


def _is_bare(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a run was refused or stopped in the folder before it made anything."""
    return record.get("state") == "started" and not _folders(path, record)


def _folders(path: Path, record: Mapping[str, Any]) -> list[Path]:
    """Folders that a run has written."""
    return [
        path / name for name in (MAPS, IMAGES, LESIONS, PICTURES, *record.get("methods", {})) if (path / name).is_dir()
    ]


@contextmanager
def _in_place_of_another(path: Path) -> Iterator[Path]:
    """Hidden folder for a run that takes another one's place if the block succeeds."""
    with writing_to(path):
        hidden = Path(tempfile.mkdtemp(prefix=".part-", dir=path))
    try:
        yield hidden
        with writing_to(path):
            hidden.rename(path / _NEW)
            _change_places(path)
        shutil.rmtree(path / _OLD, ignore_errors=True)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        _remove_empty([path / _OLD])
        if not (path / _OLD).exists():  # else an error could not be undone, and the next run must settle it
            shutil.rmtree(path / _NEW, ignore_errors=True)


def _change_places(path: Path) -> None:
    """Put a whole new run where the old one is; either all of it or, after an error, none.

    Everything is moved, nothing copied: first the old run aside, its record last, then the new one in, its record last.
    So a process that is killed in between leaves both whole, and the records tell how far it came.
    """
    new, old = path / _NEW, path / _OLD
    incoming = {one.name for one in new.iterdir()}
    leaving = {*_own(path), *incoming} if (path / _RECORD).is_file() else set()
    old.mkdir(exist_ok=True)
    moves = [(path / name, old / name) for name in sorted(leaving, key=_record_last)]
    moves += [(new / name, path / name) for name in sorted(incoming, key=_record_last)]
    begun: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            begun.insert(0, (source, target))
            _move(source, target)
    except BaseException:
        for source, target in begun:  # ends at an error, as if the process were killed here
            _move(target, source)
        raise


def _settle(path: Path) -> None:
    """Finish the change of places in which a process was killed."""
    if (path / _NEW / _RECORD).is_file():
        _change_places(path)
    for done in (path / _NEW, path / _OLD):
        shutil.rmtree(done, ignore_errors=True)


def _record_last(name: str) -> tuple[bool, str]:
    return name == _RECORD, name


def _own(path: Path) -> list[str]:
    """What a run has written into its folder."""
    return [*(one.name for one in _folders(path, read_record(path))), SCENE, REPORT, QUALITY, COMPARISON, _RECORD]


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.rename(target)


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
        Which method's maps; by default those of the first that gave χ maps.

    Raises
    ------
    InputError
        If there are no maps, or the method was not run.
    """
    done = read_record(path).get("methods", {})
    if method is not None and method not in done:
        raise InputError("method", method, f"one of those that were run: {', '.join(done) or 'none'}")
    chosen = method or next((name for name, one in done.items() if _gave_chi(one)), None)
    folders = [path / MAPS, *([path / chosen] if chosen else [])]
    found = [read_mapset(folder) for folder in folders if folder.is_dir()]
    if not found:
        return read_mapset(path)
    return found[0].including(*(one for maps in found[1:] for one in maps.values()))


def _gave_chi(recorded: Any) -> bool:
    names = recorded.get("maps") if isinstance(recorded, Mapping) else None
    return names is None or any(str(name).startswith("chi_") for name in names)
