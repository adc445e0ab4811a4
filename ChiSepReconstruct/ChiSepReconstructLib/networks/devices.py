"""Where networks run: the device in words, its memory, whether it computes rightly, and how fast."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from math import inf, isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.threads import thread_count

GIB = 2**30
PRECISIONS = ("float32", "bfloat16")
#: Largest error of the self-test's network against float32 on the processor: rounding, not a defect.
_TOLERATED = {"float32": 1e-4, "bfloat16": 0.03}
#: Share of the probe's speed that whole networks reach, with their poolings, copies and thin layers.
_REACHED = 0.75
#: Name of the step that tells the device and the time, before networks run.
TIME_STEP = "networks"
#: Of a network of base width 32, for each voxel of the brain's box: its convolutions take 4.5e5, and the zeros around
#: a brain at 1 mm cost another 13 %.
_OPERATIONS_PER_VOXEL = 5.1e5
#: A network of base width ``w`` takes as long as ``w² + 300`` says: what thin layers spend on memory hardly shrinks.
_WIDTH_WITHOUT_GAIN = 300
#: Pairs of Fourier transforms of the brain's box that total variation takes as long as.
_START_PAIRS = 120.0
_FOURIER_SIDE = 160
#: Of an adult's brain at 1 mm, about 150 × 190 × 150 mm.
_BRAIN_BOX_VOXELS = 4.2e6


@dataclass(frozen=True)
class Device:
    """A processor that networks can run on.

    Parameters
    ----------
    name : str
        PyTorch's: ``cpu``, ``cuda:0``, ``mps``.
    words : str
        For people, such as "NVIDIA RTX 4090, 24 GB" or "CPU, 8 threads".
    """

    name: str
    words: str

    @property
    def kind(self) -> str:
        """``cpu``, ``cuda`` or ``mps``."""
        return self.name.partition(":")[0]


@dataclass(frozen=True)
class SelfTest:
    """What a tiny network gave on a device in one precision.

    Parameters
    ----------
    error : float
        Norm of the difference from float32 on the processor over that of the result; infinite if it failed.
    operations_per_s : float
        Multiplications and additions of a 3×3×3 convolution, with 32 channels.
    reason : str
        Why it failed, if it did.
    """

    precision: str
    error: float
    operations_per_s: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the device may be used in this precision."""
        return self.error <= _TOLERATED[self.precision]


def available() -> tuple[Device, ...]:
    """All devices, the fastest kind first."""
    import torch

    found = []
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            found.append(Device(f"cuda:{number}", f"{properties.name}, {properties.total_memory / GIB:.0f} GB"))
    if torch.backends.mps.is_available():
        found.append(Device("mps", f"Apple GPU, {total_memory() / GIB:.0f} GB shared"))
    return (*found, processor())


def processor() -> Device:
    """The CPU, whatever state a GPU is in."""
    threads = thread_count()
    return Device("cpu", f"CPU, {threads} thread{'s' if threads > 1 else ''}")


def choose(name: str = "auto") -> Device:
    """Device by PyTorch's name; ``auto`` takes the first of :func:`available`.

    Raises
    ------
    InputError
        If this machine has no such device.
    """
    devices = available()
    names = [one.name for one in devices]
    wanted = {"auto": names[0], "cuda": "cuda:0", "gpu": names[0] if len(names) > 1 else "gpu"}.get(name, name)
    if wanted not in names:
        offered = ", ".join(f"{one.name} ({one.words})" for one in devices)
        raise InputError("device", name, f"one of {offered}", "Use 'auto' to let the program choose.")
    return devices[names.index(wanted)]


def free_memory(device: Device) -> int:
    """Bytes that can be allocated now."""
    if device.kind == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device.name)[0])
    return _free_main_memory()


def total_memory() -> int:
    """Bytes of main memory."""
    if sys.platform == "win32":
        return _windows_memory()[0]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_main_memory() -> int:
    if sys.platform == "win32":
        return _windows_memory()[1]
    if sys.platform == "darwin":
        return _macos_free_memory()
    available = _meminfo()
    return min(available, _group_limit()) if available else total_memory() // 2


def _meminfo() -> int:
    """Bytes of Linux that programs can get without swapping; 0 if it does not say."""
    path = Path("/proc/meminfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def _group_limit() -> int:
    """What a container may still take (control groups, version 2)."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return sys.maxsize
    return max(int(limit) - int(used), 0) if limit.isdigit() else sys.maxsize


def _macos_free_memory() -> int:
    """Free, inactive and purgeable pages; half of the memory if the system does not say."""
    try:
        lines = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=5, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return total_memory() // 2
    kinds = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")
    pages = sum(int(line.rpartition(" ")[2].rstrip(".")) for line in lines if line.startswith(kinds))
    return pages * os.sysconf("SC_PAGE_SIZE")


def _windows_memory() -> tuple[int, int]:
    """Total and available bytes, from ``GlobalMemoryStatusEx``."""

    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong)] + [
            (name, ctypes.c_ulonglong)
            for name in ("total", "available", "page_total", "page_left", "virtual_total", "virtual_left", "extended")
        ]  # fmt: skip

    status = Status()
    status.length = ctypes.sizeof(Status)
    library: Any = ctypes
    library.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.total), int(status.available)


def has_bfloat16_units(device: Device) -> bool:
    """Whether the device multiplies matrices in bfloat16 by hardware made for it.

    A GPU of compute capability 8 or above, or a processor with AMX tiles. The vector instructions of avx512_bf16 alone
    are slower than float32. On Apple GPUs bfloat16 brought nothing certain.
    """
    import torch

    if device.kind == "cuda":
        return torch.cuda.get_device_capability(device.name)[0] >= 8
    if device.kind == "cpu" and platform.machine().lower() in ("x86_64", "amd64"):
        supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
        return bool(supported is not None and supported())
    return False


@cache
def self_test(device: Device, precision: str) -> SelfTest:
    """Run a tiny network on a device in one precision, compare, and measure the speed of one convolution.

    Takes well under a second on a processor; its result is kept.
    """
    import torch

    from .lean import LeanUNet
    from .unet import UNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, images = UNet(1, 1, 4), torch.randn(1, 1, 32, 32, 32)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.momentum = 1.0  # the statistics of these very images, or the output would hardly vary
        with torch.no_grad():
            network.train()(images)
        network.eval()
    dtype = getattr(torch, precision)
    try:
        with torch.inference_mode():
            expected = network(images)
            result = LeanUNet(network, torch.device(device.name), dtype)(images).cpu()
            error = float((result - expected).norm() / expected.norm())
            speed = _convolution_speed(torch.device(device.name), dtype)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as failure:
        return SelfTest(precision, inf, 0.0, str(failure).partition("\n")[0])
    error = error if isfinite(error) else inf
    reason = "" if error <= _TOLERATED[precision] else f"its result differs by {100 * error:.2g} % from the processor's"
    return SelfTest(precision, error, speed, reason)


def _convolution_speed(device: Any, dtype: Any) -> float:
    """Operations per second of 32 channels' 3×3×3 convolution, of a 32³ volume, or several of a 96³ one on a GPU."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    n, calls = (32, 1) if device.type == "cpu" else (96, 8)  # a GPU is not to wait for its next order
    layout: Any = torch.channels_last_3d
    images = torch.ones((1, 32, n, n, n), device=device, dtype=dtype).contiguous(memory_format=layout)
    weight = torch.ones((32, 32, 3, 3, 3), device=device, dtype=dtype).contiguous(memory_format=layout)
    best = inf
    for _ in range(4):
        start = perf_counter()
        for _ in range(calls):
            result = F.conv3d(images, weight, padding=1)
        result[0, 0, 0, 0, 0].item()  # waits for all of them
        best = min(best, perf_counter() - start)
    return 2 * calls * weight.numel() * n**3 / best


def operations(base_width: int, voxels: float) -> float:
    """Multiplications and additions that take as long as a network on a brain whose box has so many voxels.

    Those of its convolutions for the published base width of 32, about ``2e12`` for a brain at 1 mm; more than its own
    for narrower ones, which do not get as much out of a device.
    """
    share = (base_width**2 + _WIDTH_WITHOUT_GAIN) / (32**2 + _WIDTH_WITHOUT_GAIN)
    return _OPERATIONS_PER_VOXEL * share * voxels


@cache
def _fourier_pair_seconds(device: str) -> float:
    """Time of a Fourier transform there and back, for each voxel of a volume that no cache holds."""
    import torch

    n, best = _FOURIER_SIDE, inf
    volume = torch.ones((n, n, n), device=device)
    for _ in range(3):
        start = perf_counter()
        torch.fft.irfftn(torch.fft.rfftn(volume), s=volume.shape)[0, 0, 0].item()
        best = min(best, perf_counter() - start)
    return best / n**3


def start_seconds(voxels: float, device: str) -> float:
    """Time of total variation, from which a QSMnet may start, on a brain whose box has so many voxels.

    ``device`` is PyTorch's name of where that runs, which is not the networks' choice.
    """
    return _START_PAIRS * voxels * _fourier_pair_seconds(device)


def estimated_seconds(work: float, test: SelfTest) -> float:
    """Time for operations of networks on the device of a self-test, from its measured speed; infinite if it failed."""
    return work / (_REACHED * test.operations_per_s) if test.operations_per_s else inf


def in_words(device: Device, work: float, test: SelfTest, more_s: float = 0.0) -> str:
    """Device with the expected time, such as "CPU, 8 threads, about 40 s"; without it where the self-test failed.

    ``more_s`` is the time of what are not networks, such as :func:`start_seconds`.
    """
    seconds = estimated_seconds(work, test) + more_s
    if seconds == inf:
        return device.words
    if seconds < 100:
        return f"{device.words}, about {max(seconds, 1):.0f} s"
    return f"{device.words}, about {seconds / 60:.0f} min"


def describe() -> list[dict[str, Any]]:
    """Every device, tested, as JSON-ready text: the one that is taken first, and its time for a brain at 1 mm."""
    work = operations(32, _BRAIN_BOX_VOXELS)
    tests = [(one, self_test(one, "float32")) for one in available()]
    return [
        {
            "name": one.name,
            "words": in_words(one, work, test) if test.passed else one.words,
            "seconds": round(estimated_seconds(work, test), 1) if test.passed else None,
            "problem": None if test.passed else f"fails its self-test ({test.reason})",
        }
        for one, test in tests
    ]
