"""The U-Net of :mod:`unet` for inference: in slabs, with little memory, and only where the brain needs it.

In float32 on a processor the convolutions are Winograd's (:mod:`winograd`), elsewhere PyTorch's. The values are those
of the plain network, for four reasons that cost no accuracy:

- batch normalisation in inference is a scale and a shift for each channel, folded into the convolution;
- a slab with two more voxels on each side gives its two convolutions exactly;
- where the images are 0 the first levels give what an image of zeros gives, which depends on the distance to the
  border alone and is copied from a small image of zeros;
- on the way up, only what can reach a needed voxel is computed.

This module loads torch: import it inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from ChiSepPreprocessLib.box import Box, bounding_box

from .regions import (
    REACH,
    Mask,
    Region,
    Shape,
    dilated,
    even,
    halved,
    in_tiles,
    slabs_of,
    start_of,
    surroundings,
    voxels,
    whole_box,
)
from .unet import ConvolutionBlock, UNet
from .winograd import TILE, Part, Workspace, convolve, fresh, tile_corners

#: Fewer input channels than these would take a slow path and leave the channels-last layout.
_FEWEST_CHANNELS = 8
#: With fewer tiles, transforming the weights of Winograd's convolution takes longer than it saves.
_FEWEST_TILES = 64
#: Levels on the way down where zeros are copied instead of computed, and the cube of zeros to copy from.
_SPARSE_LEVELS, _CUBE = 2, 32


@dataclass(frozen=True)
class _Folded:
    """A convolution with the batch normalisation that follows it."""

    weight: Tensor
    bias: Tensor

    @property
    def operations(self) -> int:
        """Multiplications and additions for each voxel."""
        return 2 * self.weight.numel()

    def __call__(self, images: Tensor) -> Tensor:
        """Convolve without padding and set negatives to 0, by PyTorch, in the precision of the weights."""
        return F.conv3d(images, self.weight, self.bias).relu_()


def fold(block: ConvolutionBlock) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that does a block's convolution and batch normalisation, in float64."""
    conv, bn = block.conv, block.bn
    assert bn.running_mean is not None and bn.running_var is not None and conv.bias is not None
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    bias = (conv.bias.double() - bn.running_mean.double()) * scale + bn.bias.double()
    return conv.weight.double() * scale.view(-1, 1, 1, 1, 1), bias


@dataclass(frozen=True)
class Plan:
    """Regions on the way down and up, and what they cost."""

    down: tuple[Region, ...]
    bottom: Region
    up: tuple[Region, ...]
    operations: int


class LeanUNet:
    """A network ready to run on one device in one precision.

    Parameters
    ----------
    network : UNet
        With its trained weights; left as it is.
    device : torch.device
    dtype : torch.dtype
        Of weights and activations: float32 or bfloat16. The first convolution and the last are done in float32 in any
        case: that takes no time, and rounding the images and the result made a third of the error.
    slab_bytes : int
        For the activations of one slab; more means fewer voxels computed twice.
    """

    def __init__(self, network: UNet, device: torch.device, dtype: torch.dtype, slab_bytes: int = 200 * 2**20) -> None:
        self.device, self.dtype, self.slab_bytes = device, dtype, slab_bytes
        self._workspace = Workspace()
        self._winograd = device.type == "cpu" and dtype == torch.float32
        names = [("conv11", "conv12"), ("conv21", "conv22"), ("conv31", "conv32"), ("conv41", "conv42")]
        self._down = [self._blocks(network, *pair) for pair in names]
        self._bottom = self._blocks(network, "l_conv1", "l_conv2")
        names = [("conv81", "conv82"), ("conv71", "conv72"), ("conv61", "conv62"), ("conv51", "conv52")]
        self._up = [self._blocks(network, *pair) for pair in names]
        rising = [network.deconv1, network.deconv2, network.deconv3, network.deconv4]
        self._rise = [self._moved(one.deconv) for one in rising]
        self._out = self._moved(network.out.conv, exact=True)
        self.channels_in, self.channels_out = network.conv11.conv.in_channels, network.out.conv.out_channels
        self.base_width = network.conv11.conv.out_channels

    def _put(self, weight: Tensor, bias: Tensor, *, exact: bool = False) -> _Folded:
        dtype = torch.float32 if exact else self.dtype
        # The type first: Apple GPUs have no float64.
        weight, bias = (one.detach().to(dtype).to(self.device) for one in (weight, bias))
        return _Folded(weight.contiguous(memory_format=torch.channels_last_3d), bias)

    def _moved(self, convolution: nn.Conv3d | nn.ConvTranspose3d, *, exact: bool = False) -> _Folded:
        assert convolution.bias is not None
        return self._put(convolution.weight, convolution.bias, exact=exact)

    def _blocks(self, network: UNet, first: str, second: str) -> tuple[_Folded, _Folded]:
        (weight, bias), second_one = fold(getattr(network, first)), fold(getattr(network, second))
        missing = max(_FEWEST_CHANNELS - weight.shape[1], 0) if first == "conv11" and not self._winograd else 0
        exact = first == "conv11"
        return self._put(F.pad(weight, (0,) * 7 + (missing,)), bias, exact=exact), self._put(*second_one)

    def _region(self, wanted: Mask, kept: Mask, level: int, batch: int) -> Region:
        """Slabs of an even number of rows: what both convolutions of a slab take and give fits the memory of a slab."""
        box, around = (
            bounding_box(wanted) if wanted.any() else whole_box((1, 1, 1)),
            even(bounding_box(kept), kept.shape),
        )
        maps = 3 if self._winograd else 4
        width = self.base_width * 2**level
        row = batch * voxels((slice(0, 1), box[1], box[2])) * maps * width * self.dtype.itemsize
        return Region(wanted, slabs_of(wanted, max(self.slab_bytes // row // TILE * TILE, TILE)), around)

    def bytes_needed(self, shape: tuple[int, int, int], batch: int = 1) -> int:
        """Peak of the activations for a volume of this shape: what is kept, and twice the memory of a slab.

        On the way up at the second level, the skipped maps of the first two levels, the coarser result and the
        one being made are alive: 1 + 1/4 + 1/16 + 1/4 of the first level's.
        """
        kept = (1 + 1 / 4 + 1 / 16 + 1 / 4) * self.base_width * self.dtype.itemsize
        maps = 2 * (self.channels_in + self.channels_out) * 4
        count = batch * prod(shape)
        slab = min(self.slab_bytes, count * 4 * self.base_width * self.dtype.itemsize)
        return int(count * (kept + maps)) + 2 * slab

    def plan(self, support: Mask, needed: Mask, batch: int = 1) -> Plan:
        """What to compute for images that are not 0 in ``support`` and outputs wanted in ``needed``."""
        down, up, operations = [], [], 0
        for level in range(len(self._down)):
            wider = dilated(needed, REACH)
            active = dilated(support, REACH) if level < _SPARSE_LEVELS else np.ones_like(support)
            down.append(self._region(active, active | wider, level, batch))
            up.append(self._region(needed, needed, level, batch))
            operations += _cost(self._down[level], down[-1]) + _cost(self._up[level], up[-1])
            support, needed = halved(active), halved(wider)
        whole = np.ones_like(support)
        bottom = self._region(whole, whole, len(self._down), batch)
        return Plan(tuple(down), bottom, tuple(up), batch * (operations + _cost(self._bottom, bottom)))

    def __call__(
        self, images: Tensor, needed: Mask | None = None, tick: Callable[[float], None] = lambda fraction: None
    ) -> Tensor:
        """Run the network.

        Parameters
        ----------
        images : Tensor, shape (batch, channels_in, I, J, K)
            Normalised, 0 outside the brain; 16 divides I, J and K.
        needed : bool array, shape (I, J, K), optional
            Where the output is wanted; by default everywhere.
        tick : callable
            Hears the share of the work that is done, several times in each level.

        Returns
        -------
        Tensor, shape (batch, channels_out, I, J, K)
            float32, on the device; exact where needed, elsewhere 0 or what was computed besides.
        """
        support = np.asarray((images != 0).any(dim=0).any(dim=0).cpu())
        plan = self.plan(support, np.ones(support.shape, dtype=bool) if needed is None else needed, len(images))
        try:
            with torch.inference_mode():
                return self._forward(images.to(self.device, torch.float32), plan, _Counter(plan.operations, tick))
        finally:
            self._workspace = Workspace()

    def _forward(self, images: Tensor, plan: Plan, count: _Counter) -> Tensor:
        skipped: list[Part] = []
        backgrounds = self._backgrounds()
        part = Part(images.contiguous(memory_format=torch.channels_last_3d), (0, 0, 0))
        for pair, region in zip(self._down, plan.down, strict=True):
            kept, part = self._descend(part, pair, region, next(backgrounds, None), count)
            skipped.append(kept)
        part = self._descend(part, self._bottom, plan.bottom, None, count, pooled=False)[0]
        for level in reversed(range(len(self._up))):
            part = self._ascend(part, skipped.pop(), level, plan.up[level], count)
        return part.values

    def _backgrounds(self) -> Iterator[Tensor]:
        """What each of the first levels gives for a cube of zeros."""
        part = Part(self._empty((1, self.channels_in, _CUBE, _CUBE, _CUBE)).zero_(), (0, 0, 0))
        silent = _Counter(1, lambda fraction: None)
        for pair in self._down[:_SPARSE_LEVELS]:
            shape = tuple(part.values.shape[2:])
            region = Region(np.ones(shape, dtype=bool), [whole_box(shape)], whole_box(shape))
            kept, part = self._descend(part, pair, region, None, silent)
            yield kept.values

    def _descend(
        self, part: Part, pair: tuple[_Folded, _Folded], region: Region, background: Tensor | None,
        count: _Counter, pooled: bool = True,
    ) -> tuple[Part, Part]:  # fmt: skip
        """Maps of one level in the box to be kept, and in halves, everywhere, for the next level."""
        batch, width = len(part.values), len(pair[1].bias)
        kept = Part(self._empty((batch, width, *(one.stop - one.start for one in region.kept))), start_of(region.kept))
        halves = self._empty((batch, width, *(n // 2 for n in region.shape))) if pooled else kept.values
        if background is not None:
            _fill_from_cube(kept, region.shape, background)
            _fill_from_cube(Part(halves, (0, 0, 0)), halves.shape[2:], F.max_pool3d(background, 2))
        for box in region.slabs:
            self._pair([part], box, pair, region.wanted, kept, count)
            if pooled:
                i, j, k = (slice(one.start // 2, one.stop // 2) for one in box)
                halves[..., i, j, k] = F.max_pool3d(_view(kept, box), 2)
        return kept, Part(halves, (0, 0, 0))

    def _ascend(self, coarse: Part, skipped: Part, level: int, region: Region, count: _Counter) -> Part:
        batch, width = skipped.values.shape[:2]
        last, shape = level == 0, region.shape
        kept = [one.stop - one.start for one in region.kept]
        out = Part(torch.zeros((batch, self.channels_out, *shape), device=self.device), (0, 0, 0)) if last else Part(
            self._empty((batch, width, *kept)).zero_(), start_of(region.kept))  # fmt: skip
        for box in region.slabs:
            parts = [self._risen(coarse, self._rise[level], box, shape), skipped]
            if last:
                fine = Part(
                    self._maps("fine", (batch, width, *(one.stop - one.start for one in box))).zero_(), start_of(box)
                )
                self._pair(parts, box, self._up[level], region.wanted, fine, count)
                values = fine.values.permute(0, 2, 3, 4, 1).to(self._out.weight.dtype)
                projected = F.linear(values, self._out.weight.flatten(1), self._out.bias)
                _view(out, box)[:] = projected.permute(0, 4, 1, 2, 3)
            else:
                self._pair(parts, box, self._up[level], region.wanted, out, count)
        return out

    @staticmethod
    def _risen(coarse: Part, rise: _Folded, box: Box, shape: Shape) -> Part:
        """Doubled coarse images in the box and its surroundings."""
        inside = surroundings(box, shape)[0]
        i, j, k = (slice(one.start // 2, one.stop // 2) for one in inside)
        values = F.conv_transpose3d(_view(coarse, (i, j, k)), rise.weight, rise.bias, stride=2)
        return Part(values.contiguous(memory_format=torch.channels_last_3d), start_of(inside))

    def _pair(
        self, parts: list[Part], box: Box, pair: tuple[_Folded, _Folded], wanted: Mask, target: Part, count: _Counter
    ) -> None:
        """Two convolutions with their rectifiers, where wanted in a box."""
        done = len(target.values) * voxels(box)
        tiles = in_tiles(wanted[box])
        if self._winograd and tiles.sum() >= _FEWEST_TILES:
            middle = self._tiled_middle(parts, box, pair[0], wanted.shape, tiles)
            count(done * pair[0].operations)
            corners = tile_corners(tiles, start_of(box))
            convolve([middle], pair[1].weight, pair[1].bias, corners, target, self._workspace)
        else:
            middle = self._middle(parts, box, pair[0], wanted.shape)
            count(done * pair[0].operations)
            _view(target, box)[:] = pair[1](middle.values)
        count(done * pair[1].operations)

    def _tiled_middle(self, parts: list[Part], box: Box, first: _Folded, shape: tuple[int, ...], seen: Mask) -> Part:
        """The first convolution, in tiles that begin one voxel before the box's and hold what the second's see."""
        for axis in range(3):
            ends = [(0, int(axis == other)) for other in range(3)]
            seen = np.pad(seen, ends) | np.pad(seen, [end[::-1] for end in ends])
        start = [one.start - 1 for one in box]
        inside = [(max(at, 0), min(at + TILE * n, end)) for at, n, end in zip(start, seen.shape, shape, strict=True)]
        i, j, k = (at for at, _ in inside)
        size = (stop - at for at, stop in inside)
        middle = Part(self._maps("middle", (len(parts[0].values), len(first.bias), *size)), (i, j, k))
        corners = tile_corners(seen, start)
        convolve(parts, first.weight, first.bias, corners[(corners < shape).all(axis=1)], middle, self._workspace)
        return middle

    def _middle(self, parts: list[Part], box: Box, first: _Folded, shape: tuple[int, ...]) -> Part:
        """The first convolution, in the box and one voxel around it."""
        values = first(self._window(parts, box, shape, first.weight)).to(self.dtype)
        for axis, (one, n) in enumerate(zip(box, shape, strict=True), start=2):
            # The second convolution sees zeros beyond the border, not what the first would give there.
            if one.start == 0:
                values.narrow(axis, 0, 1).zero_()
            if one.stop == n:
                values.narrow(axis, values.shape[axis] - 1, 1).zero_()
        return Part(values, (box[0].start - 1, box[1].start - 1, box[2].start - 1))

    def _window(self, parts: list[Part], box: Box, shape: tuple[int, ...], weight: Tensor) -> Tensor:
        """A box and its surroundings for a convolution, 0 outside the volume and in channels beyond the parts' own."""
        inside, place, outer = surroundings(box, shape)
        window, first = self._empty((len(parts[0].values), weight.shape[1], *outer), weight.dtype).zero_(), 0
        for part in parts:
            width = part.values.shape[1]
            window[(slice(None), slice(first, first + width), *place)] = _view(part, inside)
            first += width
        return window

    def _maps(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Maps for one slab."""
        return self._workspace.maps(name, shape) if self._winograd else self._empty(shape)

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
        if self._winograd:
            return fresh(shape)
        layout = torch.channels_last_3d
        return torch.empty(shape, device=self.device, dtype=dtype or self.dtype, memory_format=layout)


def _cost(pair: tuple[_Folded, _Folded], region: Region) -> int:
    return sum(voxels(box) for box in region.slabs) * (pair[0].operations + pair[1].operations)


def _view(part: Part, box: Box) -> Tensor:
    """The part's values in a box of the volume."""
    i, j, k = (slice(one.start - at, one.stop - at) for one, at in zip(box, part.origin, strict=True))
    return part.values[..., i, j, k]


class _Counter:
    """Adds up the work and reports its share."""

    def __init__(self, total: int, tick: Callable[[float], None]) -> None:
        self._total, self._tick, self._done = total, tick, 0

    def __call__(self, operations: int) -> None:
        self._done += operations
        self._tick(self._done / self._total)


def _fill_from_cube(out: Part, shape: tuple[int, ...], cube: Tensor) -> None:
    """Give each voxel the cube's value at the same distance from the volume's border, up to the cube's middle."""
    middle = cube.shape[2] // 2
    sources = []
    for n, start, size in zip(shape, out.origin, out.values.shape[2:], strict=True):
        there = torch.arange(start, start + size, device=cube.device)
        from_end = (there - n).clamp(min=-middle) + 2 * middle
        sources.append(torch.where(there < n / 2, there.clamp(max=middle - 1), from_end))
    planes = cube[:, :, :, sources[1]][..., sources[2]].contiguous(memory_format=torch.channels_last_3d)
    for row, source in enumerate(sources[0].tolist()):
        out.values[:, :, row] = planes[:, :, source]
