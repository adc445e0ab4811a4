"""Where sets of weights lie: the user's own in the user's data folder, shipped ones in this package, read-only."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import writing_to
from ChiSepPreprocessLib.progress import Reporter

from .checks import check_set_name, is_plain_name
from .weight_set import MANIFEST, Role, WeightSet, read_set

#: Environment variable that names the data folder.
DATA_VARIABLE = "CHISEP_DATA"

#: Where the sets lie that came with the program.
SHIPPED = Path(__file__).parent

_HOW_TO_GET = "Import yours with 'chisep weights import', or fetch a set with 'chisep weights download'."

_LOOK = "Look at it, and delete or rename it yourself."


@dataclass(frozen=True)
class Entry:
    """A folder that is meant to be a set of weights.

    Parameters
    ----------
    name : str
        Of the folder.
    folder : Path
        Where it lies.
    shipped : bool
        Part of the installation, and so not to be changed.
    weights : WeightSet or None
        ``None`` if it is broken.
    problem : str
        Why it is broken, else empty.
    """

    name: str
    folder: Path
    shipped: bool
    weights: WeightSet | None
    problem: str = ""


def data_folder() -> Path:
    """Folder of the user's own data: ``CHISEP_DATA``, else where the platform keeps a program's data.

    Raises
    ------
    InputError
        If the user has no home folder.
    """
    try:
        if chosen := os.environ.get(DATA_VARIABLE):
            return Path(chosen).expanduser().absolute()
        return _platform_folder() / "chisep"
    except RuntimeError as error:  # no home folder is known
        raise InputError("data folder", "no home folder", f"one, or a folder in {DATA_VARIABLE}") from error


def _platform_folder() -> Path:
    """Folder for programs' data by the platform's convention."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    given = Path(os.environ.get("XDG_DATA_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".local" / "share"  # relative ones are void by convention


def weights_folder() -> Path:
    """Folder of the user's own sets; it need not exist."""
    return data_folder() / "weights"


def entries() -> tuple[Entry, ...]:
    """Every set, sound or broken, by name; the user's own stands in front of a shipped one of the same name."""
    own = [_entry(folder, shipped=False) for folder in _set_folders(weights_folder())]
    taken = {one.name.casefold() for one in own}
    shipped = [_entry(folder, shipped=True) for folder in _set_folders(SHIPPED)]
    both = own + [one for one in shipped if one.name.casefold() not in taken]
    return tuple(sorted(both, key=lambda one: one.name))


def _set_folders(parent: Path) -> list[Path]:
    try:
        return [folder for folder in parent.iterdir() if is_plain_name(folder.name) and _is_set(folder)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError("folder of weights", f"{parent}, which cannot be read ({error.strerror})",
                         "a readable folder", f"Correct its permissions, or choose another with {DATA_VARIABLE}."
                         ) from error  # fmt: skip


def _is_set(folder: Path) -> bool:
    try:
        return (folder / MANIFEST).is_file()
    except PermissionError:
        return True  # shown as broken


def _entry(folder: Path, *, shipped: bool) -> Entry:
    try:
        return Entry(folder.name, folder, shipped, read_set(folder))
    except InputError as error:
        return Entry(folder.name, folder, shipped, None, str(error))


def installed() -> tuple[WeightSet, ...]:
    """Every sound set, by name; a broken one does not hide the others.

    Raises
    ------
    InputError
        If the folder of weights cannot be read.
    """
    return tuple(one.weights for one in entries() if one.weights is not None)


def find(name: str | None = None, roles: Iterable[Role] = ()) -> WeightSet:
    """Find a set by its name, or the preferred one.

    Parameters
    ----------
    name : str, optional
        Without it the only set is taken; of several, the one from in vivo data; of these, the user's own.
    roles : iterable of Role, optional
        Networks that the preferred set must have.

    Raises
    ------
    InputError
        If there is none, it is broken, or the choice is the user's.
    """
    return _preferred(frozenset(roles)) if name is None else _sound(_named(name))


def _named(name: str) -> Entry:
    check_set_name(name)
    every = entries()
    for one in every:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in every) or "none"
    raise InputError("weights", f"'{name}'", f"one of the installed sets: {known}", _HOW_TO_GET)


def _sound(one: Entry) -> WeightSet:
    if one.weights is None:
        raise InputError(f"weights '{one.name}'", f"a broken set ({one.problem})", "a whole set",
                         f"Remove it with 'chisep weights remove {one.name}' and get it again.")  # fmt: skip
    return one.weights


def _preferred(roles: frozenset[Role]) -> WeightSet:
    every = entries()
    fitting = [one for one in every if one.weights is not None and roles <= set(one.weights.networks)]
    if not fitting:
        wanted = f" with {', '.join(sorted(roles))}" if roles else ""
        there = ", ".join(one.name if one.weights else f"{one.name} (broken)" for one in every) or "none"
        raise InputError("weights of the networks", f"{there} in {weights_folder()}",
                         f"a set{wanted}", _HOW_TO_GET)  # fmt: skip
    best = max(_rank(one) for one in fitting)
    first, *others = [one for one in fitting if _rank(one) == best]
    if others:
        raise InputError("weights", f"{len(others) + 1} sets that are as good: {first.name}, "
                         f"{', '.join(one.name for one in others)}", "one by its name",
                         "Name it in the method's option 'weights'.")  # fmt: skip
    return _sound(first)


def _rank(one: Entry) -> tuple[bool, bool]:
    return (one.weights is not None and one.weights.training_domain == "in vivo", not one.shipped)


def verify(name: str, report: Reporter | None = None) -> WeightSet:
    """Read every file of a set and hold it against the manifest and the architecture.

    Raises
    ------
    InputError
        If there is no such set or anything is wrong with it.
    """
    found = _sound(_named(name))
    check_networks(found, report or Reporter())
    return found


def check_networks(one: WeightSet, report: Reporter) -> None:
    """Load every network of a set once.

    Raises
    ------
    InputError
        If a file is not the recorded one or does not fit the architecture.
    """
    for number, role in enumerate(one.networks):
        report("verify weights", number / len(one.networks), role)
        one.network(role)
    report("verify weights", 1.0)


def remove(name: str) -> Path:
    """Delete a set of the user's own, also a broken one.

    Returns
    -------
    Path
        Folder that is gone.

    Raises
    ------
    InputError
        If there is none of that name, or it is not the user's own.
    OutputError
        If it cannot be deleted.
    """
    found = _named(name)
    if found.shipped:
        raise InputError(f"weights '{name}'", "a set that came with the program", "a set of your own")
    check_deletable(found.folder)
    with writing_to(found.folder):
        _delete(_moved_aside(found.folder))
    return found.folder


def check_deletable(folder: Path) -> None:
    """Refuse to delete a folder that holds anything but a set of weights.

    Raises
    ------
    InputError
        If it does.
    OutputError
        If it cannot be looked into.
    """
    if not _is_set(folder):
        raise InputError(f"folder {folder}", f"no {MANIFEST} in it", "a set of weights", _LOOK)
    with writing_to(folder):
        inside = [] if folder.is_symlink() else sorted(folder.iterdir())
    for one in inside:
        if not one.is_file() or not (one.name == MANIFEST or one.suffix == ".safetensors"):
            raise InputError(f"folder {folder}", f"{one.name!r} in it", "nothing but a set of weights", _LOOK)


def check_free(name: str, *, overwrite: bool) -> None:
    """Refuse a name that a set has, unless it is to be replaced.

    Raises
    ------
    InputError
        If the name is taken or no name.
    """
    check_set_name(name)
    folder = weights_folder() / name
    twins = [one for one in entries() if one.name.casefold() == name.casefold()]
    if any(one.shipped or one.name != name for one in twins):
        raise InputError("name of weights", f"'{name}', as '{twins[0].name}' is there", "a name of its own")
    if twins and not overwrite:
        raise InputError("name of weights", f"'{name}', which is installed", "a new name",
                         "Choose another name, or replace the set with --overwrite.")  # fmt: skip
    if folder.exists() or folder.is_symlink():
        check_deletable(folder)


@contextmanager
def adding(name: str, *, overwrite: bool = False) -> Iterator[Path]:
    """Give an empty folder that becomes the set ``name`` if the block succeeds.

    Raises
    ------
    InputError
        If the name is taken or no name.
    OutputError
        If the folder cannot be written; nothing is left behind.
    """
    check_free(name, overwrite=overwrite)
    folder = weights_folder() / name
    temporary = folder.parent / f".part-{uuid.uuid4().hex}"
    try:
        with writing_to(folder):
            temporary.mkdir(parents=True)
            yield temporary
            _take_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(new: Path, folder: Path) -> None:
    """Rename; the old folder goes once the new one stands in its place."""
    if not folder.exists():
        new.rename(folder)
        return
    old = _moved_aside(folder)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    _delete(old)


def _moved_aside(folder: Path) -> Path:
    return folder.rename(folder.parent / f".old-{uuid.uuid4().hex}")


def _delete(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
