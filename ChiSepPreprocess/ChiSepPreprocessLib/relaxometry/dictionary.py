"""R2 by comparing spin echoes with a dictionary of decays over R2 and the transmit field B1.

Ben-Eliezer et al. (MRM 2015;73:809-817) match each decay to simulated ones, which leaves the amplitude out. B1
varies slowly over the head, so that one B1 is fitted to all decays of a neighbourhood together, each with
an R2 and an amplitude of its own; that keeps the noise of B1 out of R2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..artifacts import Array
from ..box import Box, bounding_box
from ..progress import Reporter
from ..threads import in_slabs
from .decay import VOXELS
from .epg import WHOLE_SLICE, Doubles, SubSlice, echo_amplitudes

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SHORTEST_T2_S, _LONGEST_T2_S, _RATES = 0.005, 2.0, 192
_LOWEST_B1, _HIGHEST_B1 = 0.5, 1.2
_B1_STEP = 0.01
#: The misfit of many voxels together is interpolated between fewer atoms: B1 to 0.002, R2 to 0.1 %.
_POOLED_B1_STRIDE, _POOLED_RATE_STRIDE = 4, 3
#: Decays are pooled in blocks of this share of the smoothing's standard deviation.
_BLOCK_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Train:
    """A spin-echo train and the echoes of it that were imaged.

    Parameters
    ----------
    echo_spacing_s : float
        s.
    echoes : tuple of int
        Which echoes were imaged, from 1.
    refocusing_angles_deg : tuple of float
        Nominal angle of each pulse, degrees; the last one stands for all that follow.
    t1_s : float
        s.
    sub_slices : tuple of (weight, excitation, refocusing)
        Parts of the slice, see :func:`.epg.slice_profile`.
    """

    echo_spacing_s: float
    echoes: tuple[int, ...]
    refocusing_angles_deg: tuple[float, ...] = (180.0,)
    t1_s: float = 1.2
    sub_slices: tuple[SubSlice, ...] = WHOLE_SLICE

    def signals(self, rates_per_s: Doubles, b1: Doubles) -> Doubles:
        """Signals of the imaged echoes, shape (..., echo)."""
        count = max(self.echoes)
        given = self.refocusing_angles_deg[:count]
        angles = given + given[-1:] * (count - len(given))
        whole = echo_amplitudes(
            rates_per_s, b1, angles, self.echo_spacing_s, t1_s=self.t1_s, sub_slices=self.sub_slices
        )
        return whole[..., np.array(self.echoes) - 1]

    @property
    def b1_range(self) -> tuple[float, float]:
        """B1 that the echoes tell apart: angles α and 360° − α refocus alike, unless a slice mixes many."""
        if len(self.sub_slices) > 1:
            return _LOWEST_B1, _HIGHEST_B1
        return _LOWEST_B1, min(_HIGHEST_B1, 180.0 / max(self.refocusing_angles_deg))


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Decays of unit norm.

    Parameters
    ----------
    rates_per_s : ndarray, shape (R,)
        R2 in 1/s, geometric.
    b1 : ndarray, shape (B,)
        Evenly spaced.
    atoms : ndarray, shape (B, R, E)
        Unit norm along the echoes.
    """

    rates_per_s: Doubles
    b1: Doubles
    atoms: Doubles

    @classmethod
    def of(cls, train: Train, lowest_b1: float, highest_b1: float) -> Dictionary:
        """Decays over a range of B1, and over R2 as far as the echoes tell it."""
        rates = np.geomspace(1 / _LONGEST_T2_S, 1 / _SHORTEST_T2_S, _RATES)
        steps = max(int(np.ceil((highest_b1 - lowest_b1) / _B1_STEP - 1e-6)), 1)
        b1 = np.linspace(lowest_b1, max(highest_b1, lowest_b1 + 1e-3), steps + 1)
        signals = train.signals(rates, b1[:, None])
        known = _unambiguous(signals)
        signals = np.abs(signals[:, :known])
        return cls(rates[:known], b1, signals / np.linalg.norm(signals, axis=-1, keepdims=True))

    @property
    def overlap(self) -> Doubles:
        """Correlation of atoms that are neighbours in B1, shape (B − 1, R)."""
        return np.asarray(np.einsum("bre,bre->br", self.atoms[:-1], self.atoms[1:]))

    def thinned(self, b1_stride: int, rate_stride: int) -> Dictionary:
        """Every so many nodes of B1, the last one among them, and every so many rates."""
        nodes = slice((self.b1.size - 1) % b1_stride, None, b1_stride)
        rates = slice(None, None, rate_stride)
        return Dictionary(self.rates_per_s[rates], self.b1[nodes], np.ascontiguousarray(self.atoms[nodes, rates]))

    def rate_at(self, index: Doubles) -> Doubles:
        """R2 at a fractional index, 1/s; 0 below the first atom, infinite above the last."""
        last = self.rates_per_s.size - 1
        growth = np.log(self.rates_per_s[-1] / self.rates_per_s[0]) / last
        rates = self.rates_per_s[0] * np.exp(growth * index)
        return np.where(index < 0, 0.0, np.where(index > last, np.inf, rates))


def _unambiguous(signals: Doubles) -> int:
    """How many rates two echoes tell apart: at high R2 stimulated echoes end the fall of the later one."""
    count = signals.shape[1]
    if signals.shape[2] > 2:
        return count
    falls = np.all(np.diff(signals[..., 1] / signals[..., 0], axis=1) < 0, axis=0)
    return count if falls.all() else max(int(np.argmin(falls)) + 1, 3)


def match_rates(samples: Floats, dictionary: Dictionary, b1: Array, report: Reporter) -> Floats:
    """R2 of each decay at its known B1.

    Parameters
    ----------
    samples : ndarray, shape (N, E)
        Magnitudes.
    dictionary : Dictionary
        Decays.
    b1 : ndarray, shape (N,)
        Actual over nominal angle.
    report : Reporter
        For progress and cancelling.

    Returns
    -------
    ndarray, shape (N,)
        R2 in 1/s; 0 and infinity beyond the dictionary's ends, NaN without signal.
    """
    from ._matching_kernels import match

    step = dictionary.b1[1] - dictionary.b1[0]
    places = np.clip((b1 - dictionary.b1[0]) / step, 0, dictionary.b1.size - 1).astype(np.float64)
    index = np.empty(len(samples))
    in_slabs(match, len(samples), samples, dictionary.atoms, dictionary.overlap, places, index,
             thickness=VOXELS, report=report, step="r2")  # fmt: skip
    return dictionary.rate_at(index).astype(np.float32)


def fit_b1(samples: Floats, dictionary: Dictionary, report: Reporter) -> Doubles:
    """B1 of each decay by itself, shape (N,); noisy, and R2 takes the noise over."""
    from ._matching_kernels import add_misfit

    found = np.empty(len(samples))
    overlap = dictionary.overlap

    def work(first: int, last: int) -> None:
        misfit = np.zeros((last - first, dictionary.b1.size))
        add_misfit(0, last - first, samples[first:last], dictionary.atoms, overlap, np.arange(len(misfit)), misfit)
        found[first:last] = _lowest(misfit, dictionary.b1)

    in_slabs(work, len(samples), thickness=VOXELS, report=report, step="r2")
    return found


def fit_smooth_b1(
    samples: Floats, mask: Mask, voxel_size_mm: Sequence[float], smoothing_mm: float, dictionary: Dictionary,
    report: Reporter,
) -> Doubles:  # fmt: skip
    """B1 of each decay from its neighbourhood.

    Squared misfits, each with the best R2 and amplitude of its voxel, add up over a Gaussian neighbourhood;
    their minimum is the most likely B1 if B1 were the same there. Unlike smoothing a map of B1, this weighs
    voxels by what they know and is not drawn away from the ends of the range.

    Parameters
    ----------
    samples : ndarray, shape (N, E)
        Decays of the masked voxels in C order.
    mask : ndarray of bool, shape (I, J, K)
        N voxels inside.
    voxel_size_mm : sequence of float
        mm.
    smoothing_mm : float
        Standard deviation of the neighbourhood, mm.
    dictionary : Dictionary
        Decays.
    report : Reporter
        For progress and cancelling.

    Returns
    -------
    ndarray, shape (N,)
        Actual over nominal angle.
    """
    from scipy import ndimage

    voxels_per_block = [max(int(_BLOCK_SHARE * smoothing_mm / size), 1) for size in voxel_size_mm]
    coarse = dictionary.thinned(_POOLED_B1_STRIDE, _POOLED_RATE_STRIDE)
    sigma = [smoothing_mm / (n * size) for n, size in zip(voxels_per_block, voxel_size_mm, strict=True)]
    inside = mask[_whole_blocks(mask, voxels_per_block)]
    index = np.nonzero(inside)
    shape = [-(-n // size) for n, size in zip(inside.shape, voxels_per_block, strict=True)]
    blocks = [axis // size for axis, size in zip(index, voxels_per_block, strict=True)]
    misfit = _block_misfit(samples, blocks, shape, coarse, report)
    pooled, b1_of_blocks, b1 = np.empty_like(misfit), np.empty(shape), np.empty(len(samples))

    def pool(first: int, last: int) -> None:
        ndimage.gaussian_filter(misfit[..., first:last], (*sigma, 0), output=pooled[..., first:last], mode="constant")

    def minimise(first: int, last: int) -> None:
        b1_of_blocks[first:last] = _lowest(pooled[first:last], coarse.b1)

    def interpolate(first: int, last: int) -> None:
        places = [(axis[first:last] + 0.5) / n - 0.5 for axis, n in zip(index, voxels_per_block, strict=True)]
        ndimage.map_coordinates(b1_of_blocks, places, output=b1[first:last], order=1, mode="nearest")

    in_slabs(pool, coarse.b1.size)
    in_slabs(minimise, shape[0])
    in_slabs(interpolate, len(b1), thickness=VOXELS)
    return b1


def _whole_blocks(mask: Mask, voxels_per_block: Sequence[int]) -> Box:
    """Box around the mask that begins where a block of the volume does, with one block to spare."""
    i, j, k = (
        slice(max(span.start // n - 1, 0) * n, span.stop + n)
        for span, n in zip(bounding_box(mask), voxels_per_block, strict=True)
    )
    return i, j, k


def _block_misfit(
    samples: Floats, blocks: Sequence[Array], shape: Sequence[int], dictionary: Dictionary, report: Reporter
) -> Doubles:
    """Sum of squared misfits of the samples in each block, shape (blocks, blocks, blocks, B1)."""
    from ._matching_kernels import add_misfit

    misfit = np.zeros((*shape, dictionary.b1.size))
    rows, sums = np.ravel_multi_index(tuple(blocks), tuple(shape)), misfit.reshape(-1, dictionary.b1.size)
    starts, overlap = np.searchsorted(blocks[0], np.arange(shape[0] + 1)), dictionary.overlap

    def work(first: int, last: int) -> None:
        add_misfit(starts[first], starts[last], samples, dictionary.atoms, overlap, rows, sums)

    # Whole planes of blocks for each call: no two threads add to the same block.
    in_slabs(work, shape[0], thickness=1, report=report, step="r2")
    return misfit


def _lowest(misfit: Doubles, nodes: Doubles) -> Doubles:
    """B1 at the minimum along the last axis, by the parabola through three nodes.

    The parabola is one of cos²(α/2), with which stimulated echoes grow; where α nears 180° B1 itself goes as
    its root, and a parabola of B1 would miss. The last node stands for 180°.
    """
    lowest = np.clip(np.argmin(misfit, axis=-1), 1, nodes.size - 2)[..., None]
    around = [np.take_along_axis(misfit, lowest + shift, axis=-1)[..., 0] for shift in (-1, 0, 1)]
    share = np.cos(np.pi / 2 * nodes / nodes[-1]) ** 2
    at = [share[lowest[..., 0] + shift] for shift in (-1, 0, 1)]
    before, after = (around[0] - around[1]) / (at[0] - at[1]), (around[2] - around[1]) / (at[2] - at[1])
    bend = (after - before) / (at[2] - at[0])
    place = np.where(bend > 0, (at[0] + at[1]) / 2 - before / np.where(bend > 0, 2 * bend, 1), at[1])
    inside = np.clip(place, np.minimum(at[0], at[2]), np.maximum(at[0], at[2]))
    return np.asarray(np.arccos(np.sqrt(inside)) * 2 / np.pi * nodes[-1])
