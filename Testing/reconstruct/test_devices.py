"""Devices in words, their memory, the self-test and what it promises about time."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest
import torch

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.threads import thread_count
from ChiSepReconstructLib.networks import devices
from ChiSepReconstructLib.networks.devices import Device, SelfTest
from ChiSepReconstructLib.networks.unet import UNet

_PROCESSOR = devices.available()[-1]


def test_the_processor_is_always_there_and_named_in_words() -> None:
    assert _PROCESSOR.kind == "cpu"
    assert _PROCESSOR.words.startswith(f"CPU, {thread_count()} thread")
    assert devices.choose("cpu") == _PROCESSOR
    assert devices.choose("auto") == devices.available()[0]
    assert devices.processor() == _PROCESSOR


def test_a_gpu_is_preferred_and_named_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        name, total_memory = "NVIDIA RTX 4090", 24 * 2**30

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: Properties)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda name: (5 * 2**30, 24 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (8, 9))
    card = devices.choose()
    assert card == devices.choose("cuda") == devices.choose("gpu")
    assert card == Device("cuda:0", "NVIDIA RTX 4090, 24 GB")
    assert devices.free_memory(card) == 5 * 2**30
    assert devices.has_bfloat16_units(card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (7, 5))
    assert not devices.has_bfloat16_units(card)


@pytest.mark.parametrize("name", ["cuda:7", "tpu", "gpu:x"])
def test_devices_that_are_not_there_are_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(InputError, match=r"CPU, .* thread"):
        devices.choose(name)


def test_free_memory_is_below_the_total_and_falls_when_used() -> None:
    before = devices.free_memory(_PROCESSOR)
    assert 2**26 < before < devices.total_memory()
    if sys.platform == "linux":
        block = np.ones(2**30, dtype=np.uint8)
        assert before - devices.free_memory(_PROCESSOR) > 2**28
        del block


@pytest.mark.skipif(sys.platform != "linux", reason="Reads the processor's flags of Linux.")
def test_bfloat16_is_for_matrix_units_alone() -> None:
    with open("/proc/cpuinfo") as file:  # noqa: PTH123
        flags = file.read()
    assert devices.has_bfloat16_units(_PROCESSOR) == ("amx_tile" in flags and "amx_bf16" in flags)
    assert not devices.has_bfloat16_units(Device("mps", "Apple GPU"))


@pytest.mark.parametrize(("precision", "most"), [("float32", 6e-6), ("bfloat16", 0.02)])
def test_the_processor_passes_its_self_test(precision: str, most: float) -> None:
    devices.self_test.cache_clear()
    start = perf_counter()
    test = devices.self_test(_PROCESSOR, precision)
    assert perf_counter() - start < 20
    assert test.passed
    assert 0 < test.error < most
    assert test.operations_per_s > 1e8


def test_the_self_test_leaves_the_random_state_alone() -> None:
    devices.self_test.cache_clear()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    devices.self_test(_PROCESSOR, "float32")
    assert torch.equal(torch.rand(2), expected)


def test_a_device_that_fails_or_lies_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = devices.self_test(Device("cuda:9", "no such card"), "float32")
    assert not absent.passed
    assert absent.reason
    from ChiSepReconstructLib.networks.lean import LeanUNet

    plain = LeanUNet.__call__
    monkeypatch.setattr(LeanUNet, "__call__", lambda *given: 1.01 * plain(*given))
    devices.self_test.cache_clear()
    wrong = devices.self_test(_PROCESSOR, "float32")
    devices.self_test.cache_clear()
    assert not wrong.passed
    assert "1 %" in wrong.reason


def test_times_are_those_of_the_measured_speed_and_read_well() -> None:
    test = SelfTest("float32", 0.0, 1e11)
    seconds = devices.estimated_seconds(3e12, test)
    assert 30 < seconds < 60
    assert devices.in_words(_PROCESSOR, 3e12, test) == f"{_PROCESSOR.words}, about {seconds:.0f} s"
    assert devices.in_words(_PROCESSOR, 3e12, test, 7.0) == f"{_PROCESSOR.words}, about {seconds + 7:.0f} s"
    assert devices.in_words(_PROCESSOR, 3e13, test).endswith("min")
    failed = replace(test, operations_per_s=0.0)
    assert devices.estimated_seconds(1e12, failed) == float("inf")
    assert devices.in_words(_PROCESSOR, 1e12, failed) == _PROCESSOR.words


def test_operations_are_those_of_the_convolutions() -> None:
    """Counted on the network itself: a kernel multiplies and adds for each output voxel, of stride 2 for each input."""
    counted = 0

    def count(module: torch.nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal counted
        transposed = isinstance(module, torch.nn.ConvTranspose3d)
        counted += 2 * next(module.parameters()).numel() * (given[0] if transposed else output)[0, 0].numel()

    with torch.device("meta"):
        network = UNet(1, 1, 32).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv3d | torch.nn.ConvTranspose3d):
                module.register_forward_hook(count)
        network(torch.zeros(1, 1, 32, 48, 64))
    assert devices.operations(32, 32 * 48 * 64) == pytest.approx(1.13 * counted, rel=0.03)  # and zeros


def test_narrow_networks_take_longer_than_their_operations() -> None:
    wide, narrow, double = (devices.operations(width, 1e6) for width in (32, 8, 64))
    assert narrow / wide == pytest.approx(0.275, abs=0.01)  # measured, 0.25 to 0.3; 1/16 of the operations
    assert double / wide == pytest.approx(3.4, abs=0.1)
    assert devices.operations(8, 3e6) == pytest.approx(3 * narrow)


def test_the_start_takes_as_long_as_its_fourier_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    one = devices.start_seconds(1e6, "cpu")
    assert 0.05 < one < 60  # 1.3 s on one idle core
    assert devices.start_seconds(3e6, "cpu") == pytest.approx(3 * one)  # measured once
    monkeypatch.setattr(devices, "_fourier_pair_seconds", lambda device: 1e-8)
    assert devices.start_seconds(4.2e6, "cpu") == pytest.approx(5.0, rel=0.1)


def test_every_device_is_described_with_its_time_or_its_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available", lambda: (Device("cuda:9", "no such card"), _PROCESSOR))
    absent, processor = devices.describe()
    assert (absent["words"], absent["seconds"]) == ("no such card", None)
    assert absent["problem"].startswith("fails its self-test")
    assert processor["problem"] is None
    assert processor["words"].startswith(f"{_PROCESSOR.words}, about ")
    test = devices.self_test(_PROCESSOR, "float32")
    assert processor["seconds"] == pytest.approx(2.14e12 / (0.75 * test.operations_per_s), rel=0.01)


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="The total is asked of Windows itself there.")
def test_other_systems_fall_back_without_what_they_cannot_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*given: object, **more: object) -> None:
        raise FileNotFoundError("vm_stat")

    monkeypatch.setattr(subprocess, "run", absent)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert devices.free_memory(_PROCESSOR) == devices.total_memory() // 2
