"""Laplacian unwrapping: the smooth phase whose Laplacian the wrapped phase has.

Schofield MA, Zhu Y. "Fast phase unwrapping algorithm for interferometric applications".
Opt Lett 28:1194 (2003): φ = L⁻¹[cos φ L(sin φ) − sin φ L(cos φ)].

On the seven-point stencil the bracket is Σ sin(φ′ − φ)/h² over the neighbours, which shrinks the
curvature by the cosine of the local phase step. Here the steps themselves take the place of their
sines: wrapped in the first echo, where they must not exceed π, and nearest to TE/TE′ times the step
of the echo before in the others. For one box that is the least-squares solution of Ghiglia DC,
Romero LA, J Opt Soc Am A 11:107 (1994), who also give L⁻¹ by the cosine transform.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..artifacts import Array
from ..box import Box, bounding_box
from ..errors import InputError
from ..progress import Reporter
from ..quantities import TWO_PI
from ..threads import in_slabs
from .echoes import check_echoes


@dataclass(frozen=True, kw_only=True)
class LaplacianOptions:
    """Options of :func:`unwrap`.

    Parameters
    ----------
    padding_mm : float
        Empty room around the mask's box, at whose end the solution is mirrored. Without it the
        error is least: none at all for a mask that fills its box.
    """

    padding_mm: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.padding_mm <= 500:
            raise InputError("Laplacian padding", f"{self.padding_mm} mm", "0 to 500 mm")


def unwrap(
    phase: Array,
    echo_times_s: Sequence[float],
    mask: Array,
    voxel_size_mm: Sequence[float],
    options: LaplacianOptions,
    report: Reporter,
) -> Array:
    """Unwrap multi-echo phase inexactly: a fallback where region growing fails.

    The result does not differ from ``phase`` by multiples of 2π. Its Laplacian is right inside the
    mask (where all six neighbours are in it), so that what is wrong is a harmonic field, which
    background removal takes away with the rest; before that, gradients and the total field are
    not to be trusted near the mask's border. Each echo gets the constant with which it lies best
    on the wrapped phase, and the multiple of 2π with which it lies nearest the echo before it.

    Parameters
    ----------
    phase : ndarray, shape (I, J, K, E)
        rad; proportional to the echo time.
    echo_times_s : sequence of float
        E times, s.
    mask : ndarray of bool, shape (I, J, K)
        What to unwrap. Voxels with NaN phase are left out.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : LaplacianOptions
        See there.
    report : Reporter
        Progress.

    Returns
    -------
    ndarray of float32, shape (I, J, K, E)
        rad; 0 outside the mask.

    Raises
    ------
    InputError
        If the arrays do not belong together.
    """
    from ._kernels import keep_finite

    check_echoes(phase, None, echo_times_s, mask)
    box = bounding_box(mask)
    boxed, inside = np.asarray(phase[box], np.float32), mask[box].copy(order="C")
    in_slabs(keep_finite, inside.shape[0], boxed, inside)
    if not inside.any():
        raise InputError("phase", "no finite value inside the mask", "phase in rad")
    report("unwrap", 0.0, "Laplacian")
    ratios = np.asarray([1, *(after / before for before, after in pairwise(echo_times_s))], np.float32)
    sources, middle = _sources(boxed, ratios, inside, voxel_size_mm, options.padding_mm)
    unwrapped = np.zeros(phase.shape, np.float32)
    values = np.zeros(int(inside.sum()), np.float32)
    for echo, ratio in enumerate(ratios):
        report("unwrap", (echo + 1) / (len(ratios) + 1), f"echo {echo + 1} of {len(ratios)}")
        shape = _solve(sources[echo], voxel_size_mm)[middle][inside]
        values = _placed(shape, boxed[..., echo][inside], ratio * values)
        unwrapped[box][inside, echo] = values
    report("unwrap", 1.0)
    return unwrapped


def _sources(
    phase: Array, ratios: Array, mask: Array, voxel_size_mm: Sequence[float], padding_mm: float
) -> tuple[Array, Box]:
    """Laplacian of every echo, (E, padded I, J, K), and where the unpadded box lies in it."""
    from scipy.fft import next_fast_len

    from ._kernels import phase_laplacians

    pads = [int(np.ceil(padding_mm / size)) for size in voxel_size_mm]
    padded = [next_fast_len(n + 2 * pad, real=True) if pad else n for n, pad in zip(mask.shape, pads, strict=True)]
    i, j, k = (slice(pad, pad + n) for n, pad in zip(mask.shape, pads, strict=True))
    sources = np.zeros((ratios.size, *padded), np.float32)
    per_square_mm = np.asarray([1 / size**2 for size in voxel_size_mm], np.float32)
    in_slabs(phase_laplacians, mask.shape[0], phase, ratios, mask, per_square_mm, sources[:, i, j, k])
    return sources, (i, j, k)


def _solve(source: Array, voxel_size_mm: Sequence[float]) -> Array:
    """Solution of the mirrored Poisson equation up to a constant, (I, J, K)."""
    from scipy.fft import dctn, idctn

    spectrum = dctn(source, workers=-1)
    eigenvalues = np.zeros((1, 1, 1), np.float32)
    for axis, (n, size) in enumerate(zip(source.shape, voxel_size_mm, strict=True)):
        along = ((2 * np.cos(np.pi * np.arange(n) / n) - 2) / size**2).astype(np.float32)
        eigenvalues = eigenvalues + along.reshape([-1 if other == axis else 1 for other in range(3)])
    eigenvalues[0, 0, 0] = np.inf
    spectrum /= eigenvalues
    return np.asarray(idctn(spectrum, workers=-1, overwrite_x=True))


def _placed(values: Array, wrapped: Array, expected: Array) -> Array:
    """Add the constant that agrees with the wrapped phase and lies nearest to what is expected."""
    misfit = np.angle(np.exp(1j * (wrapped - values)).sum(dtype=np.complex128))
    placed = values + np.float32(misfit)
    turns = np.rint(np.median(expected - placed) / TWO_PI)
    return placed + np.float32(TWO_PI * turns)
