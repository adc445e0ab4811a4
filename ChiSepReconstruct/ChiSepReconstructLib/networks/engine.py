"""Runs networks on whatever the machine has: device, precision, memory, tiles, and what to do when one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.box import Box, bounding_box
from ChiSepPreprocessLib.errors import CancelledError, InputError, MissingDependencyError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepPreprocessLib.threads import thread_count

from .devices import GIB, PRECISIONS, Device, choose, free_memory, has_bfloat16_units, processor, self_test
from .tiles import GRID, Shape, TilePlan, largest_tile, padded_shape, smallest_tile

if TYPE_CHECKING:
    from torch import Tensor

    from .lean import LeanUNet
    from .unet import UNet

Precision = Literal["auto", "float32", "bfloat16"]
_Array = NDArray[np.float32]
_Result = TypeVar("_Result")
#: Default budgets: this share of the free memory, and on GPUs no more than this.
_SHARE_OF_FREE, _GPU_BUDGET = 0.5, 4 * GIB
#: Below, smaller tiles are not tried any more.
_LEAST_BUDGET = 2**24
#: Side of the cube on which bfloat16 is compared with float32 before a run, in voxels.
_PROBE = 48


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How networks are run.

    Parameters
    ----------
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` ..., ``mps``.
    precision : {"auto", "float32", "bfloat16"}
        ``auto`` takes bfloat16 where the device has units for it and the network's own result, compared on a cube
        in the middle of the images, differs by no more than ``precision_tolerance`` from that of float32.
    precision_tolerance : float
        Norm of that difference over the norm of the result.
    memory_gib : float or None
        Budget for activations in GiB; ``None`` takes half of what is free, on a GPU at most 4 GiB.
    tile : {"auto", "whole"} or tuple of int
        ``auto`` runs the whole volume where the budget allows and the largest tiles that fit elsewhere; or the size
        of tiles in voxels, multiples of 16.
    halo_voxels : int
        Half of what neighbouring tiles share at least, a multiple of 8. The networks see about 92 voxels far, so
        tiles are never exact. With the shipped weights the smallest tiles, cut along one axis, changed χ_para (NRMSE)
        by 1.9 % with a halo of 32 voxels, 0.36 % with 48 and 0.22 % with 56, along three axes about twice as much
        (``Testing/benchmarks/engine_errors.py``).
    margin_voxels : int or None
        Zeros kept around the brain's box, as far as the images reach; ``None`` keeps the whole field of view. Zeros
        cost little, but cropping them changes what the network sees: for random weights by 0.5 to 1.5 % with a
        margin of 8 voxels and 0.3 to 1.1 % with 16.
    """

    device: str = "auto"
    precision: Precision = "auto"
    precision_tolerance: float = 0.005
    memory_gib: float | None = None
    tile: str | tuple[int, int, int] = "auto"
    halo_voxels: int = 56
    margin_voxels: int | None = 32

    def __post_init__(self) -> None:
        if self.precision not in ("auto", *PRECISIONS):
            raise InputError("precision", self.precision, f"auto, {', '.join(PRECISIONS)}")
        if not 0 < self.precision_tolerance < 1:
            raise InputError("precision tolerance", self.precision_tolerance, "a fraction between 0 and 1")
        if self.memory_gib is not None and not self.memory_gib > 0:
            raise InputError("memory budget", f"{self.memory_gib} GiB", "more than 0, or None for automatic")
        if self.margin_voxels is not None and self.margin_voxels < 0:
            raise InputError("margin", f"{self.margin_voxels} voxels", "0 or more, or None for the whole field of view")
        if isinstance(self.tile, str):
            if self.tile not in ("auto", "whole"):
                raise InputError("tile", self.tile, f"auto, whole, or three multiples of {GRID} voxels")
        elif len(self.tile) != 3:
            raise InputError("tile", self.tile, f"auto, whole, or three multiples of {GRID} voxels")
        tile = (GRID, GRID, GRID) if isinstance(self.tile, str) else self.tile
        TilePlan(tile, tile, self.halo_voxels)


class _OutOfMemory(Exception):  # noqa: N818
    """The device could not hold a tile."""


class _DeviceLost(Exception):  # noqa: N818
    """The device failed in another way than by its memory."""


class Engine:
    """Runs networks, remembers how, and finds another way when memory or a device fails.

    Parameters
    ----------
    options : EngineOptions, optional
    """

    def __init__(self, options: EngineOptions | None = None) -> None:
        self.options = options or EngineOptions()
        self.device = choose(self.options.device)
        self._warnings: list[str] = []
        self._runs: dict[str, dict[str, Any]] = {}
        self._limit: int | None = None
        self._smaller_tiles = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went otherwise than asked, in the order of events."""
        return tuple(self._warnings)

    def record(self) -> dict[str, Any]:
        """Device in words, and for each step its precision, tiles and errors; JSON-friendly."""
        return {"device": self.device.words, "runs": dict(self._runs), "fallbacks": list(self._warnings)}

    def run(
        self, network: UNet, images: _Array, report: Reporter, step: str, needed: NDArray[np.bool_] | None = None,
        added: tuple[int, ...] = (),
    ) -> _Array:  # fmt: skip
        """Apply a network to images.

        Parameters
        ----------
        network : UNet
            In evaluation mode, float32.
        images : float array, shape (C, I, J, K)
            Normalised, 0 outside the brain.
        report : Reporter
            Hears of every layer of every slab.
        step : str
            Name for the report and the record.
        needed : bool array, shape (I, J, K), optional
            Where the output is wanted; by default where any image is not 0.
        added : tuple of int, optional
            Channels that the caller adds to the output: the error of bfloat16 is held against the sum.

        Returns
        -------
        float32 array, shape (C_out, I, J, K)
            Normalised; 0 outside the brain's box.

        Raises
        ------
        InputError
            If the images do not suit the network, or not even the smallest tile fits the memory.
        CancelledError
            If the caller asked to stop.
        """
        images = _checked(images, network)
        support = (images != 0).any(axis=0)
        needed = support if needed is None else needed
        output = np.zeros((network.out.conv.out_channels, *images.shape[1:]), dtype=np.float32)
        if not needed.any():
            return output
        box = self._box(support | needed)
        report(step, 0.0, self.device.words)
        output[(slice(None), *box)] = self._until_it_works(
            network, images[(slice(None), *box)], needed[box], added, report, step
        )
        report(step, 1.0)
        return output

    def beside(self, work: Callable[[str], _Result]) -> _Result:
        """Do what is no network on the networks' GPU, or on the processor where they have none that it can use.

        ``work`` gets PyTorch's name of the device, and is done again on the processor if the GPU fails.
        """
        with _threads_and_exactness():
            if self.device.kind == "cuda":
                try:
                    with _failures_told_apart(self.device):
                        return work(self.device.name)
                except _OutOfMemory:
                    self._warn(f"Out of memory on {self.device.words}; a part is computed on the processor.")
                except _DeviceLost as failure:
                    self._lose_device(failure)
            return work("cpu")

    def _box(self, region: NDArray[np.bool_]) -> Box:
        """Box around the brain that begins where the poolings of the whole field of view begin.

        The poolings make the result depend on the position by voxels: cropping off their grid changes it far more
        than the zeros that are left out.
        """
        margin = self.options.margin_voxels
        around = bounding_box(region, max(region.shape) if margin is None else margin)
        i, j, k = (slice(one.start // GRID * GRID, one.stop) for one in around)
        return i, j, k

    def _until_it_works(
        self, network: UNet, images: _Array, needed: NDArray[np.bool_], added: tuple[int, ...], report: Reporter,
        step: str,
    ) -> _Array:  # fmt: skip
        while True:
            try:
                with _threads_and_exactness():
                    return self._attempt(network, images, needed, added, report, step)
            except _OutOfMemory as failure:
                self._take_less_memory(failure)
            except _DeviceLost as failure:
                self._lose_device(failure)

    def _take_less_memory(self, failure: _OutOfMemory) -> None:
        if self._limit is not None and self._limit > _LEAST_BUDGET:
            self._limit, self._smaller_tiles = self._limit // 2, True
            self._warn(f"Out of memory on {self.device.words}; trying tiles in {self._limit / GIB:.2g} GiB.")
        elif self.device.kind != "cpu":
            self._warn(f"Out of memory on {self.device.words} even with small tiles; computing on the processor.")
            self._move_to_processor()
        else:
            raise InputError("memory", str(failure) or "allocation failed", "room for one tile",
                             "Close other programs, or choose a smaller halo.") from failure  # fmt: skip

    def _lose_device(self, failure: _DeviceLost) -> None:
        self._warn(f"{self.device.words} failed ({failure}); computing on the processor instead.")
        self._move_to_processor()

    def _move_to_processor(self) -> None:
        self.device, self._limit, self._smaller_tiles = processor(), None, False

    def _warn(self, text: str) -> None:
        self._warnings.append(text)

    def _attempt(
        self, network: UNet, images: _Array, needed: NDArray[np.bool_], added: tuple[int, ...], report: Reporter,
        step: str,
    ) -> _Array:  # fmt: skip
        with _failures_told_apart(self.device):
            lean, error = self._prepared(network, images, added)
            shape = padded_shape(images.shape[1:])
            plan = self._tiles(lean, shape)
            self._runs[step] = {
                "precision": str(lean.dtype).rpartition(".")[2], "precision_error": error,
                "tiles": len(plan.boxes()), "tile": list(plan.tile), "halo_voxels": self.options.halo_voxels,
                "margin_voxels": self.options.margin_voxels,
            }  # fmt: skip
            i, j, k = needed.shape
            output = self._blended(lean, _padded(images, shape), _padded(needed, shape), plan, report, step)
            return output[:, :i, :j, :k]

    def _prepared(self, network: UNet, images: _Array, added: tuple[int, ...]) -> tuple[LeanUNet, float | None]:
        """Network on the device in the precision that holds for it, and the measured error of bfloat16."""
        precision, error = self._precision(), None
        if precision == "bfloat16":
            error = self._error_of_bfloat16(network, images, added)
            if self.options.precision == "auto" and not error <= self.options.precision_tolerance:
                self._warn(f"bfloat16 changes this network's result by {100 * error:.2g} %; float32 is used.")
                precision = "float32"
        return self._lean(network, self.device, precision), error

    def _precision(self) -> str:
        """Precision to use, after the device's self-test."""
        if self.options.precision == "bfloat16" or (
            self.options.precision == "auto" and has_bfloat16_units(self.device)
        ):
            test = self_test(self.device, "bfloat16")
            if test.passed:
                return "bfloat16"
            self._warn(f"{self.device.words} fails its self-test in bfloat16 ({test.reason}); float32 is used.")
        test = self_test(self.device, "float32")
        if not test.passed and self.device.kind != "cpu":
            raise _DeviceLost(f"its self-test in float32: {test.reason}")
        return "float32"

    def _error_of_bfloat16(self, network: UNet, images: _Array, added: tuple[int, ...]) -> float:
        import torch

        cube = tuple(slice(max(n // 2 - _PROBE // 2, 0), n // 2 + _PROBE // 2) for n in images.shape[1:])
        part = images[(slice(None), *cube)]
        padded = torch.from_numpy(_padded(part, padded_shape(part.shape[1:])))[None]
        results = [self._lean(network, self.device, one)(padded) for one in PRECISIONS]
        whole = results[0] + padded[:, list(added)].to(results[0]) if added else results[0]
        return float((results[1] - results[0]).norm() / whole.norm())

    def _lean(self, network: UNet, device: Device, precision: str) -> LeanUNet:
        import torch

        from .lean import LeanUNet

        slab = min(self._budget() // 8, 400 * 2**20 if device.kind == "cpu" else GIB)
        return LeanUNet(network, torch.device(device.name), getattr(torch, precision), slab)

    def _budget(self) -> int:
        """Bytes for activations."""
        if self._limit is None:
            free = free_memory(self.device)
            automatic = _SHARE_OF_FREE * free if self.device.kind == "cpu" else min(0.9 * free, _GPU_BUDGET)
            given = self.options.memory_gib
            self._limit = int(automatic if given is None else given * GIB)
        return self._limit

    def _tiles(self, lean: LeanUNet, shape: Shape) -> TilePlan:
        halo, tile = self.options.halo_voxels, "auto" if self._smaller_tiles else self.options.tile
        if not isinstance(tile, str):
            i, j, k = (min(one, n) for one, n in zip(tile, shape, strict=True))
            return TilePlan(shape, (i, j, k), halo)
        budget = self._budget()
        whole = lean.bytes_needed(shape)
        if self._smaller_tiles and whole < 2 * budget:
            budget = self._limit = whole // 2  # the budget was more than the machine could give
        if tile == "whole" or whole <= budget:
            return TilePlan(shape, shape, halo)
        largest = largest_tile(shape, halo, lambda one: lean.bytes_needed(one) <= budget)
        if largest is None and self._smaller_tiles:
            raise _OutOfMemory(f"no tile with a halo of {halo} voxels fits {budget / GIB:.2g} GiB")
        if largest is None:
            need = lean.bytes_needed(smallest_tile(shape, halo))
            raise InputError("memory budget", f"{budget / GIB:.2g} GiB", f"at least {need / GIB:.2g} GiB for one tile",
                             "Give more memory or choose a smaller halo.")  # fmt: skip
        return TilePlan(shape, largest, halo)

    def _blended(
        self, lean: LeanUNet, images: _Array, needed: NDArray[np.bool_], plan: TilePlan, report: Reporter, step: str
    ) -> _Array:
        import torch

        output = np.zeros((lean.channels_out, *plan.shape), dtype=np.float32)
        boxes = [box for box in plan.boxes() if needed[box].any()]
        together = 1 if self.device.kind == "cpu" else max(self._budget() // lean.bytes_needed(plan.tile), 1)
        for first in range(0, len(boxes), together):
            batch = boxes[first : first + together]
            shares = [plan.weights(box) for box in batch]
            wanted = np.any([needed[box] & (share > 0) for box, share in zip(batch, shares, strict=True)], axis=0)
            stacked = torch.from_numpy(np.stack([images[(slice(None), *box)] for box in batch]))
            span = report.span(first / len(boxes), (first + len(batch)) / len(boxes))
            detail = f"tile {first + 1} of {len(boxes)}" if len(boxes) > 1 else self.device.words
            results = lean(stacked, wanted, partial(_tell, span, step, detail))
            _add(output, batch, shares, results)
        return output


def _tell(report: Reporter, step: str, detail: str, done: float) -> None:
    report(step, done, detail)


def _add(output: _Array, boxes: list[Box], shares: list[_Array], results: Tensor) -> None:
    for box, share, result in zip(boxes, shares, results.cpu().numpy(), strict=True):
        output[(slice(None), *box)] += share * result


def _padded(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Add zeros at the ends of the last three axes."""
    ends = [(0, n - own) for n, own in zip(shape, values.shape[-3:], strict=True)]
    return np.pad(values, [(0, 0)] * (values.ndim - 3) + ends)


def _checked(images: _Array, network: UNet) -> _Array:
    channels = network.conv11.conv.in_channels
    if images.ndim != 4 or images.shape[0] != channels or 0 in images.shape:
        raise InputError("images for the network", f"shape {images.shape}", f"({channels}, I, J, K)")
    if not np.isfinite(images).all():
        raise InputError("images for the network", "values that are not finite", "finite values, 0 outside the brain")
    if network.training:
        raise InputError("network", "training mode", "evaluation mode", "Call its eval() first.")
    return np.ascontiguousarray(images, dtype=np.float32)


@contextmanager
def _threads_and_exactness() -> Iterator[None]:
    """All threads, float32 that is float32 on GPUs, and the same result each time; the caller's settings afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(thread_count())
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _failures_told_apart(device: Device) -> Iterator[None]:
    """Turn what PyTorch raises into "out of memory" or "device lost"; the rest goes through."""
    try:
        yield
    except (CancelledError, InputError, MissingDependencyError, _DeviceLost):
        raise
    except MemoryError as failure:
        raise _OutOfMemory(str(failure)) from failure
    except (RuntimeError, AssertionError) as failure:
        text = str(failure).partition("\n")[0]
        signs = ("out of memory", "not enough memory", "defaultcpuallocator", "can't allocate memory", "alloc_failed")
        if type(failure).__name__ == "OutOfMemoryError" or any(sign in text.lower() for sign in signs):
            raise _OutOfMemory(text) from failure
        if device.kind == "cpu":
            raise
        raise _DeviceLost(text) from failure
