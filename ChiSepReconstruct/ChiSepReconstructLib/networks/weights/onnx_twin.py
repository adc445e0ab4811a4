"""Weights out of ONNX files in which batch normalisation is folded into the convolutions.

The graph must be the published network's, operation by operation; following the image through it names the weights.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from torch import Tensor

#: Two convolutions of each level on the way down, at the bottom, and on the way up after each transposed one.
_DOWN = (("conv11", "conv12"), ("conv21", "conv22"), ("conv31", "conv32"), ("conv41", "conv42"))
_BOTTOM = ("l_conv1", "l_conv2")
_UP = (("deconv4", "conv51", "conv52"), ("deconv3", "conv61", "conv62"), ("deconv2", "conv71", "conv72"),
       ("deconv1", "conv81", "conv82"))  # fmt: skip

#: What ONNX takes where an attribute is not written.
_DEFAULTS: Mapping[str, Any] = {
    "auto_pad": b"NOTSET", "pads": [0] * 6, "strides": [1] * 3, "dilations": [1] * 3, "group": 1,
    "output_padding": [0] * 3, "ceil_mode": 0, "storage_order": 0,
}  # fmt: skip

#: What the network's operations have instead, besides their kernels.
_CONVOLUTION = {"pads": [1] * 6}
_DOUBLING = {"strides": [2] * 3}
_POOLING = {"kernel_shape": [2] * 3, "strides": [2] * 3}
_JOINING = {"axis": 1}

#: Added to the variance by batch normalisation.
_EPSILON = 1e-5

_HINT = "Import the PyTorch checkpoint instead."


def read_onnx(path: Path, where: str) -> dict[str, Tensor]:
    """Read weights by their published names; batch normalisation does nothing with them.

    Parameters
    ----------
    path : Path
        ONNX file with its weights inside.
    where : str
        For error messages.

    Raises
    ------
    InputError
        If it is broken or not this network with folded batch normalisation.
    MissingDependencyError
        If the library is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"Reading {path.name} needs a library: pip install onnx") from error
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except MemoryError:
        raise
    except Exception as error:  # a broken file raises whatever it likes
        raise InputError(where, "a file that cannot be read", "a whole ONNX file", "Download it again.") from error
    return _Walk(graph, where).state()


class _Walk:
    """Follows the image through a graph and gathers the weights it meets.

    Parameters
    ----------
    graph : onnx.GraphProto
        Of the whole network.
    where : str
        For error messages.
    """

    def __init__(self, graph: Any, where: str) -> None:
        self._where = where
        self._weights = {one.name: one for one in graph.initializer}
        self._readers: dict[str, list[Any]] = defaultdict(list)
        for node in graph.node:
            self._keep(node)
        images = [one.name for one in graph.input if one.name not in self._weights]
        if len(images) != 1 or len(graph.output) != 1:
            raise self._unfit(f"{len(images)} inputs and {len(graph.output)} outputs", "one of each")
        self._image, self._end = images[0], graph.output[0].name
        self._state: dict[str, NDArray[np.float32]] = {}

    def _keep(self, node: Any) -> None:
        """Sort a node by the image it reads, or take the weights that it stands for."""
        if node.op_type == "Constant":
            values = [one.t for one in node.attribute if one.name == "value"]
            self._weights.update(dict.fromkeys(node.output, *values) if values else {})
        elif node.op_type == "Identity" and node.input[0] in self._weights:
            self._weights[node.output[0]] = self._weights[node.input[0]]
        elif node.input:
            self._readers[node.input[0]].append(node)

    def state(self) -> dict[str, Tensor]:
        """Walk from the input to the output."""
        import torch

        skipped: list[str] = []
        for level in _DOWN:
            self._blocks(level)
            skipped.append(self._image)
            self._step("MaxPool", _POOLING)
        self._blocks(_BOTTOM)
        for upsampling, *blocks in _UP:
            self._convolve("ConvTranspose", f"{upsampling}.deconv", _DOUBLING)
            self._step("Concat", _JOINING, skipped.pop())
            self._blocks(blocks)
        self._convolve("Conv", "out.conv", {})
        if self._image != self._end:
            raise self._unfit("operations after the last convolution", "none")
        state = {name: torch.from_numpy(value) for name, value in self._state.items()}
        return {**state, **{name: torch.tensor(0) for name in self._counters()}}

    def _counters(self) -> list[str]:
        return [f"{name.removesuffix('running_mean')}num_batches_tracked" for name in self._state
                if name.endswith("running_mean")]  # fmt: skip

    def _blocks(self, names: tuple[str, ...] | list[str]) -> None:
        for name in names:
            self._convolve("Conv", f"{name}.conv", _CONVOLUTION)
            self._normalise_by_nothing(f"{name}.bn", self._state[f"{name}.conv.bias"].size)
            self._step("Relu", {})

    def _normalise_by_nothing(self, name: str, channels: int) -> None:
        """Give batch normalisation constants with which it returns what it gets, to the last bit."""
        one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        values = {"weight": one, "bias": zero, "running_mean": zero, "running_var": one - np.float32(_EPSILON)}
        self._state.update({f"{name}.{key}": value.copy() for key, value in values.items()})

    def _convolve(self, operation: str, name: str, attributes: Mapping[str, Any]) -> None:
        node = self._step(operation, attributes)
        if len(node.input) != 3:
            raise self._unfit(f"{name} without bias", "weights and bias")
        for key, tensor in zip(("weight", "bias"), node.input[1:], strict=True):
            self._state[f"{name}.{key}"] = self._array(tensor, f"{name}.{key}")

    def _step(self, operation: str, attributes: Mapping[str, Any], second: str | None = None) -> Any:
        """Follow the image through the next operation, which must be this one."""
        readers = [one for one in self._readers[self._image] if one.op_type == operation]
        if len(readers) != 1 or (second is not None and list(readers[0].input[1:]) != [second]):
            there = ", ".join(sorted(str(one.op_type) for one in self._readers[self._image])) or "nothing"
            raise self._unfit(there, f"{operation} after '{self._image[:60]}'")
        node = readers[0]
        self._check_attributes(node, attributes)
        self._image = node.output[0]
        return node

    def _check_attributes(self, node: Any, attributes: Mapping[str, Any]) -> None:
        from onnx.helper import get_attribute_value

        expected = {**_DEFAULTS, **attributes}
        given = {one.name: get_attribute_value(one) for one in node.attribute}
        if "kernel_shape" not in expected:
            given.pop("kernel_shape", None)  # the weights have that shape, which is checked
        for name, value in {**{key: _DEFAULTS.get(key) for key in attributes}, **given}.items():
            if value != expected.get(name):
                raise self._unfit(f"{node.op_type} with {name} {value!r}"[:80], repr(expected.get(name)))

    def _array(self, tensor: str, name: str) -> NDArray[np.float32]:
        from onnx import TensorProto, numpy_helper

        found = self._weights.get(tensor)
        if found is None or found.data_location == TensorProto.EXTERNAL:
            raise self._unfit(f"no values of {name} in the file", "all weights inside the file")
        if found.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
            raise self._unfit(f"{name} of type {found.data_type}", "32-bit numbers")
        try:
            return np.array(numpy_helper.to_array(found), dtype=np.float32)
        except (ValueError, TypeError) as error:
            raise self._unfit(f"broken values of {name}", "whole weights") from error

    def _unfit(self, got: str, expected: str) -> InputError:
        return InputError(f"{self._where}, graph", got, f"{expected}, as in the published network", _HINT)
