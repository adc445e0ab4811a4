"""ONNX twins of the checkpoints: the same output, and nothing but the published graph."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ChiSepPreprocessLib.errors import MissingDependencyError
from ChiSepReconstructLib.networks.unet import UNet
from ChiSepReconstructLib.networks.weights.importing import import_weights
from ChiSepReconstructLib.networks.weights.weight_set import ROLES, Role
from weight_files import Published, refuse


@pytest.fixture(autouse=True)
def data(data_folder: Path) -> Path:
    return data_folder


def _export(network: UNet, path: Path) -> Path:
    """Write the ONNX twin with folded batch normalisation, as the exporter of PyTorch folds it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = torch.zeros(1, network.conv11.conv.in_channels, 16, 16, 16)
        torch.onnx.export(network, (images,), path, dynamo=False, opset_version=13)
    return path


@pytest.fixture(scope="module")
def exported(published: Published, tmp_path_factory: pytest.TempPathFactory) -> dict[Role, Path]:
    pytest.importorskip("onnx", reason="ONNX twins are read with the optional library onnx")
    folder = tmp_path_factory.mktemp("twins")
    return {role: _export(one, folder / f"{role}.onnx") for role, one in published.networks.items()}


@pytest.fixture
def twins(exported: dict[Role, Path], tmp_path: Path) -> dict[Role, Path]:
    return {role: Path(shutil.copy(path, tmp_path)) for role, path in exported.items()}


def test_onnx_twins_give_what_the_checkpoints_give(published: Published, twins: dict[Role, Path]) -> None:
    one = import_weights("twins", twins, published.normalisation)
    for role in ROLES:
        network, truth = one.network(role), published.networks[role]
        assert set(network.state_dict()) == set(truth.state_dict())
        images = torch.randn(1, len(one.networks[role].inputs), 16, 32, 16)
        expected = truth(images)
        assert expected.std() > 1e-3
        torch.testing.assert_close(network(images), expected, rtol=1e-5, atol=2e-6)


def test_the_batch_normalisation_of_a_twin_changes_no_bit(published: Published, twins: dict[Role, Path]) -> None:
    network = import_weights("twins", {"qsmnet": twins["qsmnet"]}, published.normalisation).network("qsmnet")
    images = torch.randn(1, network.conv12.conv.in_channels, 9, 8, 7) * 100
    assert torch.equal(network.conv12.bn(images), images)


def _edit(path: Path, change: Callable[[Any], Any]) -> Path:
    import onnx

    model = onnx.load(path)
    change(model.graph)
    path.write_bytes(model.SerializeToString())  # onnx.save would look for what lies outside
    return path


def _node(graph: Any, operation: str, number: int = 0) -> Any:
    return [one for one in graph.node if one.op_type == operation][number]


def _reverse_inputs(node: Any) -> None:
    node.input[:] = list(node.input)[::-1]


def _attribute(node: Any, name: str) -> Any:
    return next(one for one in node.attribute if one.name == name)


def _outside(graph: Any) -> None:
    graph.initializer[0].data_location = 1
    graph.initializer[0].external_data.add(key="location", value="../../secret")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda graph: _reverse_inputs(_node(graph, "Concat")), "Concat after"),
        (lambda graph: setattr(_node(graph, "Relu", 3), "op_type", "Sigmoid"), "Sigmoid; expected Relu"),
        (lambda graph: _attribute(_node(graph, "Conv", 4), "pads").ints.__setitem__(0, 0), "Conv with pads"),
        (lambda graph: _attribute(_node(graph, "MaxPool"), "strides").ints.__setitem__(0, 1), "MaxPool with strides"),
        (lambda graph: graph.initializer.pop(), "no values of"),
        (_outside, "inside the file"),
        (lambda graph: graph.initializer[0].ClearField("raw_data"), "broken values"),
        (lambda graph: setattr(graph.initializer[0], "data_type", 11), "32-bit"),
        (lambda graph: _node(graph, "Conv").input.pop(), "without bias"),
        (lambda graph: graph.input.add(name="more"), "2 inputs"),
        (lambda graph: graph.ClearField("node"), "got nothing"),
    ],
)
def test_graphs_of_another_network_are_refused(
    change: Callable[[Any], Any], message: str, published: Published, twins: dict[Role, Path], data: Path
) -> None:
    refuse(message, {"qsmnet": _edit(twins["qsmnet"], change)}, published.normalisation, data)


def test_broken_onnx_files_are_refused(published: Published, twins: dict[Role, Path], data: Path) -> None:
    whole, path = twins["qsmnet"].read_bytes(), twins["qsmnet"]
    for content in (b"", b"text", whole[:-7], whole[: len(whole) // 2]):
        path.write_bytes(content)
        refuse(r"onnx\)", {"qsmnet": path}, published.normalisation, data)


def test_a_missing_onnx_library_is_named(published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "x.onnx").write_bytes(b"")
    with pytest.raises(MissingDependencyError, match="pip install onnx"):
        import_weights("one", {"qsmnet": tmp_path / "x.onnx"}, published.normalisation)
