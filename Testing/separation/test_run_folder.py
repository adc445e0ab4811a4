"""One run takes another one's place as a whole, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ChiSeparationLib import run_folder
from ChiSeparationLib.run_folder import RunFolder, opened, read_record
from ChiSepPreprocessLib.errors import CancelledError, InputError, OutputError

OLD = ["maps/r2.json", "maps/r2star.json", "notes/mine.txt", "provenance.json", "report.html", "tkd/chi_total.json"]
NEW = ["closed-form/chi_para.json", "maps/r2star.json", "notes/mine.txt", "provenance.json"]


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A run, with a folder of the user's in it."""
    for name in OLD:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    RunFolder(tmp_path, "one").record({"state": "done", "methods": {"tkd": {}}})
    return tmp_path


def make_new_run(folder: RunFolder) -> None:
    for name in ("maps/r2star.json", "closed-form/chi_para.json"):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("new")
    folder.record({"state": "done", "methods": {"closed-form": {}}})


def overwrite(path: Path) -> None:
    with opened(path, "two", overwrite=True) as folder:
        make_new_run(folder)


def content(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def is_old(path: Path) -> bool:
    texts = {file.read_text() for file in path.rglob("*") if file.is_file() and file.name != "provenance.json"}
    return content(path) == OLD and texts == {"old"} and read_record(path)["fingerprint"] == "one"


def is_new(path: Path) -> bool:
    text = (path / "maps" / "r2star.json").read_text()
    return content(path) == NEW and text == "new" and read_record(path)["fingerprint"] == "two"


def test_another_run_is_refused_without_leave_to_overwrite(old_run: Path) -> None:
    with pytest.raises(InputError, match="--overwrite"), opened(old_run, "two"):
        pass
    assert is_old(old_run)


def test_the_old_run_is_there_until_the_new_one_is_complete(old_run: Path) -> None:
    with opened(old_run, "two", overwrite=True) as folder:
        make_new_run(folder)
        seen = [name for name in content(old_run) if not name.startswith(".")]
        assert seen == OLD
        assert folder.path.parent == old_run
    assert is_new(old_run)
    assert [one.name for one in old_run.iterdir() if one.name.startswith(".")] == []


@pytest.mark.parametrize("error", [CancelledError("stop"), OSError(28, "full"), KeyboardInterrupt(), MemoryError()])
def test_the_old_run_is_as_it_was_after_an_error(old_run: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), opened(old_run, "two", overwrite=True) as folder:
        make_new_run(folder)
        raise error
    assert is_old(old_run)


def test_an_interrupted_run_with_the_same_mark_goes_on_in_place(old_run: Path) -> None:
    with pytest.raises(CancelledError), opened(old_run, "one", overwrite=True) as folder:
        assert folder.path == old_run
        (folder.path / "maps" / "r2.json").write_text("newer")
        raise CancelledError("stop")
    assert (old_run / "maps" / "r2.json").read_text() == "newer"


#: Old: two folders, two absent pictures, the report, the record. New: two folders, the record, and a name in both.
MOVES = range(10)


class KilledError(BaseException):
    """The process ends: nothing after it is executed."""


class Disk:
    """Moves and removes as the system does, but for one move that fails, or until the process is killed."""

    def __init__(self, patched: pytest.MonkeyPatch, fails_at: int = -1, killed_at: int | None = None) -> None:
        self.fails_at: tuple[int, ...] = (fails_at,)
        self.killed_at, self.moves = killed_at, 0
        self._move, self._remove = run_folder._move, shutil.rmtree
        patched.setattr(run_folder, "_move", self.move)
        patched.setattr(shutil, "rmtree", self.remove)

    @property
    def killed(self) -> bool:
        return self.killed_at is not None and self.moves > self.killed_at

    def move(self, source: Path, target: Path) -> None:
        self.moves += 1
        if self.killed:
            raise KilledError
        if self.moves - 1 in self.fails_at:
            raise PermissionError(13, "in use")
        self._move(source, target)

    def remove(self, path: Path, ignore_errors: bool = False) -> None:
        if self.killed:
            raise KilledError
        self._remove(path, ignore_errors=ignore_errors)


@pytest.mark.parametrize("fails_at", MOVES)
def test_an_error_while_they_change_places_is_undone(
    old_run: Path, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        Disk(patched, fails_at=fails_at)
        with pytest.raises(OutputError, match="not permitted"):
            overwrite(old_run)
    assert is_old(old_run)
    overwrite(old_run)
    assert is_new(old_run)


@pytest.mark.parametrize("killed_at", MOVES)
def test_a_process_killed_while_they_change_places_loses_nothing(
    old_run: Path, killed_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        Disk(patched, killed_at=killed_at)
        with pytest.raises(KilledError):
            overwrite(old_run)
    assert all(any((folder / name).is_file() for folder in (old_run, old_run / ".old-run")) for name in OLD)
    with pytest.raises(InputError, match="other inputs"), opened(old_run, "three"):
        pass
    assert is_new(old_run)


@pytest.mark.parametrize("fails_at", MOVES)
@pytest.mark.parametrize("later", range(1, 11, 3))
def test_a_process_killed_while_it_takes_the_change_back_loses_nothing(
    old_run: Path, fails_at: int, later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        disk = Disk(patched, fails_at=fails_at, killed_at=fails_at + later)
        with pytest.raises((KilledError, OutputError)):
            overwrite(old_run)
    with pytest.raises(InputError, match="other inputs"), opened(old_run, "three"):
        pass
    assert is_new(old_run) if disk.killed else is_old(old_run)


@pytest.mark.parametrize("fails_at", MOVES)
def test_an_error_that_cannot_be_undone_loses_nothing(
    old_run: Path, fails_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        Disk(patched).fails_at = (fails_at, fails_at + 1, fails_at + 2)
        with pytest.raises(OutputError, match="not permitted"):
            overwrite(old_run)
    with pytest.raises(InputError, match="other inputs"), opened(old_run, "three"):
        pass
    assert is_old(old_run) or is_new(old_run)


def test_a_process_killed_before_the_new_run_is_complete_leaves_the_old_one(
    old_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched, pytest.raises(KilledError), opened(old_run, "two", overwrite=True) as folder:
        make_new_run(folder)
        Disk(patched, killed_at=-1)
        raise KilledError
    assert any(one.name.startswith(".part-") for one in old_run.iterdir())
    with opened(old_run, "one"):
        pass
    assert is_old(old_run)


@pytest.mark.parametrize(("method", "name"), [("r2primenet", "r2prime"), ("closed-form", "chi_para")])
def test_maps_alone_go_on_with_r2prime_from_elsewhere_and_chi_maps_do_not(
    tmp_path: Path, method: str, name: str
) -> None:
    folder = RunFolder(tmp_path, "one")
    folder.extend_record({"state": "started", "methods": {method: {"maps": []}}})
    run_folder.check_one_source(tmp_path, "one", "one+r2primenet")
    (tmp_path / method).mkdir()
    (tmp_path / method / f"{name}.nii.gz").write_text("map")
    if name == "r2prime":
        run_folder.check_one_source(tmp_path, "one", "one+r2primenet")
        with opened(tmp_path, "one+r2primenet"):
            assert list(read_record(tmp_path)["methods"]) == [method]
    else:
        with pytest.raises(InputError, match="R2′ from elsewhere"):
            run_folder.check_one_source(tmp_path, "one", "one+r2primenet")
        with pytest.raises(InputError, match="other inputs"), opened(tmp_path, "one+r2primenet"):
            pass
        assert read_record(tmp_path)["fingerprint"] == "one"


def test_a_record_that_is_extended_keeps_what_it_had(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "one")
    folder.record(
        {"state": "done", "methods": {"tkd": {"maps": ["chi_total"]}}, "seconds": {"tkd": 1}, "inputs": ["gre"]}
    )
    folder.extend_record({"state": "started", "methods": {"apart": {"maps": []}}}, {"inputs": ["maps"], "maps": []})
    record = read_record(tmp_path)
    assert list(record.pop("methods")) == ["tkd", "apart"]
    del record["version"]
    assert record == {"fingerprint": "one", "state": "started", "seconds": {"tkd": 1}, "inputs": ["gre"], "maps": []}
