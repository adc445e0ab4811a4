"""The U-Net of :mod:`unet` for inference: in slabs, with little memory, and only where the brain needs it.

The values are those of the plain network, for four reasons that cost no accuracy:

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
from numpy.typing import NDArray
from torch import Tensor, nn

from ChiSepPreprocessLib.box import Box, bounding_box

from .unet import ConvolutionBlock, UNet

_Shape = tuple[int, int, int]
_Mask = NDArray[np.bool_]
#: Reach of two 3×3×3 convolutions, in voxels.
_REACH = 2
#: Fewer input channels than these would take a slow path and leave the channels-last layout.
_FEWEST_CHANNELS = 8
#: Levels on the way down where zeros are copied instead of computed, and the cube of zeros to copy from.
_SPARSE_LEVELS, _CUBE = 2, 16


@dataclass(frozen=True)
class _Folded:
    """A convolution with the batch normalisation that follows it."""

    weight: Tensor
    bias: Tensor

    @property
    def operations(self) -> int:
        """Multiplications and additions for each voxel."""
        return 2 * self.weight.numel()


def fold(block: ConvolutionBlock) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that does a block's convolution and batch normalisation, in float64."""
    conv, bn = block.conv, block.bn
    assert bn.running_mean is not None and bn.running_var is not None and conv.bias is not None
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    bias = (conv.bias.double() - bn.running_mean.double()) * scale + bn.bias.double()
    return conv.weight.double() * scale.view(-1, 1, 1, 1, 1), bias


def _dilated(mask: _Mask, reach: int) -> _Mask:
    """True where any voxel of the cube of ``2 × reach + 1`` voxels is."""
    for axis in range(mask.ndim):
        along = np.moveaxis(mask, axis, 0)
        wider = along.copy()
        for step in range(1, reach + 1):
            wider[step:] |= along[:-step]
            wider[:-step] |= along[step:]
        mask = np.moveaxis(wider, 0, axis)
    return mask


def _halved(mask: _Mask) -> _Mask:
    """True where any of the 2×2×2 voxels is."""
    i, j, k = (n // 2 for n in mask.shape)
    return np.asarray(mask.reshape(i, 2, j, 2, k, 2).any(axis=(1, 3, 5)))


def _even(box: Box) -> Box:
    i, j, k = (slice(one.start // 2 * 2, (one.stop + 1) // 2 * 2) for one in box)
    return i, j, k


def _slabs(region: _Mask, rows: int) -> list[Box]:
    """Boxes of even corners, equally thick up to ``rows``, that together hold the region."""
    count = -(-region.shape[0] // rows)
    rows = -(-region.shape[0] // (2 * count)) * 2
    boxes = []
    for first in range(0, region.shape[0], rows):
        part = region[first : first + rows]
        if part.any():
            i, j, k = bounding_box(part)
            boxes.append(_even((slice(first + i.start, first + i.stop), j, k)))
    return boxes


def _voxels(box: Box) -> int:
    return prod(one.stop - one.start for one in box)


@dataclass(frozen=True)
class _Plan:
    """Boxes to compute on the way down and up, and what they cost."""

    down: tuple[list[Box], ...]
    up: tuple[list[Box], ...]
    operations: int


class LeanUNet:
    """A network ready to run on one device in one precision.

    Parameters
    ----------
    network : UNet
        With its trained weights; left as it is.
    device : torch.device
    dtype : torch.dtype
        Of weights and activations: float32 or bfloat16.
    slab_bytes : int
        For the activations of one slab; more means fewer voxels computed twice.
    """

    def __init__(self, network: UNet, device: torch.device, dtype: torch.dtype, slab_bytes: int = 200 * 2**20) -> None:
        self.device, self.dtype, self.slab_bytes = device, dtype, slab_bytes
        names = [("conv11", "conv12"), ("conv21", "conv22"), ("conv31", "conv32"), ("conv41", "conv42")]
        self._down = [self._blocks(network, *pair) for pair in names]
        self._bottom = self._blocks(network, "l_conv1", "l_conv2")
        names = [("conv81", "conv82"), ("conv71", "conv72"), ("conv61", "conv62"), ("conv51", "conv52")]
        self._up = [self._blocks(network, *pair) for pair in names]
        rising = [network.deconv1, network.deconv2, network.deconv3, network.deconv4]
        self._rise = [self._moved(one.deconv) for one in rising]
        self._out = self._moved(network.out.conv)
        self.channels_in, self.channels_out = network.conv11.conv.in_channels, network.out.conv.out_channels
        self.base_width = network.conv11.conv.out_channels

    def _put(self, weight: Tensor, bias: Tensor) -> _Folded:
        weight = weight.detach().to(self.device, self.dtype).contiguous(memory_format=torch.channels_last_3d)
        return _Folded(weight, bias.detach().to(self.device, self.dtype))

    def _moved(self, convolution: nn.Conv3d | nn.ConvTranspose3d) -> _Folded:
        assert convolution.bias is not None
        return self._put(convolution.weight, convolution.bias)

    def _blocks(self, network: UNet, first: str, second: str) -> tuple[_Folded, _Folded]:
        (weight, bias), second_one = fold(getattr(network, first)), fold(getattr(network, second))
        missing = max(_FEWEST_CHANNELS - weight.shape[1], 0) if first == "conv11" else 0
        return self._put(F.pad(weight, (0,) * 7 + (missing,)), bias), self._put(*second_one)

    def _rows(self, level: int, shape: _Shape, batch: int) -> int:
        """Even number of rows of a slab: its inputs and both convolutions fit the memory of a slab."""
        width = self.base_width * 2**level
        row = batch * shape[1] * shape[2] * 4 * width * self.dtype.itemsize
        return max(self.slab_bytes // row // 2 * 2, 4)

    def bytes_needed(self, shape: tuple[int, int, int], batch: int = 1) -> int:
        """Peak of the activations for a volume of this shape: what is kept, and twice the memory of a slab.

        On the way up at the second level, the skipped maps of the first two levels, the coarser result and the
        one being made are alive: 1 + 1/4 + 1/16 + 1/4 of the first level's.
        """
        kept = (1 + 1 / 4 + 1 / 16 + 1 / 4) * self.base_width * self.dtype.itemsize
        maps = 2 * (self.channels_in + self.channels_out) * 4
        voxels = batch * prod(shape)
        slab = min(self.slab_bytes, voxels * 4 * self.base_width * self.dtype.itemsize)
        return int(voxels * (kept + maps)) + 2 * slab

    def plan(self, support: _Mask, needed: _Mask, batch: int = 1) -> _Plan:
        """What to compute for images that are not 0 in ``support`` and outputs wanted in ``needed``."""
        down, up, operations = [], [], 0
        for level in range(len(self._down)):
            shape = (support.shape[0], support.shape[1], support.shape[2])
            rows = self._rows(level, shape, batch)
            active = _dilated(support, _REACH) if level < _SPARSE_LEVELS else np.ones(shape, dtype=bool)
            down.append(_slabs(active, rows))
            up.append(_slabs(needed, rows))
            operations += self._pair_cost(self._down[level], down[-1]) + self._pair_cost(self._up[level], up[-1])
            support, needed = _halved(active), _halved(_dilated(needed, _REACH))
        bottom = [(slice(0, support.shape[0]), slice(0, support.shape[1]), slice(0, support.shape[2]))]
        return _Plan(tuple(down), tuple(up), batch * (operations + self._pair_cost(self._bottom, bottom)))

    @staticmethod
    def _pair_cost(pair: tuple[_Folded, _Folded], boxes: list[Box]) -> int:
        return sum(_voxels(box) for box in boxes) * (pair[0].operations + pair[1].operations)

    def __call__(
        self, images: Tensor, needed: _Mask | None = None, tick: Callable[[float], None] = lambda fraction: None
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
        with torch.inference_mode():
            return self._forward(images.to(self.device, self.dtype), plan, _Counter(plan.operations, tick))

    def _forward(self, images: Tensor, plan: _Plan, count: _Counter) -> Tensor:
        skipped: list[Tensor] = []
        backgrounds = self._backgrounds()
        for level, pair in enumerate(self._down):
            skipped.append(self._descend(images, pair, plan.down[level], next(backgrounds, None), count))
            images = F.max_pool3d(skipped[-1], 2)
        shape = tuple(images.shape[2:])
        box = (slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2]))
        images = self._pair(_window(images, box, images.shape[1]), box, self._bottom, shape, count)
        for level in reversed(range(len(self._up))):
            images = self._ascend(images, skipped.pop(), level, plan.up[level], count)
        return images

    def _backgrounds(self) -> Iterator[Tensor]:
        """What each of the first levels gives for a cube of zeros."""
        images = torch.zeros((1, self.channels_in, _CUBE, _CUBE, _CUBE), device=self.device, dtype=self.dtype)
        silent = _Counter(1, lambda fraction: None)
        for pair in self._down[:_SPARSE_LEVELS]:
            box = (slice(0, images.shape[2]),) * 3
            images = self._descend(images, pair, [box], None, silent)
            yield images
            images = F.max_pool3d(images, 2)

    def _descend(
        self, images: Tensor, pair: tuple[_Folded, _Folded], boxes: list[Box], background: Tensor | None,
        count: _Counter,
    ) -> Tensor:  # fmt: skip
        shape = tuple(images.shape[2:])
        out = self._empty((len(images), len(pair[1].bias), *shape))
        if background is not None:
            _fill_from_cube(out, background)
        for box in boxes:
            i, j, k = box
            out[..., i, j, k] = self._pair(_window(images, box, pair[0].weight.shape[1]), box, pair, shape, count)
        return out

    def _ascend(self, coarse: Tensor, skipped: Tensor, level: int, boxes: list[Box], count: _Counter) -> Tensor:
        batch, width, *shape = skipped.shape
        last = level == 0
        if last:
            out = torch.zeros((batch, self.channels_out, *shape), device=self.device)
        else:
            out = self._empty((batch, width, *shape)).zero_()
        rise = self._rise[level]
        for box in boxes:
            both = self._joined(coarse, skipped, rise, box)
            fine = self._pair(both, box, self._up[level], tuple(shape), count)
            i, j, k = box
            out[..., i, j, k] = F.conv3d(fine, self._out.weight, self._out.bias).float() if last else fine
        return out

    def _joined(self, coarse: Tensor, skipped: Tensor, rise: _Folded, box: Box) -> Tensor:
        """Doubled coarse images and the skipped ones, in the box and its surroundings, 0 outside the volume."""
        batch, width, *shape = skipped.shape
        inside, place, outer = _surroundings(box, tuple(shape))
        both = self._empty((batch, 2 * width, *outer))
        if outer != tuple(one.stop - one.start for one in inside):
            both.zero_()
        halved = tuple(slice(one.start // 2, one.stop // 2) for one in inside)
        i, j, k = place
        both[:, :width, i, j, k] = F.conv_transpose3d(
            coarse[..., halved[0], halved[1], halved[2]], rise.weight, rise.bias, stride=2
        )
        both[:, width:, i, j, k] = skipped[..., inside[0], inside[1], inside[2]]
        return both

    def _pair(
        self, images: Tensor, box: Box, pair: tuple[_Folded, _Folded], shape: tuple[int, ...], count: _Counter
    ) -> Tensor:
        """Two convolutions of a window that reaches two voxels beyond the box, each of which takes one of them."""
        middle = F.conv3d(images, pair[0].weight, pair[0].bias).relu_()
        count(len(images) * _voxels(box) * pair[0].operations)
        for axis, (one, n) in enumerate(zip(box, shape, strict=True), start=2):
            # The second convolution sees zeros beyond the border, not what the first would give there.
            if one.start == 0:
                middle.narrow(axis, 0, 1).zero_()
            if one.stop == n:
                middle.narrow(axis, middle.shape[axis] - 1, 1).zero_()
        result = F.conv3d(middle, pair[1].weight, pair[1].bias).relu_()
        count(len(images) * _voxels(box) * pair[1].operations)
        return result

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, device=self.device, dtype=self.dtype, memory_format=torch.channels_last_3d)


class _Counter:
    """Adds up the work and reports its share."""

    def __init__(self, total: int, tick: Callable[[float], None]) -> None:
        self._total, self._tick, self._done = total, tick, 0

    def __call__(self, operations: int) -> None:
        self._done += operations
        self._tick(self._done / self._total)


def _surroundings(box: Box, shape: tuple[int, ...]) -> tuple[Box, Box, _Shape]:
    """Part of the volume within reach of a box, its place in the window, and the window's shape."""
    inside, place, outer = [], [], []
    for one, n in zip(box, shape, strict=True):
        start, stop = max(one.start - _REACH, 0), min(one.stop + _REACH, n)
        offset = start - (one.start - _REACH)
        inside.append(slice(start, stop))
        place.append(slice(offset, offset + stop - start))
        outer.append(one.stop - one.start + 2 * _REACH)
    return tuple(inside), tuple(place), tuple(outer)  # type: ignore[return-value]


def _window(images: Tensor, box: Box, channels: int) -> Tensor:
    """A box and its surroundings, 0 outside the volume and in channels beyond the images' own."""
    inside, place, outer = _surroundings(box, tuple(images.shape[2:]))
    before_and_after = [(p.start, n - p.stop) for p, n in zip(place, outer, strict=True)]
    pads = [one for pair in reversed(before_and_after) for one in pair]
    pads += [0, channels - images.shape[1]]
    part = images[(..., *inside)]
    part = F.pad(part, pads) if any(pads) else part
    return part.contiguous(memory_format=torch.channels_last_3d)


def _fill_from_cube(out: Tensor, cube: Tensor) -> None:
    """Give each voxel the cube's value at the same distance from the border, up to the cube's middle."""
    middle = cube.shape[2] // 2
    sources = []
    for n in out.shape[3:]:
        there = torch.arange(n, device=out.device)
        from_end = (there - n).clamp(min=-middle) + 2 * middle
        sources.append(torch.where(there < n / 2, there.clamp(max=middle - 1), from_end))
    planes = cube[:, :, :, sources[0]][..., sources[1]].contiguous(memory_format=torch.channels_last_3d)
    n = out.shape[2]
    first, last = min(middle, (n + 1) // 2), min(middle, n // 2)
    out[:, :, :first] = planes[:, :, :first]
    out[:, :, first : n - last] = planes[:, :, middle - 1 : middle]
    out[:, :, n - last :] = planes[:, :, 2 * middle - last :]
