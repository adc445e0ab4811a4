"""Three networks of a 1 mm brain: the published procedure against the engine, each in a process of its own.

    python Testing/benchmarks/networks.py                         whole head, base width 32: minutes, 10 GB
    python Testing/benchmarks/networks.py --size 128 112 96 --base-width 16        smaller
    python Testing/benchmarks/networks.py --device cuda --precision bfloat16       on a GPU

The published procedure: the whole field of view, float32, contiguous layout, one network after the other. Both get the
same random weights and images; only inference is timed, and peak memory is the whole process's, libraries included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from ChiSepReconstructLib.networks.unet import UNet

#: Share of each axis of the field of view that the brain takes, as in a head of 256 × 224 × 176 mm.
_BRAIN = (151 / 256, 187 / 224, 147 / 176)
_NETWORKS = {"qsmnet": (1, 1), "r2primenet": (1, 1), "chisepnet": (3, 2)}


def _case(size: list[int], width: int, step: str) -> tuple[UNet, NDArray[np.float32]]:
    """Network and images, the same in every process."""
    from random_networks import brain_images, consistent_network

    shape = (size[0], size[1], size[2])
    brain = (int(size[0] * _BRAIN[0]), int(size[1] * _BRAIN[1]), int(size[2] * _BRAIN[2]))
    one = brain_images(1, shape, brain, seed=1)
    channels_in, channels_out = _NETWORKS[step]
    images = np.concatenate([np.roll(one, number, axis=1) for number in range(channels_in)])
    images *= one != 0
    return consistent_network(channels_in, channels_out, width, seed=2), images


def _published(network: UNet, images: NDArray[np.float32], device: str) -> NDArray[np.float32]:
    import torch

    with torch.no_grad():
        return np.asarray(network.to(device)(torch.from_numpy(images)[None].to(device))[0].cpu().numpy())


def _measure(arguments: argparse.Namespace) -> None:
    """One procedure in this process; prints JSON and keeps the results."""
    import torch

    from ChiSepPreprocessLib.progress import Reporter
    from ChiSepPreprocessLib.threads import thread_count
    from ChiSepReconstructLib.networks.engine import Engine, EngineOptions

    torch.set_num_threads(thread_count())
    runner = Engine(EngineOptions(device=arguments.device, precision=arguments.precision))
    seconds, busy, results = 0.0, 0.0, {}
    for step in _NETWORKS:
        network, images = _case(arguments.size, arguments.base_width, step)
        start, start_busy = perf_counter(), process_time()
        if arguments.part == "published":
            results[step] = _published(network, images, runner.device.name)
        else:
            results[step] = runner.run(network, images, Reporter(), step)
        seconds, busy = seconds + perf_counter() - start, busy + process_time() - start_busy
        results[step] = results[step][:, images[0] != 0]
    np.savez(arguments.results, **results)  # type: ignore[arg-type]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    measured: dict[str, Any] = {"seconds": seconds, "processor_seconds": busy, "peak_gib": peak / 2**30}
    if runner.device.kind == "cuda":
        measured["peak_gpu_gib"] = torch.cuda.max_memory_allocated() / 2**30
    sys.stdout.write(json.dumps({**measured, "record": runner.record()}) + "\n")


def _peak(arguments: argparse.Namespace) -> dict[str, Any]:
    """Operations of the whole field of view and of the engine, and the convolution peak of the device."""
    from ChiSepReconstructLib.networks.devices import choose, self_test

    device = choose(arguments.device)
    tests = {one: self_test(device, one) for one in ("float32", "bfloat16")}
    return {"device": device.words, **{name: test.operations_per_s for name, test in tests.items()}}


def _operations(size: list[int], width: int) -> tuple[float, float]:
    """Operations of three networks on the whole field of view, and of those that the engine does for it."""
    import torch

    from ChiSepReconstructLib.networks.lean import LeanUNet
    from ChiSepReconstructLib.networks.unet import UNet

    _, images = _case(size, 2, "qsmnet")
    brain = images[0] != 0
    padded = np.pad(brain, [(0, -n % 16) for n in brain.shape])
    everywhere = np.ones(padded.shape, dtype=bool)
    lean = LeanUNet(UNet(1, 1, width).eval(), torch.device("cpu"), torch.float32)
    return 3.0 * lean.plan(everywhere, everywhere).operations, 3.0 * lean.plan(padded, padded).operations


def _run(arguments: argparse.Namespace, part: str, results: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--results", str(results), "--device", arguments.device]
    command += ["--precision", arguments.precision, "--base-width", str(arguments.base_width), "--size"]
    done = subprocess.run([*command, *map(str, arguments.size)], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _compare(arguments: argparse.Namespace) -> None:
    whole, needed = _operations(arguments.size, arguments.base_width)
    peak = _peak(arguments)
    say = sys.stdout.write
    say(f"{peak['device']}; convolution peak {peak['float32'] / 1e9:.0f} GFLOP/s in float32, ")
    say(
        f"{peak['bfloat16'] / 1e9:.0f} in bfloat16; field of view {arguments.size}, base width {arguments.base_width}\n"
    )
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for part, operations in (("published", whole), ("engine", needed)):
            rows[part] = row = _run(arguments, part, Path(folder) / f"{part}.npz")
            runs = row["record"]["runs"]
            precision = runs["qsmnet"]["precision"] if runs else "float32"
            speed = operations / row["seconds"]
            say(f"{part:10} {row['seconds']:7.1f} s ({row['processor_seconds']:.1f} s of processor time), ")
            say(f"{row['peak_gib']:.2f} GiB, {operations / 1e12:.2f} TFLOP, {speed / 1e9:.0f} GFLOP/s = ")
            say(f"{100 * speed / peak[precision]:.0f} % of the peak in {precision}")
            say(f", GPU {row['peak_gpu_gib']:.2f} GiB\n" if "peak_gpu_gib" in row else "\n")
        first, second = (np.load(Path(folder) / f"{part}.npz") for part in rows)
        errors = [np.linalg.norm(second[step] - first[step]) / np.linalg.norm(first[step]) for step in _NETWORKS]
    one, two = rows["published"], rows["engine"]
    ratios = [one[name] / two[name] for name in ("seconds", "processor_seconds")]
    say(f"engine is {ratios[0]:.1f} × as fast ({ratios[1]:.1f} × ")
    say(f"in processor time), with {two['peak_gib'] / one['peak_gib']:.2f} of the memory; results differ by ")
    say(", ".join(f"{100 * error:.2g} %" for error in errors) + "\n")
    say(json.dumps(two["record"]) + "\n")


def main() -> None:
    """Read the command line and compare, or measure one of the two when called by itself."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, nargs=3, default=[256, 224, 176], help="field of view in voxels")
    parser.add_argument("--base-width", type=int, default=32)
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--part", choices=["published", "engine"], help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    (_measure if arguments.part else _compare)(arguments)


if __name__ == "__main__":
    main()
