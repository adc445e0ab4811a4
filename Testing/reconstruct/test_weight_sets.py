"""Sets of weights on disk: manifests are held to every key, files to their hash, and one broken set harms no other."""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ChiSepPreprocessLib.errors import InputError, OutputError
from ChiSepReconstructLib.networks.weights import store
from ChiSepReconstructLib.networks.weights.importing import Training, import_weights
from ChiSepReconstructLib.networks.weights.weight_set import ROLES, NetworkFile, WeightSet, read_set
from weight_files import Published

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def manifest(published: Published, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHISEP_DATA", str(tmp_path_factory.mktemp("data")))
        return import_weights("official", published.files, published.normalisation).to_json()


@pytest.fixture(autouse=True)
def data(data_folder: Path) -> Path:
    return data_folder


@pytest.fixture
def official(published: Published) -> WeightSet:
    return import_weights("official", published.files, published.normalisation)


def test_a_manifest_survives_writing_and_reading(official: WeightSet, data: Path) -> None:
    folder = data / "weights" / "official"
    content = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert content == official.to_json()
    assert WeightSet.from_json(content, folder) == official == read_set(folder) == store.find("official")


def test_networks_give_what_the_checkpoints_gave(official: WeightSet, published: Published) -> None:
    for role in ROLES:
        network, truth = official.network(role), published.networks[role]
        images = torch.randn(1, len(official.networks[role].inputs), 16, 17, 18)
        assert not network.training
        assert {one.dtype for one in network.parameters()} == {torch.float32}
        assert torch.equal(network(images), truth(images))


def test_networks_are_copies_of_their_own(official: WeightSet) -> None:
    first, second = official.network("qsmnet"), official.network("qsmnet")
    with torch.no_grad():
        first.out.conv.weight.fill_(7.0)
    assert not (second.out.conv.weight == 7.0).any()


def _without(key: str) -> Change:
    return lambda content: content.pop(key)


def _with(*path_and_value: Any) -> Change:
    *path, last, value = path_and_value

    def change(content: dict[str, Any]) -> None:
        for key in path:
            content = content[key]
        content[last] = value

    return change


@pytest.mark.parametrize("key", ["format", "name", "title", "training_domain", "licence", "source", "voxel_size_mm",
                                 "relaxivity_hz_per_ppm", "field_strength_t", "smallest_voxel_mm", "largest_voxel_mm",
                                 "networks", "normalisation"])  # fmt: skip
@pytest.mark.parametrize("value", [None, "", -1, True, [], {}, float("nan"), 10**400, [[1], "a", None]])
def test_no_key_takes_a_value_of_another_kind(manifest: dict[str, Any], key: str, value: Any) -> None:
    content = copy.deepcopy(manifest)
    content[key] = value
    with pytest.raises(InputError):
        WeightSet.from_json(content, Path("/nowhere/official"))


@pytest.mark.parametrize("key", ["file", "sha256", "size_bytes", "base_width", "inputs"])
@pytest.mark.parametrize("value", [None, "", -1, True, [], {}, float("inf"), "a" * 63, 2**40, ["r2star"], 1.5])
def test_no_network_takes_a_value_of_another_kind(manifest: dict[str, Any], key: str, value: Any) -> None:
    content = copy.deepcopy(manifest)
    content["networks"]["qsmnet"][key] = value
    with pytest.raises(InputError):
        WeightSet.from_json(content, Path("/nowhere/official"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("licence"), "no licence"),
        (_with("more", 1), "unknown keys 'more'"),
        (_with("format", 2), "newer version"),
        (_with("title", "two\nlines"), "printable"),
        (_with("licence", "\x1b[2J free"), "printable"),
        (_with("training_domain", "in vitro"), "in vivo, simulated"),
        (_with("voxel_size_mm", [1.0, 1.0]), "3 edges"),
        (_with("smallest_voxel_mm", 1.5), "smallest voxel"),
        (_with("largest_voxel_mm", 0.9), "largest voxel"),
        (_with("networks", "brainnet", {}), "some of qsmnet"),
        (_with("networks", "qsmnet", "sha256", "A" * 64), "lower case"),
        (_with("networks", "qsmnet", "size_bytes", 0), "size_bytes"),
        (_with("networks", "chisepnet", "inputs", ["local_field", "chi_total", "r2prime"]), r"chi_total \+ local"),
        (_with("networks", "qsmnet", "file", "r2primenet.safetensors"), "same file"),
        (_with("normalisation", "r2", {"mean": 0.1, "std": 0.1}), "some of chi_total"),
        (_with("normalisation", "r2star", "std", 0.0), "std above 0"),
        (_with("normalisation", "r2star", {"mean": 0.1}), "no std"),
        (lambda content: content["normalisation"].pop("r2prime"), "no constants of r2prime"),
    ],
)  # fmt: skip
def test_wrong_manifests_are_refused_by_what_is_wrong(manifest: dict[str, Any], change: Change, message: str) -> None:
    content = copy.deepcopy(manifest)
    change(content)
    with pytest.raises(InputError, match=message):
        WeightSet.from_json(content, Path("/nowhere/official"))


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/x.safetensors", "a/b.safetensors", "a\\b.safetensors",
                                  "C:x.safetensors", ".x.safetensors", "x.pth", "x.safetensors\n", "nul.safetensors",
                                  "x" * 64 + ".safetensors"])  # fmt: skip
def test_files_outside_the_folder_cannot_be_named(manifest: dict[str, Any], name: str) -> None:
    content = copy.deepcopy(manifest)
    content["networks"]["qsmnet"]["file"] = name
    with pytest.raises(InputError, match="plain name"):
        WeightSet.from_json(content, Path("/nowhere/official"))


def test_a_changed_file_is_refused(official: WeightSet) -> None:
    path = official.networks["qsmnet"].path
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="SHA-256"):
        official.network("qsmnet")
    with pytest.raises(InputError, match="SHA-256"):
        store.verify("official")
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="bytes"):
        official.network("qsmnet")
    path.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        official.network("qsmnet")
    assert official.network("r2primenet")


def _rewritten(official: WeightSet, change: Callable[[dict[str, torch.Tensor]], Any]) -> WeightSet:
    """The set with another, correctly recorded file for QSMnet."""
    file = official.networks["qsmnet"]
    state = load_file(file.path)
    change(state)
    save_file(state, file.path)
    changed = NetworkFile.describing(file.path, file.base_width, file.inputs)
    return WeightSet(**{**vars(official), "networks": {**official.networks, "qsmnet": changed}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv42.bn.bias"), "no conv42.bn.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), "foreign 'extra'"),
        (lambda state: state.update({"out.conv.bias": torch.zeros(2)}), r"float32 \(2,\); expected float32 \(1,\)"),
        (lambda state: state.update({"out.conv.bias": torch.zeros(1, dtype=torch.float64)}), "float64"),
        (lambda state: state["l_conv1.conv.weight"].view(-1)[3].fill_(float("nan")), "not finite"),
        (lambda state: state["conv11.bn.running_var"][0].fill_(-1.0), "negative variances"),
    ],
)
def test_weights_of_another_network_are_refused(official: WeightSet, change: Change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _rewritten(official, change).network("qsmnet")


def test_what_is_no_safetensors_is_refused(official: WeightSet) -> None:
    path = official.networks["qsmnet"].path
    whole = path.read_bytes()
    for content in (b"", b"\xff" * 200, whole[:-4], whole[:100], json.dumps({"a": 1}).encode()):
        path.write_bytes(content)
        size = max(len(content), 1)
        file = NetworkFile(path, hashlib.sha256(content).hexdigest(), 2, ("local_field",), 0 if size == 1 else size)
        with pytest.raises(InputError, match="safetensors"):
            WeightSet(**{**vars(official), "networks": {"qsmnet": file}}).network("qsmnet")


def test_a_missing_network_is_named(published: Published) -> None:
    one = import_weights("alone", {"qsmnet": published.files["qsmnet"]}, published.normalisation)
    with pytest.raises(InputError, match="no chisepnet among qsmnet"):
        one.network("chisepnet")


def test_a_broken_set_hides_no_other(official: WeightSet, data: Path) -> None:
    for name, content in (("bad", "{"), ("list", "[]"), ("empty", "{}"), ("bytes", "\x00")):
        (data / "weights" / name).mkdir()
        (data / "weights" / name / "manifest.json").write_text(content)
    (data / "weights" / "no_manifest").mkdir()
    (data / "weights" / ".part-1").mkdir()
    (data / "weights" / "a file").write_text("")
    renamed = data / "weights" / "renamed"
    renamed.mkdir()
    (renamed / "manifest.json").write_text(json.dumps(official.to_json()))
    assert store.installed() == (official,)
    assert [one.name for one in store.entries()] == ["bad", "bytes", "empty", "list", "official", "renamed"]
    assert store.find() == official
    with pytest.raises(InputError, match="name 'official' in the folder 'renamed'"):
        store.find("renamed")
    store.remove("bad")
    assert not (data / "weights" / "bad").exists()


def test_the_preferred_set(published: Published, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="chisep weights import"):
        store.find()
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "data" / "weights")
    monkeypatch.setenv("CHISEP_DATA", str(tmp_path / "other"))
    assert store.installed() == ()
    files, constants = published.files, published.normalisation
    simulated = import_weights("a", files, constants, training=Training(training_domain="simulated"))
    assert store.find() == simulated
    in_vivo = import_weights("b", files, constants)
    assert store.find() == in_vivo
    alone = import_weights("c", {"qsmnet": files["qsmnet"]}, constants)
    with pytest.raises(InputError, match="2 sets that are as good: b, c"):
        store.find()
    assert store.find(roles=("chisepnet",)) == in_vivo
    assert store.find("c") == alone
    with pytest.raises(InputError, match="a, b, c"):
        store.find("d")


def test_sets_that_come_with_the_program_are_found_and_stay(
    published: Published, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_weights("shipped", published.files, published.normalisation)
    (data / "weights").rename(tmp_path / "package")
    monkeypatch.setattr(store, "SHIPPED", tmp_path / "package")
    assert [(one.name, one.shipped) for one in store.entries()] == [("shipped", True)]
    assert store.verify("shipped").networks["qsmnet"].path.parent == tmp_path / "package" / "shipped"
    with pytest.raises(InputError, match="came with the program"):
        store.remove("shipped")
    for name in ("shipped", "Shipped"):
        with pytest.raises(InputError, match="name of its own"):
            import_weights(name, published.files, published.normalisation, overwrite=True)
    own = import_weights("own", published.files, published.normalisation)
    assert store.find() == own


@pytest.mark.parametrize("name", ["..", "../x", "/tmp/x", "a/b", "a\\b", "", ".hidden", "con", "NUL.x", "x.", "x ",
                                  "a\0b", "ü", "x" * 65])  # fmt: skip
def test_names_that_leave_the_folder_are_refused(name: str, published: Published, data: Path) -> None:
    with pytest.raises(InputError, match="name of weights"):
        import_weights(name, published.files, published.normalisation)
    for call in (store.find, store.verify, store.remove):
        with pytest.raises(InputError, match="name of weights"):
            call(name)
    assert not data.exists()


def test_removing_takes_nothing_else_along(official: WeightSet, data: Path) -> None:
    folder = data / "weights" / "official"
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        store.remove("official")
    assert official.network("qsmnet")
    (folder / "notes.txt").unlink()
    assert store.remove("official") == folder
    assert list((data / "weights").iterdir()) == []
    with pytest.raises(InputError, match="'official'"):
        store.remove("official")


def test_what_is_no_set_is_never_replaced(published: Published, data: Path) -> None:
    (data / "weights" / "mine").mkdir(parents=True)
    (data / "weights" / "mine" / "thesis.txt").write_text("mine")
    (data / "weights" / "file").write_text("mine")
    for name in ("mine", "file"):
        with pytest.raises(InputError, match=r"no manifest\.json in it"):
            import_weights(name, published.files, published.normalisation, overwrite=True)
        with pytest.raises(InputError, match="one of the installed sets: none"):
            store.remove(name)
    assert (data / "weights" / "mine" / "thesis.txt").read_text() == "mine"
    assert sorted(one.name for one in (data / "weights").iterdir()) == ["file", "mine"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs the right to make symbolic links")
def test_removing_a_link_keeps_what_it_points_to(official: WeightSet, data: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "official"
    (data / "weights" / "official").rename(elsewhere)
    (data / "weights" / "official").symlink_to(elsewhere)
    assert store.verify("official") == official
    store.remove("official")
    assert store.installed() == ()
    assert read_set(elsewhere).network("qsmnet")


def test_a_failed_replacement_leaves_the_old_set(
    official: WeightSet, published: Published, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name.startswith(".part-") and target.name == "official":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match="disk is full"):
        import_weights("official", {"qsmnet": published.files["qsmnet"]}, published.normalisation, overwrite=True)
    assert store.verify("official") == official
    assert [one.name for one in (data / "weights").iterdir()] == ["official"]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "home/.local/share/chisep"),
        ("linux", {"XDG_DATA_HOME": "{root}/xdg"}, "xdg/chisep"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "home/.local/share/chisep"),
        ("linux", {"XDG_DATA_HOME": "{root}/xdg", "CHISEP_DATA": "{root}/mine"}, "mine"),
        ("linux", {"CHISEP_DATA": "~/mine"}, "home/mine"),
        ("darwin", {}, "home/Library/Application Support/chisep"),
        ("win32", {"LOCALAPPDATA": "{root}/local"}, "local/chisep"),
        ("win32", {}, "home/AppData/Local/chisep"),
    ],
)
def test_the_data_folder_is_the_platforms(
    platform: str, variables: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CHISEP_DATA", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(root=tmp_path))
    assert store.data_folder() == tmp_path / expected


def test_a_folder_that_cannot_be_read_is_said(official: WeightSet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(InputError, match=r"Permission denied.*CHISEP_DATA"):
        store.installed()


def test_a_set_that_cannot_be_read_hides_no_other(
    official: WeightSet, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "weights" / "locked").mkdir()
    is_file, read_text = Path.is_file, Path.read_text

    def locked(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Path, *arguments: Any, **named: Any) -> Any:
            if self.parent.name == "locked":
                raise PermissionError(13, "Permission denied")
            return function(self, *arguments, **named)

        return call

    monkeypatch.setattr(Path, "is_file", locked(is_file))
    monkeypatch.setattr(Path, "read_text", locked(read_text))
    assert store.installed() == (official,)
    assert [(one.name, bool(one.problem)) for one in store.entries()] == [("locked", True), ("official", False)]
