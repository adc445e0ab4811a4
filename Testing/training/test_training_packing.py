"""Trainings as sets of weights, compact files, and χ-sepnet's QSM by a trained QSMnet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, write_json
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.networks.engine import EngineOptions
from ChiSepReconstructLib.networks.inference import NetworkChain
from ChiSepReconstructLib.networks.options import NetworkOptions
from ChiSepReconstructLib.networks.unet import UNet
from ChiSepReconstructLib.networks.weights.state import Compression, from_safetensors, safetensors_notes, to_safetensors
from ChiSepReconstructLib.networks.weights.store import verify
from ChiSepReconstructLib.networks.weights.weight_set import ROLES, Role, read_set
from ChiSepReconstructLib.training.loop import train
from ChiSepReconstructLib.training.options import AugmentationOptions, DataOptions, PatchOptions, TrainingOptions
from ChiSepReconstructLib.training.packing import PackOptions, pack, read_trained
from ChiSepReconstructLib.training.qsm_input import qsm_by_network
from installed_weights import map_set
from random_networks import brain_images, consistent_network
from training_heads import TRAINED, make_maps, write_heads

TINY = TrainingOptions(
    base_width=2, epochs=1, batch_size=2, device="cpu", augmentation=AugmentationOptions(angles_deg=(0.0,)),
    patches=PatchOptions(size_voxels=16, sampling="random", per_epoch=4),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[Role, Path]:
    """All three networks, trained for two steps; χ-sepnet with the QSM of the first."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_heads(folder / "data", 3, (20, 19, 18))
    found: dict[Role, Path] = {role: folder / role for role in ROLES}
    for role, output in found.items():
        train(role, data, output, TINY, qsmnet=found["qsmnet"] if role == "chisepnet" else None)
    return found


def test_packed_set_is_whole_and_loads_as_float32(trained: dict[Role, Path], tmp_path: Path) -> None:
    packed = pack("ours", trained, PackOptions(title="Test"), parent=tmp_path)
    one = read_set(tmp_path / "ours")
    assert one == packed and one.training_domain == "simulated" and one.licence == "Apache-2.0"
    assert one.voxel_size_mm == (1.0, 1.0, 1.0) and one.field_strength_t == 3.0
    assert one.relaxivity_hz_per_ppm == pytest.approx(118.2, abs=0.05)
    for role, folder in trained.items():
        network, original = one.network(role), read_trained(folder).network()
        for name, value in network.state_dict().items():
            assert value.dtype in (torch.float32, torch.int64)
            assert torch.allclose(value, original.state_dict()[name], rtol=2**-11, atol=1e-7), name
        assert one.file(role).size_bytes < 0.6 * (folder / "best.safetensors").stat().st_size
    assert "qsmnet: epoch 1, NRMSE " in one.source and "other weights" not in one.source


def test_without_a_folder_the_set_is_installed(trained: dict[Role, Path], data_folder: Path) -> None:
    pack("ours", trained)
    assert verify("ours").networks.keys() == set(ROLES)
    with pytest.raises(InputError, match="--overwrite"):
        pack("ours", trained)
    pack("ours", {"qsmnet": trained["qsmnet"]}, overwrite=True)
    assert list(verify("ours").networks) == ["qsmnet"]


def test_existing_folder_is_not_touched(trained: dict[Role, Path], tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    with pytest.raises(InputError, match="which exists"):
        pack("ours", trained, parent=tmp_path)


def test_trainings_that_do_not_fit_each_other_are_refused(trained: dict[Role, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="training of qsmnet: got one of r2primenet"):
        pack("ours", {"qsmnet": trained["r2primenet"]}, parent=tmp_path)
    with pytest.raises(InputError, match="at least one epoch"):
        pack("ours", {"qsmnet": tmp_path}, parent=tmp_path)
    other = write_heads(tmp_path / "data", 4, (20, 19, 18))
    train("qsmnet", other, tmp_path / "other", TINY)
    with pytest.raises(InputError, match=r"mean of chi_total: .*--constants"):
        pack("ours", {**trained, "qsmnet": tmp_path / "other"}, parent=tmp_path)
    shared = read_trained(trained["chisepnet"]).constants
    train("qsmnet", other, tmp_path / "shared", TINY, constants=shared)
    one = pack("ours", {**trained, "qsmnet": tmp_path / "shared"}, parent=tmp_path)
    assert one.source.endswith("chisepnet was trained with the QSM of other weights of qsmnet than these")


def test_qsm_of_the_training_is_that_of_the_packed_network(trained: dict[Role, Path], tmp_path: Path) -> None:
    record = read_json(trained["chisepnet"] / "training.json")["data"]
    assert record["qsm"] == {"source": "qsmnet", "sha256": read_trained(trained["qsmnet"]).sha256}
    kept = {path.stem: np.load(path) for path in sorted((trained["chisepnet"] / "qsm").glob("*.npy"))}
    assert list(kept) == ["s0000", "s0001", "s0002"]
    # Independently: the whole head in one forward pass, with zeros around it.
    one, maps = read_trained(trained["qsmnet"]), make_maps(1, (20, 19, 18))
    scales, mask = one.constants.normalisation, maps["brain_mask"]
    image = np.pad(scales["local_field"].normalise(maps["local_field"], mask), 32)
    with torch.no_grad():
        found = one.network()(torch.from_numpy(image)[None, None])[0, 0].numpy()[32:-32, 32:-32, 32:-32]
    expected = scales["chi_total"].restore(found[:20, :19, :18], mask)[mask]
    difference = np.linalg.norm(kept["s0001"] - expected) / np.linalg.norm(expected)
    assert difference < 0.02


def test_qsm_of_the_training_is_that_of_the_pipelines(
    trained: dict[Role, Path], data_folder: Path, tmp_path: Path
) -> None:
    """Also where the brain is not in a corner of its volume, which moves the poolings."""
    pack("ours", {"qsmnet": trained["qsmnet"]}, PackOptions(compression="float32"))
    around = ((9, 3), (11, 5), (10, 4))
    data = {name: np.pad(one, around) for name, one in make_maps(7, (20, 19, 18)).items() if "/" not in name}
    mask = data["brain_mask"]
    made = qsm_by_network(trained["qsmnet"], tmp_path, "cpu")("head", data["local_field"], mask)
    maps = map_set(Grid(mask.shape, TRAINED), local_field=data["local_field"], brain_mask=mask)
    options = NetworkOptions(engine=EngineOptions(device="cpu"))
    chain = NetworkChain("qsmnet", maps, mask, options, ("qsmnet",), ("local_field",))
    found = chain.frame.back({"chi_total": chain.restored("chi_total", chain.qsm(Reporter()))})["chi_total"]
    assert np.abs(found - made).max() < 1e-4 * found[mask].std()


def test_qsm_of_another_qsmnet_is_refused(trained: dict[Role, Path], tmp_path: Path) -> None:
    data = trained["qsmnet"].parent / "data"
    write_json(tmp_path / "run" / "qsm" / "qsm.json", {"source": "qsmnet", "sha256": "0" * 64})
    with pytest.raises(InputError, match="maps of another method or QSMnet"):
        train("chisepnet", data, tmp_path / "run", TINY, qsmnet=trained["qsmnet"])
    with pytest.raises(InputError, match="a training of r2primenet"):
        train("chisepnet", data, tmp_path / "other", TINY, qsmnet=trained["r2primenet"])


def test_ablation_without_the_qsm_packs_too(trained: dict[Role, Path], tmp_path: Path) -> None:
    data = trained["qsmnet"].parent / "data"
    options = replace(TINY, inputs=("local_field", "r2prime"), data=DataOptions(qsm_source="truth"))
    rows = train("chisepnet", data, tmp_path / "run", options).rows
    assert "model_qsm" not in rows[0] and "model_field" in rows[0]
    assert pack("two", {"chisepnet": tmp_path / "run"}, parent=tmp_path).file("chisepnet").inputs == options.inputs


@pytest.fixture(scope="module")
def network() -> UNet:
    return consistent_network(3, 2, 4)


@pytest.mark.parametrize(
    ("compression", "share", "largest_percent"), [("float32", 1.0, 0.0), ("float16", 0.5, 0.09), ("int8", 0.25, 2.1)]
)
def test_compact_files_keep_the_result(
    network: UNet, compression: Compression, share: float, largest_percent: float
) -> None:
    state = network.state_dict()
    content, whole = to_safetensors(state, compression), to_safetensors(state)
    assert len(content) == pytest.approx(share * len(whole), rel=0.12)
    other = UNet(3, 2, 4).eval()
    other.load_state_dict(from_safetensors(content, "x"))
    images = torch.from_numpy(brain_images(3, (32, 32, 32), (28, 26, 30)))[None]
    with torch.no_grad():
        one, two = network(images), other(images)
    assert 100 * float((one - two).norm() / one.norm()) <= largest_percent


def test_eight_bits_are_exact_to_half_a_step_of_each_output_channel(network: UNet) -> None:
    found = from_safetensors(to_safetensors(network.state_dict(), "int8"), "x")
    for name, axis in (("conv52.conv.weight", 0), ("deconv4.deconv.weight", 1)):
        weights = network.state_dict()[name].movedim(axis, 0)
        error = (found[name].movedim(axis, 0) - weights).flatten(1).abs().amax(dim=1)
        step = weights.flatten(1).abs().amax(dim=1) / 127
        assert torch.all(error <= 0.5001 * step) and torch.all(error > 0.3 * step)


def test_a_channel_of_zeros_stays_zero(network: UNet) -> None:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    state["conv11.conv.weight"][1] = 0
    found = from_safetensors(to_safetensors(state, "int8"), "x")["conv11.conv.weight"]
    assert not found[1].any() and torch.isfinite(found).all()


def test_notes_travel_in_the_header_and_bytes_are_the_same_each_time(network: UNet) -> None:
    notes = {"epoch": "7", "nrmse_percent": "38.1", "more": "χ"}
    content = to_safetensors(network.state_dict(), notes=notes)
    assert safetensors_notes(content, "x") == notes
    assert all(to_safetensors(network.state_dict(), notes=notes) == content for _ in range(5))
    for broken in (b"", b"\xff" * 20, to_safetensors(network.state_dict()), json.dumps({}).encode()):
        with pytest.raises(InputError, match="safetensors"):
            safetensors_notes(broken, "x")


def test_broken_record_is_told(trained: dict[Role, Path], tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes((trained["qsmnet"] / "best.safetensors").read_bytes())
    write_json(tmp_path / "training.json", {"role": "qsmnet"})
    with pytest.raises(InputError, match=r"a broken training\.json"):
        read_trained(tmp_path)
