"""LBV: background removal as a boundary value problem of Laplace's equation.

Zhou D, Liu T, Spincemaille P, Wang Y. "Background field removal by solving the Laplacian boundary value
problem". NMR Biomed 27:312 (2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..artifacts import Array
from ..box import bounding_box
from ..errors import InputError
from ..progress import Reporter
from .checks import check_field

#: Sweeps from one look at the convergence to the next.
_SWEEPS_PER_CHECK = 5


@dataclass(frozen=True, kw_only=True)
class LbvOptions:
    """Options of :func:`lbv`.

    Parameters
    ----------
    peel_voxels : int
        Layers that are taken off the mask first, where its outermost voxels are noisy: their values spread inwards.
    tolerance : float
        Largest error of the solution that may remain, as a share of the local field (norms). It is estimated from
        above: the true one is more than ten times smaller.
    corrections : int
        Times that the error of the seven-point Laplacian is worked out and undone, 0 as published. With 1, about a
        tenth of the background is left that 0 leaves; it matters most where voxels are long. More changes little.
    maximum_sweeps : int
        Sweeps of each solution after which to stop in any case. About one for each voxel along the brain is needed.
    """

    peel_voxels: int = 0
    tolerance: float = 0.05
    corrections: int = 1
    maximum_sweeps: int = 1000

    def __post_init__(self) -> None:
        if not 0 <= self.peel_voxels <= 100:
            raise InputError("LBV peel", f"{self.peel_voxels} voxels", "0 to 100")
        if not 0 < self.tolerance < 1:
            raise InputError("LBV tolerance", self.tolerance, "a value between 0 and 1")
        if not 0 <= self.corrections <= 50:
            raise InputError("LBV corrections", self.corrections, "0 to 50")
        if not 1 <= self.maximum_sweeps <= 10_000:
            raise InputError("LBV sweeps", self.maximum_sweeps, "1 to 10000")


def lbv(
    total_field: Array,
    mask: Array,
    voxel_size_mm: Sequence[float],
    options: LbvOptions,
    report: Reporter,
) -> tuple[Array, Array]:
    """Remove the field of all sources outside the mask.

    That field is harmonic inside, and on the mask's outermost layer of voxels it is taken to be the whole field. So
    it solves ``∇²b = 0`` with ``b = f`` on that layer, and ``f − b`` is local. Sources near the layer, whose own
    field it holds, come out too weak.

    Parameters
    ----------
    total_field : ndarray, shape (I, J, K)
        Any unit; the result has the same.
    mask : ndarray of bool, shape (I, J, K)
        Where the field is known. Beyond the volume it is not.
    voxel_size_mm : sequence of float
        Along i, j, k, mm.
    options : LbvOptions
        See there.
    report : Reporter
        Progress.

    Returns
    -------
    local_field : ndarray of float32, shape (I, J, K)
        0 outside ``field_mask``.
    field_mask : ndarray of bool, shape (I, J, K)
        Mask without the peeled and the outermost layer.

    Raises
    ------
    InputError
        If shapes differ or no voxel is left.
    """
    check_field(total_field, mask, voxel_size_mm)
    crop = bounding_box(mask)
    inside = _eroded(mask[crop], options.peel_voxels + 1)
    if not inside.any():
        raise InputError("mask", f"no voxel deeper than {options.peel_voxels + 1}", "a mask with an inside",
                         "Check the mask, or peel less.")  # fmt: skip
    known = _eroded(mask[crop], options.peel_voxels)
    field = total_field[crop].astype(np.float32)
    local, field_mask = np.zeros(mask.shape, np.float32), np.zeros(mask.shape, np.bool_)
    local[crop] = np.where(inside, field - _harmonic(field, known, inside, voxel_size_mm, options, report), 0)
    field_mask[crop] = inside
    return local, field_mask


def _harmonic(
    field: Array, known: Array, inside: Array, voxel_size_mm: Sequence[float], options: LbvOptions, report: Reporter
) -> Array:
    """Solution of Laplace's equation inside with the field's values on the known layer around.

    The seven-point Laplacian is solved; its error, worked out from each solution, stands on the right-hand side of
    the next. All start at the total field, from which only the local field has to go.
    """
    from ._kernels import cross_terms

    inverse = 1 / np.square(np.asarray(voxel_size_mm, np.float64))
    weights: tuple[Any, ...] = tuple(np.float32(weight) for weight in inverse / (2 * inverse.sum()))
    values, fixed, rounds = field.copy(), np.zeros_like(field), options.corrections + 1
    for done in range(rounds):
        if done:
            cross_terms(values, known, inside, weights, np.eye(3, dtype=np.int64), fixed)
        _relax(values, field, inside, fixed, weights, options, report.span(done / rounds, (done + 1) / rounds))
    return values


def _relax(
    values: Array,
    field: Array,
    inside: Array,
    fixed: Array,
    weights: tuple[Any, ...],
    options: LbvOptions,
    report: Reporter,
) -> None:
    """Successive over-relaxation in two colours with Chebyshev's sequence of factors, in place.

    The number of sweeps grows with the diameter alone, and nothing is stored but the solution
    (Golub & Varga, Numer Math 3:147, 1961).
    """
    from ._kernels import relax

    radius = _spectral_radius(inside.shape, weights)
    expected = np.log(1 / options.tolerance) / np.sqrt(2 * (1 - radius))
    rounding = 4 * np.finfo(np.float32).eps * np.linalg.norm(field[inside])
    factor = 1.0
    for sweep in range(options.maximum_sweeps):
        squares = 0.0
        for parity in (0, 1):
            squares += relax(values, inside, fixed, weights, np.float32(factor), parity)
            factor = 1 / (1 - radius**2 * (0.25 * factor if sweep or parity else 0.5))
        if sweep % _SWEEPS_PER_CHECK:
            continue
        report("LBV", sweep / expected)
        # Changes that shrink by factor − 1 with each sweep sum up to this many times the last.
        following = factor / (2 - factor)
        local = np.linalg.norm((field - values)[inside])
        if np.sqrt(squares) <= options.tolerance * local / following + rounding:
            break
    report("LBV", 1.0)


def _spectral_radius(shape: Sequence[int], weights: Sequence[float]) -> float:
    """Of one Jacobi step in a box, whose slowest mode is one half wave: no smaller than that of a mask in the box."""
    return float(sum(2 * weight * np.cos(np.pi / n) for weight, n in zip(weights, shape, strict=True)))


def _eroded(mask: Array, layers: int) -> Array:
    """Mask without the voxels that are up to so many steps across faces away from the outside."""
    from scipy.ndimage import binary_erosion

    return np.asarray(binary_erosion(mask, iterations=layers)) if layers else mask
