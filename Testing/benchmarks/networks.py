"""Three networks of a 1 mm brain: the published procedure against the engine, each in a process of its own.

    python Testing/benchmarks/networks.py                                          base width 32: minutes, 10 GB
    python Testing/benchmarks/networks.py --weights simulated-1                    installed weights, shipped ones here
    python Testing/benchmarks/networks.py --size 128 112 96 --base-width 16        smaller
    python Testing/benchmarks/networks.py --device cuda                            a GPU; 'auto' takes one that is there

The published procedure: the whole field of view, float32, contiguous layout, one network after the other. Both get the
same weights, random ones if no set is named, and the same brain-like images; only inference is timed. The engine runs
in float32, and in bfloat16 too where the device has units for it; how far each is from the published result is told for
each network. Peak memory is the whole process's, libraries included, and the GPU's as its allocator counts it.

On a GPU everything runs three times: the first pass also starts the libraries, the fastest of the others counts. The
peak is that of 3×3×3 convolutions alone, in the precision of the row.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from ChiSepReconstructLib.networks.devices import Device
    from ChiSepReconstructLib.networks.unet import UNet

Result = NDArray[np.float32]

#: Share of each axis of the field of view that the brain takes, as in a head of 256 × 224 × 176 mm.
_BRAIN = (151 / 256, 187 / 224, 147 / 176)
_NETWORKS = {"qsmnet": (1, 1), "r2primenet": (1, 1), "chisepnet": (3, 2)}
_PARTS = ("published", "float32", "bfloat16")
#: Channels and side of the volumes whose convolutions show a GPU's peak, and calls between two synchronisations.
_GPU_PROBES, _CALLS = ((32, 128), (64, 96), (128, 64), (256, 48)), 10
_GPU_PASSES = 3


def main() -> None:
    """Read the command line and compare, or measure one procedure when called by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=[256, 224, 176], help="field of view in voxels")
    parser.add_argument("--base-width", type=int, default=32, help="of random weights")
    parser.add_argument("--weights", default="", help="installed set instead of random weights")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", choices=_PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    (_measure if arguments.part else _compare)(arguments)


def networks_of(weights: str, base_width: int) -> Iterator[tuple[str, UNet]]:
    """The three networks, the same in every process."""
    from ChiSepReconstructLib.networks.weights.store import find
    from ChiSepReconstructLib.networks.weights.weight_set import ROLES
    from random_networks import consistent_network

    if weights:
        yield from ((role, find(weights).network(role)) for role in ROLES)
        return
    for name, (channels_in, channels_out) in _NETWORKS.items():
        yield name, consistent_network(channels_in, channels_out, base_width, seed=2)


def images_for(network: UNet, size: list[int]) -> Result:
    """Textures in a brain for each of the network's channels."""
    from random_networks import brain_images

    i, j, k = (int(n * share) for n, share in zip(size, _BRAIN, strict=True))
    one = brain_images(1, (size[0], size[1], size[2]), (i, j, k), seed=1)
    channels = network.conv11.conv.in_channels
    return np.concatenate([np.roll(one, number, axis=1) for number in range(channels)]) * (one != 0)


def _measure(arguments: argparse.Namespace) -> None:
    """One procedure in this process; prints JSON and keeps the results."""
    import torch

    from ChiSepPreprocessLib.threads import thread_count
    from ChiSepReconstructLib.networks.engine import Engine, EngineOptions

    torch.set_num_threads(thread_count())
    precision: Any = "float32" if arguments.part == "published" else arguments.part
    engine = Engine(EngineOptions(device=arguments.device, precision=precision))
    run = _published(engine.device.name) if arguments.part == "published" else _by_engine(engine)
    cases = [
        (step, network, images_for(network, arguments.size))
        for step, network in networks_of(arguments.weights, arguments.base_width)
    ]
    passes: list[tuple[float, float]] = []
    for _ in range(1 if engine.device.kind == "cpu" else _GPU_PASSES):
        results, seconds, busy = {}, 0.0, 0.0
        for step, network, images in cases:
            start, start_busy = perf_counter(), process_time()
            made = run(network, images, step)
            seconds, busy = seconds + perf_counter() - start, busy + process_time() - start_busy
            results[step] = made[:, images[0] != 0]
        passes.append((seconds, busy))
    np.savez(arguments.results, **results)  # type: ignore[arg-type]
    best = min(passes[1:] or passes)
    measured = {"seconds": best[0], "processor_seconds": best[1], "first_s": passes[0][0], **_peaks(engine.device)}
    sys.stdout.write(json.dumps({**measured, "record": engine.record()}) + "\n")


def _published(device: str) -> Callable[[UNet, Result, str], Result]:
    import torch

    def run(network: UNet, images: Result, step: str) -> Result:
        # Without TF32, or its rounding would pass for the engine's. Copying the result back waits for it.
        with torch.no_grad(), _exact():
            return np.asarray(network.to(device)(torch.from_numpy(images)[None].to(device))[0].cpu().numpy())

    return run


def _by_engine(engine: Any) -> Callable[[UNet, Result, str], Result]:
    from ChiSepPreprocessLib.progress import Reporter

    return lambda network, images, step: np.asarray(engine.run(network, images, Reporter(), step))


@contextmanager
def _exact() -> Iterator[None]:
    import torch

    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def _peaks(device: Device) -> dict[str, float]:
    """Most memory of this process, and of the GPU: what tensors took, and what the allocator held for them."""
    import torch

    unit = 1 if sys.platform == "darwin" else 1024
    peaks = {"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}
    if device.kind == "cuda":
        peaks["gpu_gib"] = torch.cuda.max_memory_allocated(device.name) / 2**30
        peaks["gpu_held_gib"] = torch.cuda.max_memory_reserved(device.name) / 2**30
    elif device.kind == "mps":  # keeps no maximum, but what its allocator holds does not fall by itself
        peaks["gpu_held_gib"] = torch.mps.driver_allocated_memory() / 2**30
    return peaks


def convolution_peak(device: Device, precision: str) -> float:
    """Operations per second of 3×3×3 convolutions: the self-test's on a processor, of large volumes on a GPU."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    from ChiSepReconstructLib.networks.devices import self_test

    test = self_test(device, precision)
    if device.kind == "cpu" or not test.passed:
        return test.operations_per_s
    layout: Any = torch.channels_last_3d
    best = test.operations_per_s
    for channels, n in _GPU_PROBES:
        dtype = getattr(torch, precision)
        images = torch.ones((1, channels, n, n, n), device=device.name, dtype=dtype).contiguous(memory_format=layout)
        weight = torch.ones((channels, channels, 3, 3, 3), device=device.name, dtype=dtype)
        weight = weight.contiguous(memory_format=layout)
        with torch.inference_mode(), _exact():
            for _ in range(3):
                start = perf_counter()
                for _ in range(_CALLS):
                    result = F.conv3d(images, weight, padding=1)
                result[0, 0, 0, 0, 0].item()  # waits for all of them
                best = max(best, _CALLS * 2 * weight.numel() * n**3 / (perf_counter() - start))
    return best


def _operations(size: list[int], networks: list[UNet]) -> tuple[float, float]:
    """Operations of the networks on the whole field of view, and of those that the engine does for it."""
    import torch

    from ChiSepReconstructLib.networks.lean import LeanUNet

    brain = images_for(networks[0], size)[0] != 0
    padded = np.pad(brain, [(0, -n % 16) for n in brain.shape])
    everywhere = np.ones(padded.shape, dtype=bool)
    leans = [LeanUNet(one, torch.device("cpu"), torch.float32) for one in networks]
    whole = sum(one.plan(everywhere, everywhere).operations for one in leans)
    return float(whole), float(sum(one.plan(padded, padded).operations for one in leans))


def _run(arguments: argparse.Namespace, part: str, results: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--results", str(results), "--device", arguments.device]
    command += ["--base-width", str(arguments.base_width), "--weights", arguments.weights, "--size"]
    done = subprocess.run([*command, *map(str, arguments.size)], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _compare(arguments: argparse.Namespace) -> None:
    from ChiSepReconstructLib.networks.devices import choose, has_bfloat16_units

    device = choose(arguments.device)
    both = arguments.precision == "auto" and has_bfloat16_units(device)
    precisions = (
        ["float32", "bfloat16"] if both else ["float32" if arguments.precision == "auto" else arguments.precision]
    )
    networks = [one for _, one in networks_of(arguments.weights, arguments.base_width)]
    whole, needed = _operations(arguments.size, networks)
    peaks = {one: convolution_peak(device, one) for one in dict.fromkeys(["float32", *precisions])}
    told = ", ".join(f"{value / 1e9:.0f} GFLOP/s in {name}" for name, value in peaks.items())
    _say(f"{device.words}; convolution peak {told}; field of view {arguments.size}, base width "
         f"{networks[0].conv11.conv.out_channels}, {arguments.weights or 'random weights'}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        rows, results = {}, {}
        for part in ("published", *precisions):
            rows[part] = _run(arguments, part, Path(folder) / f"{part}.npz")
            results[part] = dict(np.load(Path(folder) / f"{part}.npz"))
            _tell(part, rows[part], whole if part == "published" else needed, peaks)
    for part in precisions:
        _tell_ratio(part, rows, results)
    _say(json.dumps({part: row["record"] for part, row in rows.items() if part != "published"}))


def _tell(part: str, row: dict[str, Any], operations: float, peaks: dict[str, float]) -> None:
    """Time, memory and share of the peak of one procedure."""
    precision = "float32" if part == "published" else part
    speed = operations / row["seconds"]
    _say(f"{part:10} {row['seconds']:.2f} s ({row['processor_seconds']:.1f} s of processor time; "
         f"first {row['first_s']:.2f} s), {row['peak_gib']:.2f} GiB, "
         f"{operations / 1e12:.2f} TFLOP, {speed / 1e9:.0f} GFLOP/s = "
         f"{100 * speed / peaks[precision]:.0f} % of the peak in {precision}"
         + "".join(f", {key} {row[key]:.2f}" for key in ("gpu_gib", "gpu_held_gib") if key in row))  # fmt: skip


def _tell_ratio(part: str, rows: dict[str, Any], results: dict[str, dict[str, Result]]) -> None:
    """The engine against the published procedure; error of each network's output over its norm."""
    one, two = rows["published"], rows[part]
    first, second = results["published"], results[part]
    errors = {step: np.linalg.norm(second[step] - first[step]) / np.linalg.norm(first[step]) for step in first}
    _say(f"engine in {part} is {one['seconds'] / two['seconds']:.1f} × as fast "
         f"({one['processor_seconds'] / two['processor_seconds']:.1f} × in processor time), with "
         f"{two['peak_gib'] / one['peak_gib']:.2f} of the memory; results differ by "
         + ", ".join(f"{100 * error:.2g} % ({step})" for step, error in errors.items()))  # fmt: skip


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
