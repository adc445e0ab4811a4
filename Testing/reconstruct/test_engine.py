"""The engine against the plain network, and what it does when memory or a device fails."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepReconstructLib.networks import devices, engine
from ChiSepReconstructLib.networks.devices import Device
from ChiSepReconstructLib.networks.engine import Engine, EngineOptions
from ChiSepReconstructLib.networks.lean import LeanUNet
from ChiSepReconstructLib.networks.tiles import Shape, padded_shape
from ChiSepReconstructLib.networks.unet import UNet
from random_networks import brain_images, consistent_network

_Array = NDArray[np.float32]
_SILENT = Reporter()


def _published(network: UNet, images: _Array) -> _Array:
    """The network from its weights in the published order of layers, in float64, zeros added up to multiples of 16."""
    weights = {name: value.double() for name, value in network.state_dict().items()}

    def block(name: str, x: Tensor) -> Tensor:
        x = F.conv3d(x, weights[f"{name}.conv.weight"], weights[f"{name}.conv.bias"], padding=1)
        mean, variance, scale, shift = (
            weights[f"{name}.bn.{one}"] for one in ("running_mean", "running_var", "weight", "bias")
        )
        return F.relu(F.batch_norm(x, mean, variance, scale, shift, eps=1e-5))

    i, j, k = (after - before for before, after in zip(images.shape[1:], padded_shape(images.shape[1:]), strict=True))
    x, skipped = torch.from_numpy(np.pad(images, [(0, 0), (0, i), (0, j), (0, k)])[None]).double(), []
    for level in "1234":
        skipped.append(block(f"conv{level}2", block(f"conv{level}1", x)))
        x = F.max_pool3d(skipped[-1], 2)
    x = block("l_conv2", block("l_conv1", x))
    for level, name in zip("4321", "5678", strict=True):
        x = F.conv_transpose3d(x, weights[f"deconv{level}.deconv.weight"], weights[f"deconv{level}.deconv.bias"], 2)
        x = block(f"conv{name}2", block(f"conv{name}1", torch.cat([x, skipped.pop()], dim=1)))
    x = F.conv3d(x, weights["out.conv.weight"], weights["out.conv.bias"])[0]
    inside = tuple(slice(0, n) for n in images.shape[1:])
    return np.asarray(x[(slice(None), *inside)].float().numpy())


def _difference(result: _Array, expected: _Array, where: NDArray[np.bool_]) -> float:
    """Norm of the difference over that of the expected variation."""
    expected = expected[:, where]
    spread = expected - expected.mean(axis=1, keepdims=True)
    return float(np.linalg.norm(result[:, where] - expected) / np.linalg.norm(spread))


def _brain_case(shape: Shape = (70, 61, 52), channels: tuple[int, int] = (1, 1), seed: int = 3) -> tuple[UNet, _Array]:
    i, j, k = (n * 5 // 8 for n in shape)
    network = consistent_network(*channels, 4, seed, calibration=(48, 48, 48))
    return network, brain_images(channels[0], shape, (i, j, k), seed)


@pytest.mark.parametrize("shape", [(48, 32, 64), (37, 50, 29)])
@pytest.mark.parametrize("channels", [(1, 1), (3, 2)])
def test_whole_volumes_are_those_of_the_published_network(shape: Shape, channels: tuple[int, int]) -> None:
    network = consistent_network(*channels, 4, seed=1, calibration=(48, 48, 48))
    images = np.random.default_rng(2).standard_normal((channels[0], *shape)).astype(np.float32)
    whole = Engine(EngineOptions(device="cpu", precision="float32", tile="whole"))
    result = whole.run(network, images, _SILENT, "qsmnet")
    everywhere = np.ones(shape, dtype=bool)
    assert result.shape == (channels[1], *shape)
    assert result.dtype == np.float32
    assert _difference(result, _published(network, images), everywhere) < 6e-6
    assert whole.warnings == ()


@pytest.mark.parametrize("margin", [None, 0])
def test_a_brain_in_a_field_of_view_is_exact_where_nothing_is_cropped(margin: int | None) -> None:
    network, images = _brain_case()
    brain = images[0] != 0
    one = Engine(EngineOptions(device="cpu", precision="float32", tile="whole", margin_voxels=margin))
    difference = _difference(one.run(network, images, _SILENT, "qsmnet"), _published(network, images), brain)
    if margin is None:
        assert difference < 6e-6
    else:  # the network sees that the field of view ends near the brain
        assert 1e-3 < difference < 0.05


def test_thin_slabs_and_skipped_zeros_change_nothing() -> None:
    network, images = _brain_case((64, 80, 48), (3, 2))
    brain = images[0] != 0
    thin, thick = (LeanUNet(network, torch.device("cpu"), torch.float32, size) for size in (1, 2**30))
    batch = torch.from_numpy(np.stack([images, images[:, ::-1].copy()]))
    both = [one(batch, brain | brain[::-1]).numpy() for one in (thin, thick)]
    expected = _published(network, images)
    assert _difference(both[0][0], expected, brain) < 6e-6
    assert _difference(both[1][0], expected, brain) < 6e-6
    assert _difference(both[0][1], _published(network, images[:, ::-1].copy()), brain[::-1]) < 6e-6
    everything = np.ones(brain.shape, dtype=bool)
    assert thick.plan(brain, brain).operations < 0.75 * thick.plan(everything, everything).operations
    with torch.no_grad():
        np.testing.assert_allclose(network(torch.from_numpy(images)[None])[0], expected, rtol=1e-4, atol=1e-4)


def test_the_error_of_tiles_falls_with_their_halo() -> None:
    network = consistent_network(1, 1, 4, seed=5, calibration=(96, 48, 48))
    images = brain_images(1, (192, 48, 48), (184, 44, 44), seed=6)
    brain = images[0] != 0
    settings: dict[str, Any] = {"device": "cpu", "precision": "float32"}
    whole = Engine(EngineOptions(**settings, tile="whole")).run(network, images, _SILENT, "qsmnet")
    errors = []
    for halo in (0, 16, EngineOptions().halo_voxels):
        tiled = Engine(EngineOptions(**settings, tile=(2 * halo + 16, 48, 48), halo_voxels=halo))
        difference = (tiled.run(network, images, _SILENT, "qsmnet") - whole)[:, brain]
        errors.append(float(np.linalg.norm(difference) / np.linalg.norm(whole[:, brain])))
        assert tiled.record()["runs"]["qsmnet"]["tiles"] > 1
    assert errors[0] > 4 * errors[1] > 4 * 4 * errors[2]
    assert errors[2] < 0.005


def test_bfloat16_errs_as_its_rounding_does_and_auto_refuses_what_errs_more() -> None:
    network, images = _brain_case()
    brain = images[0] != 0
    exact = Engine(EngineOptions(device="cpu", precision="float32")).run(network, images, _SILENT, "qsmnet")
    coarse = Engine(EngineOptions(device="cpu", precision="bfloat16"))
    error = _difference(coarse.run(network, images, _SILENT, "qsmnet"), exact, brain)
    assert 0.002 < error < 0.02
    assert coarse.record()["runs"]["qsmnet"]["precision"] == "bfloat16"
    assert coarse.record()["runs"]["qsmnet"]["precision_error"] == pytest.approx(error, rel=0.6)


def test_error_of_bfloat16_is_held_against_what_the_output_is_added_to() -> None:
    network, images = _brain_case()
    runs = []
    for added in ((), (0,)):
        coarse = Engine(EngineOptions(device="cpu", precision="bfloat16"))
        coarse.run(network, 50 * images, _SILENT, "qsmnet", added=added)
        runs.append(coarse.record()["runs"]["qsmnet"]["precision_error"])
    output = Engine(EngineOptions(device="cpu", precision="float32")).run(network, 50 * images, _SILENT, "qsmnet")
    smaller = np.linalg.norm(output) / np.linalg.norm(output + 50 * images[:1])
    assert smaller < 0.8
    assert runs[1] == pytest.approx(runs[0] * smaller, rel=0.1)  # both on the middle of the brain alone


@pytest.mark.parametrize(("tolerance", "precision"), [(1e-4, "float32"), (0.1, "bfloat16")])
def test_auto_takes_bfloat16_only_within_its_tolerance(
    monkeypatch: pytest.MonkeyPatch, tolerance: float, precision: str
) -> None:
    monkeypatch.setattr(engine, "has_bfloat16_units", lambda device: True)
    network, images = _brain_case()
    automatic = Engine(EngineOptions(device="cpu", precision_tolerance=tolerance))
    automatic.run(network, images, _SILENT, "qsmnet")
    run = automatic.record()["runs"]["qsmnet"]
    assert run["precision"] == precision
    assert 0.001 < run["precision_error"] < 0.03
    assert bool(automatic.warnings) == (precision == "float32")


def test_the_same_images_give_the_same_result_and_leave_no_setting_behind() -> None:
    network, images = _brain_case()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runs = [Engine(EngineOptions(device="cpu")).run(network, images, _SILENT, "qsmnet") for _ in range(2)]
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not runs[0][0, :2].any()


def test_a_small_budget_makes_tiles_and_the_record_says_so() -> None:
    network, images = _brain_case((112, 64, 64))
    small = Engine(EngineOptions(device="cpu", precision="float32", memory_gib=0.012, halo_voxels=8))
    result = small.run(network, images, _SILENT, "r2primenet")
    run = small.record()["runs"]["r2primenet"]
    assert run["tiles"] > 1
    assert all(side % 16 == 0 for side in run["tile"])
    roomy = Engine(EngineOptions(device="cpu", precision="float32", memory_gib=2))
    whole = roomy.run(network, images, _SILENT, "r2primenet")
    assert roomy.record()["runs"]["r2primenet"]["tiles"] == 1
    assert 0 < _difference(result, whole, images[0] != 0) < 0.2
    assert json.loads(json.dumps(small.record()))["device"].startswith("CPU, ")
    with pytest.raises(InputError, match="at least"):
        Engine(EngineOptions(device="cpu", memory_gib=1e-4)).run(network, images, _SILENT, "r2primenet")


@pytest.mark.parametrize(
    "failure",
    [torch.cuda.OutOfMemoryError("CUDA out of memory."), MemoryError(),
     RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
     RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")],
)  # fmt: skip
def test_out_of_memory_falls_back_to_smaller_tiles(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    network, images = _brain_case((112, 96, 80))
    plain = LeanUNet.__call__
    sizes: list[int] = []

    def limited(self: LeanUNet, batch: Tensor, *more: Any) -> Tensor:
        sizes.append(batch[0, 0].numel())
        if sizes[-1] > 200_000:
            raise failure
        return plain(self, batch, *more)

    monkeypatch.setattr(LeanUNet, "__call__", limited)
    one = Engine(EngineOptions(device="cpu", precision="float32", halo_voxels=8, margin_voxels=16, memory_gib=0.4))
    result = one.run(network, images, _SILENT, "qsmnet")
    assert max(sizes) > 200_000 >= sizes[-1]
    assert any("Out of memory" in warning for warning in one.warnings)
    assert one.record()["fallbacks"] == list(one.warnings)
    assert one.record()["runs"]["qsmnet"]["tiles"] > 1
    assert np.abs(result).max() > 0


def test_memory_that_never_suffices_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: LeanUNet, *given: Any) -> Tensor:
        if given[0][0, 0].numel() == 32**3:  # the self-test
            return plain(self, *given)
        raise MemoryError

    plain = LeanUNet.__call__
    monkeypatch.setattr(LeanUNet, "__call__", full)
    network, images = _brain_case()
    with pytest.raises(InputError, match="Close other programs"):
        Engine(EngineOptions(device="cpu", precision="float32")).run(network, images, _SILENT, "qsmnet")


def test_a_gpu_that_is_lost_hands_over_to_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = _brain_case()
    expected = Engine(EngineOptions(device="cpu", precision="float32")).run(network, images, _SILENT, "qsmnet")
    card = Device("cuda:0", "NVIDIA RTX 4090, 24 GB")
    monkeypatch.setattr(engine, "choose", lambda name: card)
    monkeypatch.setattr(engine, "has_bfloat16_units", lambda device: False)
    monkeypatch.setattr(engine, "free_memory", lambda device: 2**32)
    plain, calls = LeanUNet.__init__, []

    def elsewhere(self: LeanUNet, one: UNet, device: torch.device, *more: Any) -> None:
        calls.append(device.type)
        plain(self, one, torch.device("cpu"), *more)

    def lost(self: LeanUNet, batch: Tensor, *more: Any) -> Tensor:
        if calls[-1] == "cuda" and len(calls) > 1:
            raise RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA.")
        return run(self, batch, *more)

    run = LeanUNet.__call__
    monkeypatch.setattr(LeanUNet, "__init__", elsewhere)
    monkeypatch.setattr(LeanUNet, "__call__", lost)
    monkeypatch.setattr(devices, "_convolution_speed", lambda device, dtype: 1e12)
    devices.self_test.cache_clear()
    one = Engine(EngineOptions(device="cuda"))
    assert one.device == card
    np.testing.assert_array_equal(one.run(network, images, _SILENT, "qsmnet"), expected)
    devices.self_test.cache_clear()
    assert calls[:2] == ["cuda", "cuda"]
    assert one.record()["device"].startswith("CPU")
    assert "unspecified launch failure" in one.warnings[0]
    assert "NVIDIA RTX 4090, 24 GB failed" in one.warnings[0]


@pytest.mark.parametrize(
    ("failure", "said", "lost"),
    [(RuntimeError("CUDA error: an illegal memory access was encountered"), "illegal memory access", True),
     (torch.cuda.OutOfMemoryError("CUDA out of memory."), "Out of memory on NVIDIA", False)],
)  # fmt: skip
def test_what_is_no_network_goes_on_without_the_gpu(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, said: str, lost: bool
) -> None:
    monkeypatch.setattr(engine, "choose", lambda name: Device("cuda:1", "NVIDIA RTX 4090, 24 GB"))
    one, tried = Engine(EngineOptions(device="cuda:1")), list[str]()

    def work(device: str) -> str:
        tried.append(device)
        if device != "cpu":
            raise failure
        return device

    assert one.beside(work) == "cpu"
    assert tried == ["cuda:1", "cpu"]
    assert said in one.warnings[0]
    assert (one.device.kind == "cpu") == lost
    assert Engine(EngineOptions(device="cpu")).beside(work) == "cpu"
    with pytest.raises(CancelledError):
        Engine(EngineOptions(device="cuda:1")).beside(_cancelled)


def _cancelled(device: str) -> None:
    raise CancelledError


def test_a_fault_on_the_processor_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = _brain_case()

    def broken(*given: Any) -> Tensor:
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(engine, "self_test", lambda device, precision: devices.SelfTest(precision, 0.0, 1e9))
    monkeypatch.setattr(LeanUNet, "__call__", broken)
    with pytest.raises(RuntimeError, match="sizes do not match"):
        Engine(EngineOptions(device="cpu")).run(network, images, _SILENT, "qsmnet")


def test_progress_rises_between_layers_and_can_be_cancelled() -> None:
    network, images = _brain_case()
    heard: list[Status] = []
    Engine(EngineOptions(device="cpu")).run(network, images, Reporter(heard.append), "qsmnet")
    fractions = [status.fraction for status in heard]
    assert len(fractions) > 18
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert max(np.diff(fractions)) < 0.35
    assert {status.step for status in heard} == {"qsmnet"}


def test_a_run_can_be_cancelled_between_layers() -> None:
    network, images = _brain_case()
    heard: list[Status] = []

    def four(status: Status) -> bool:
        heard.append(status)
        return len(heard) < 4

    with pytest.raises(CancelledError):
        Engine(EngineOptions(device="cpu")).run(network, images, Reporter(four), "qsmnet")
    assert len(heard) == 4


def test_images_without_a_brain_give_zeros() -> None:
    network, images = _brain_case((20, 20, 20))
    assert not Engine(EngineOptions(device="cpu")).run(network, 0 * images, _SILENT, "qsmnet").any()


@pytest.mark.parametrize(
    "options",
    [{"precision": "float16"}, {"memory_gib": 0.0}, {"memory_gib": -1}, {"tile": "big"}, {"tile": (60, 64, 64)},
     {"tile": (64, 64)}, {"halo_voxels": 5}, {"halo_voxels": -8}, {"margin_voxels": -1}, {"precision_tolerance": 0}],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        EngineOptions(**options)


def test_images_that_cannot_be_are_refused() -> None:
    network, images = _brain_case((20, 20, 20))
    one = Engine(EngineOptions(device="cpu"))
    for wrong in (images[0], np.repeat(images, 3, axis=0), np.where(images == 0, np.nan, images), images[:, :0]):
        with pytest.raises(InputError, match="images"):
            one.run(network, wrong, _SILENT, "qsmnet")
    with pytest.raises(InputError, match="evaluation"):
        one.run(network.train(), images, _SILENT, "qsmnet")
    with pytest.raises(InputError, match="device"):
        Engine(EngineOptions(device="quantum"))
