"""Import of checkpoints as they were published: exact, and harmless whatever the file holds."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.networks.weights import store
from ChiSepReconstructLib.networks.weights.importing import import_weights, read_normalisation
from ChiSepReconstructLib.networks.weights.matlab import read_scalars
from ChiSepReconstructLib.networks.weights.weight_set import ROLES, Role, read_set
from weight_files import PUBLISHED, Published, random_network, refuse, save_checkpoint, save_constants


@pytest.fixture(autouse=True)
def data(data_folder: Path) -> Path:
    return data_folder


def test_the_published_files_make_a_set(published: Published) -> None:
    one = import_weights("official", published.files, published.normalisation)
    assert one == store.find() == read_set(store.weights_folder() / "official")
    assert set(one.networks) == set(ROLES)
    assert [one.networks[role].inputs for role in ROLES] == [
        ("local_field",), ("r2star",), ("chi_total", "local_field", "r2prime"),
    ]  # fmt: skip
    assert {file.base_width for file in one.networks.values()} == {2}
    assert one.relaxivity_hz_per_ppm == 114.0
    assert one.field_strength_t == pytest.approx(2.893, abs=5e-4)
    assert one.voxel_size_mm == (1.0, 1.0, 1.0)
    assert (one.smallest_voxel_mm, one.largest_voxel_mm) == (0.6, 3.0)
    assert one.training_domain == "in vivo"
    assert "no redistribution" in one.licence
    assert "non-clinical" in one.licence
    assert one.title == "QSMnet_ME, R2PRIMEnet, χ-sepnet"


def test_constants_go_to_their_artifacts(published: Published) -> None:
    found = {name: (one.mean, one.std) for name, one in read_normalisation(published.normalisation).items()}
    assert found == {
        "chi_total": PUBLISHED["cosmos_sus"], "local_field": PUBLISHED["field"], "r2prime": PUBLISHED["r2prime"],
        "r2star": PUBLISHED["r2star"], "chi_para": PUBLISHED["x_pos"], "chi_dia": PUBLISHED["x_neg"],
    }  # fmt: skip


@pytest.mark.parametrize("form", ["module.", "plain", "bare", "legacy", "optimiser"])
def test_every_form_of_a_checkpoint_gives_the_same_weights(form: str, published: Published, tmp_path: Path) -> None:
    network, path = published.networks["chisepnet"], tmp_path / "checkpoint.pth"
    if form in ("module.", "plain"):
        save_checkpoint(path, network, form.removesuffix("plain"))
    elif form == "bare":
        torch.save(network.state_dict(), path)
    elif form == "legacy":
        torch.save({"epoch": 3, "state_dict": network.state_dict()}, path, _use_new_zipfile_serialization=False)
    else:
        optimiser = torch.optim.RMSprop(network.parameters(), lr=3e-4)
        torch.save({"state_dict": network.state_dict(), "optimizer": optimiser.state_dict(), "loss": 0.1}, path)
    one = import_weights("one", {"chisepnet": path}, published.normalisation)
    state = one.network("chisepnet").state_dict()
    assert len(state) == 136
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("width", [1, 3, 4])
def test_the_width_is_that_of_the_weights(width: int, published: Published, tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "x.pth.tar", random_network(1, 1, width))
    one = import_weights("one", {"r2primenet": path}, published.normalisation)
    assert one.networks["r2primenet"].base_width == width
    assert one.network("r2primenet").out.conv.in_channels == width


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sentinel),)


@pytest.mark.parametrize("in_archive", [True, False])
@pytest.mark.parametrize("place", ["whole", "epoch", "weight", "plain pickle"])
def test_code_in_a_checkpoint_does_not_run(
    place: str, in_archive: bool, published: Published, tmp_path: Path, data: Path
) -> None:
    sentinel, path = tmp_path / "ran", tmp_path / "evil.pth.tar"
    state: dict[str, Any] = dict(published.networks["qsmnet"].state_dict())
    if place == "weight":
        state["conv11.conv.weight"] = Attack(sentinel)
    content = {"epoch": Attack(sentinel) if place == "epoch" else 1, "state_dict": state}
    if place == "plain pickle":
        path.write_bytes(pickle.dumps(content | {"epoch": Attack(sentinel)}))
    else:
        torch.save(Attack(sentinel) if place == "whole" else content, path, _use_new_zipfile_serialization=in_archive)
    refuse("none of its code was run", {"qsmnet": path}, published.normalisation, data)
    assert not sentinel.exists()
    if place != "plain pickle":
        torch.load(path, weights_only=False)
        assert sentinel.is_dir()  # so the attack is a real one


def test_broken_files_are_refused(published: Published, tmp_path: Path, data: Path) -> None:
    whole, path = published.files["qsmnet"].read_bytes(), tmp_path / "broken.pth.tar"
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    cut = [whole[:length] for length in (0, 1, 2, 100, len(whole) // 2, len(whole) - 1)]
    text, picture = b"Not found\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
    for content in (*cut, bytes(flipped), text, picture, pickle.dumps({"state_dict": None})[:-2]):
        path.write_bytes(content)
        refuse("nothing but weights", {"qsmnet": path}, published.normalisation, data)
    refuse("does not exist", {"qsmnet": tmp_path / "none.pth"}, published.normalisation, data)
    refuse("is a folder", {"qsmnet": tmp_path}, published.normalisation, data)


def test_files_that_may_not_be_read_are_said(published: Published, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(self: Path, *arguments: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", locked)
    refuse("Permission denied.*permissions", published.files, published.normalisation, data)


def test_compressed_archives_are_refused(published: Published, tmp_path: Path, data: Path) -> None:
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(published.files["qsmnet"]) as archive, zipfile.ZipFile(packed, "w") as other:
        for one in archive.infolist():
            other.writestr(one.filename, archive.read(one), zipfile.ZIP_DEFLATED)
    refuse("nothing but weights", {"qsmnet": packed}, published.normalisation, data)


@pytest.mark.parametrize("content", [1, [1, 2], {}, {"state_dict": {}}, {"state_dict": 5}, {"epoch": 1}, {1: 2},
                                     {"state_dict": {"conv11.conv.weight": 5}}, {"weight": torch.zeros(2)},
                                     {"conv11.conv.weight": torch.zeros(0, 1, 3, 3, 3)}], ids=repr)  # fmt: skip
def test_other_content_is_refused(content: Any, published: Published, tmp_path: Path, data: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    refuse("state_dict|layers named conv11", {"qsmnet": tmp_path / "other.pth"}, published.normalisation, data)


def _changed(published: Published, change: Callable[[dict[str, Any]], Any], path: Path) -> Path:
    state = {name: value.clone() for name, value in published.networks["qsmnet"].state_dict().items()}
    change(state)
    torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("deconv3.deconv.bias"), "no deconv3.deconv.bias"),
        (lambda state: state.pop("conv52.bn.num_batches_tracked"), "no conv52.bn.num_batches_tracked"),
        (lambda state: state.update({"module.extra": torch.zeros(1)}), "foreign 'module.extra'"),
        (lambda state: state.update({"conv21.conv.bias": torch.zeros(3)}), r"conv21.conv.bias: got float32 \(3,\)"),
        (lambda state: state.update({"conv21.conv.bias": torch.zeros(4).half()}), "float16"),
        (lambda state: state.update({"conv21.conv.bias": [0.0] * 4}), "got list"),
        (lambda state: state.update({"conv21.conv.bias": torch.zeros(4).to_sparse()}), "plain tensor"),
        (lambda state: state.update({"conv21.conv.bias": torch.zeros(4, device="meta")}), "plain tensor"),
        (lambda state: state["conv21.conv.bias"].fill_(float("inf")), "not finite"),
        (lambda state: state["conv21.bn.running_var"].fill_(-1.0), "negative variances"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str, published: Published, tmp_path: Path, data: Path
) -> None:
    path = _changed(published, change, tmp_path / "x.pth")
    refuse(message, {"qsmnet": path}, published.normalisation, data)


def test_tensors_that_share_or_repeat_memory_are_imported(published: Published, tmp_path: Path) -> None:
    ones = torch.ones(1).expand(2)
    path = _changed(published, lambda state: state.update({"conv11.bn.weight": ones, "conv12.bn.weight": ones}),
                    tmp_path / "x.pth")  # fmt: skip
    network = import_weights("one", {"qsmnet": path}, published.normalisation).network("qsmnet")
    assert torch.equal(network.conv11.bn.weight, torch.ones(2))
    assert torch.equal(network.conv12.bn.weight, torch.ones(2))


def test_files_under_another_networks_name_are_refused(published: Published, tmp_path: Path, data: Path) -> None:
    files, constants = published.files, published.normalisation
    plain = {role: Path(shutil.copy(path, tmp_path / f"{number}.pth")) for number, (role, path) in
             enumerate(files.items())}  # fmt: skip
    refuse("qsmnet.*3 channels in; expected 1", {"qsmnet": plain["chisepnet"]}, constants, data)
    refuse("chisepnet.*1 channels in; expected 2 or 3", {"chisepnet": plain["qsmnet"]}, constants, data)
    refuse("qsmnet: got r2primenet_official.*QSMnet_ME", {"qsmnet": files["r2primenet"]}, constants, data)
    refuse("r2primenet: got qsmnet_official", {"r2primenet": files["qsmnet"]}, constants, data)
    refuse("same weights for qsmnet and r2primenet",
           {"qsmnet": plain["qsmnet"], "r2primenet": plain["qsmnet"]}, constants, data)  # fmt: skip
    refuse("none; expected files of some of qsmnet", {}, constants, data)


def test_outputs_are_counted(published: Published, tmp_path: Path, data: Path) -> None:
    path = save_checkpoint(tmp_path / "x.pth", random_network(3, 1))
    refuse("3 → 1 channels.*expected 3 → 2", {"chisepnet": path}, published.normalisation, data)


@pytest.mark.parametrize("inputs", [("local_field", "r2prime"), ("chi_total", "r2prime")])
def test_inputs_of_ablations_are_named_by_the_user(
    inputs: tuple[str, str], published: Published, tmp_path: Path, data: Path
) -> None:
    path = save_checkpoint(tmp_path / "ablation.pth", random_network(2, 2))
    files: dict[Role, Path] = {"chisepnet": path}
    refuse("local_field,r2prime or chi_total,r2prime", files, published.normalisation, data)
    refuse("local_field,r2prime or", files, published.normalisation, data, chisepnet_inputs=("r2prime", "local_field"))
    one = import_weights("ablation", files, published.normalisation, chisepnet_inputs=inputs)
    assert one.networks["chisepnet"].inputs == inputs
    assert one.network("chisepnet").conv11.conv.in_channels == 2


def test_inputs_named_for_the_full_network_must_be_its_own(published: Published, data: Path) -> None:
    files: dict[Role, Path] = {"chisepnet": published.files["chisepnet"]}
    refuse("3 channels and local_field, r2prime", files, published.normalisation, data,
           chisepnet_inputs=("local_field", "r2prime"))  # fmt: skip


def test_missing_constants_are_named(published: Published, tmp_path: Path, data: Path) -> None:
    constants = {name: pair for name, pair in PUBLISHED.items() if name not in ("x_neg", "r2star")}
    path = save_constants(tmp_path / "norm.mat", constants)
    refuse("no constants of chi_dia, r2star", published.files, path, data)
    assert import_weights("one", {"qsmnet": published.files["qsmnet"]}, path).normalisation


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": 1.0}, "none of the constants"),
        ({"field_mean": 0.0}, "field_std: got nothing"),
        ({"field_mean": [1.0, 2.0], "field_std": 0.01}, "field_mean: got no single finite number"),
        ({"field_mean": "text", "field_std": 0.01}, "field_mean: got nothing"),
        ({"field_mean": np.nan, "field_std": 0.01}, "one number"),
        ({"field_mean": 1j, "field_std": 0.01}, "one number"),
        ({"field_mean": 0.0, "field_std": 0.0}, "std from 0.0001"),
        ({"field_mean": -0.32, "field_std": 1.34}, "imaging frequency in MHz"),
        ({"r2star_mean": 18.1, "r2star_std": 8.6}, "relaxometric constant"),
        ({"field_mean": {"a": 1.0}, "field_std": 0.01}, "one number"),
    ],
)
def test_wrong_constants_are_refused(
    content: dict[str, Any], message: str, published: Published, tmp_path: Path, data: Path
) -> None:
    savemat(tmp_path / "norm.mat", content)
    refuse(message, published.files, tmp_path / "norm.mat", data)


@pytest.mark.parametrize("compressed", [True, False])
def test_numbers_are_those_that_scipy_wrote(compressed: bool, tmp_path: Path) -> None:
    big = np.random.default_rng(0).normal(size=(100, 200))
    content: dict[str, Any] = {
        "a_name_of_31_characters_no_more_": 0.0512345678901, "x": np.float32(0.25), "i": np.int16(-7),
        "u": np.uint64(2**53), "b": np.uint8(1), "big": big, "row": np.zeros((1, 2)), "none": np.zeros((0, 0)),
        "z": 1j, "text": "text", "cell": np.array([1, "a"], dtype=object), "struct": {"x": 1.0}, "last": np.pi,
    }  # fmt: skip
    savemat(tmp_path / "x.mat", content, do_compression=compressed, long_field_names=True)
    found = read_scalars((tmp_path / "x.mat").read_bytes())
    assert found == {
        "a_name_of_31_characters_no_more_": 0.0512345678901, "x": 0.25, "i": -7.0, "u": 2.0**53, "b": 1.0,
        "big": None, "row": None, "none": None, "z": None, "last": np.pi,
    }  # fmt: skip


def test_numbers_in_the_other_byte_order_are_read() -> None:
    name, number = b"field_std", 0.0108496593
    matrix = (struct.pack(">IIII", 6, 8, 6, 0) + struct.pack(">IIii", 5, 8, 1, 1)
              + struct.pack(">II16s", 1, len(name), name) + struct.pack(">IId", 9, 8, number))  # fmt: skip
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    assert read_scalars(header + struct.pack(">II", 14, len(matrix)) + matrix) == {"field_std": number}


def test_no_file_of_constants_does_more_than_fail(published: Published) -> None:
    """Scipy's own reader crashes the process on about one of forty of these."""
    whole, random = published.normalisation.read_bytes(), np.random.default_rng(1)
    outcomes = []
    for _ in range(3000):
        content = np.frombuffer(whole, np.uint8).copy()
        content[random.integers(0, content.size, random.integers(1, 10))] = random.integers(0, 256)
        try:
            outcomes.append(len(read_scalars(content.tobytes()[: random.integers(1, 2 * content.size)])))
        except ValueError:
            outcomes.append(-1)
    assert 2700 < outcomes.count(-1) < 2800


def test_broken_files_of_constants_are_refused(published: Published, tmp_path: Path, data: Path) -> None:
    whole, path = published.normalisation.read_bytes(), tmp_path / "norm.mat"
    version_7_3 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(500)
    for content in (b"", b"text" * 100, whole[:200], whole[: len(whole) // 2], whole[:-9], version_7_3):
        path.write_bytes(content)
        refuse("normalisation", published.files, path, data)
    refuse("'-v7'", published.files, path, data)
    refuse("does not exist", published.files, tmp_path / "none.mat", data)


def test_a_set_is_replaced_as_a_whole_and_on_request_alone(published: Published, tmp_path: Path, data: Path) -> None:
    first = import_weights("official", published.files, published.normalisation)
    other = save_checkpoint(tmp_path / "other.pth", random_network(1, 1, seed=9))
    with pytest.raises(InputError, match="which is installed"):
        import_weights("official", {"qsmnet": other}, published.normalisation)
    with pytest.raises(InputError, match="the file of QSMnet_ME"):
        import_weights("official", {"qsmnet": published.normalisation}, published.normalisation, overwrite=True)
    assert store.verify("official") == first
    second = import_weights("official", {"qsmnet": other}, published.normalisation, overwrite=True)
    assert store.verify("official") == second
    assert sorted(path.name for path in (data / "weights" / "official").iterdir()) == [
        "manifest.json", "qsmnet.safetensors",
    ]  # fmt: skip
    assert [path.name for path in (data / "weights").iterdir()] == ["official"]


def test_cancelling_leaves_nothing(published: Published, data: Path) -> None:
    report = Reporter(lambda status: status.fraction < 0.5)
    with pytest.raises(CancelledError):
        import_weights("official", published.files, published.normalisation, report=report)
    assert list((data / "weights").iterdir()) == []
