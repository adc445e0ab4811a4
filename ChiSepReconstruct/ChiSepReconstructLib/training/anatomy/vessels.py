"""Veins: trees of tubes that wander and branch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .head import Box, Head, material
from .separable import Volume
from .tissues import BLOOD

Points = NDArray[np.float64]
_WHOLE: Box = (slice(None), slice(None), slice(None))

#: Sinuses and great veins as lines through MNI points with their radius, mm: superior sagittal sinus, straight sinus
#: with the great vein, internal cerebral veins, thalamostriate and basal veins.
_LINES: tuple[tuple[float, tuple[tuple[float, float, float], ...]], ...] = (
    (3.0, ((0, 62, 30), (0, 45, 55), (0, 20, 70), (0, -15, 77), (0, -50, 76), (0, -80, 55), (0, -98, 20))),
    (3.0, ((0, -98, 20), (0, -100, -8))),
    (1.8, ((0, -38, 2), (0, -48, 6), (0, -65, 0), (0, -85, -6))),
    (0.9, ((2, 2, 12), (2, -15, 15), (2, -30, 11), (0, -38, 2))),
    (0.9, ((-2, 2, 12), (-2, -15, 15), (-2, -30, 11), (0, -38, 2))),
    (0.7, ((2, 2, 12), (8, 6, 18), (14, -2, 20), (18, -14, 20))),
    (0.7, ((-2, 2, 12), (-8, 6, 18), (-14, -2, 20), (-18, -14, 20))),
    (0.8, ((14, 0, -18), (16, -14, -12), (12, -26, -4), (0, -38, 2))),
    (0.8, ((-14, 0, -18), (-16, -14, -12), (-12, -26, -4), (0, -38, 2))),
)  # fmt: skip


@dataclass(frozen=True)
class TreeKind:
    """How trees of one kind grow.

    Parameters
    ----------
    radius_mm : tuple of float
        Smallest and largest of a trunk, mm.
    step_mm, steps
        Length of a straight piece, mm, and pieces of a trunk.
    wander : float
        Share of each new direction that is random.
    branching : float
        Chance of a branch at each step.
    keeps_depth : bool
        Whether it runs along the surface of the brain.
    """

    radius_mm: tuple[float, float]
    step_mm: float
    steps: int
    wander: float
    branching: float
    keeps_depth: bool


SURFACE = TreeKind((0.4, 1.6), 2.5, 22, 0.35, 0.10, True)
DEEP = TreeKind((0.25, 0.6), 2.0, 16, 0.12, 0.08, False)


def grow(roots: Points, middle: Points, kind: TreeKind, rng: np.random.Generator) -> tuple[Points, Points, Points]:
    """Grow trees from their roots.

    Parameters
    ----------
    roots : ndarray, shape (N, 3)
        mm.
    middle : ndarray, shape (3,)
        Of the brain, mm: surface trees run across the direction from it, deep ones begin along it.
    kind : TreeKind
        How.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    starts, ends : ndarray, shape (M, 3)
        Of straight pieces, mm.
    radii : ndarray, shape (M,)
        mm.
    """
    place, radius = roots.copy(), rng.uniform(*kind.radius_mm, len(roots))
    heading = _unit(rng.standard_normal(place.shape)) if kind.keeps_depth else _unit(middle - place)
    pieces = []
    for _ in range(kind.steps):
        heading = _unit(heading + kind.wander * rng.standard_normal(place.shape))
        if kind.keeps_depth:
            outwards = _unit(place - middle)
            heading = _unit(heading - outwards * np.sum(heading * outwards, axis=1, keepdims=True))
        end = place + kind.step_mm * heading
        pieces.append((place, end, radius))
        place, radius = end, radius * 0.98
        branches = rng.random(len(place)) < kind.branching
        turned = _unit(heading[branches] + 0.8 * rng.standard_normal((int(branches.sum()), 3)))
        place, heading = np.concatenate([place, place[branches]]), np.concatenate([heading, turned])
        radius = np.concatenate([radius, 0.7 * radius[branches]])
    starts, ends, radii = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return starts, ends, radii


def add_veins(head: Head, template_mm: Volume | None, rng: np.random.Generator, variation: float) -> None:
    """Draw veins into a head: sinuses and great veins by the template if it is given, and random trees.

    Parameters
    ----------
    head : Head
        Changed in place.
    template_mm : ndarray, shape (3, I, J, K), optional
        MNI coordinates of each fourth voxel.
    rng : numpy.random.Generator
        Source of randomness.
    variation : float
        Factor of the spread of blood's susceptibility.
    """
    surface, inside = _random_roots(head, rng, int(rng.integers(25, 90)), int(rng.integers(20, 120)))
    middle = np.array([axis.mean() for axis in head.axes_mm])
    trees = [grow(surface, middle, SURFACE, rng), grow(inside, middle, DEEP, rng)]
    if template_mm is not None:
        trees += [_line(head, template_mm, radius, points, rng) for radius, points in _LINES]
    share = np.zeros(head.brain.shape, np.float32)
    for tree in trees:
        _draw(head, tree, share)
    share *= head.brain
    values = material(BLOOD, rng, variation=variation)
    values["relaxivity_para"] = values["relaxivity_dia"] = float(rng.uniform(0.3, 1.0))
    head.paint(_WHOLE, share, values)
    head.mark(_WHOLE, share, "vein")


def _draw(head: Head, tree: tuple[Points, Points, Points], share: Volume) -> None:
    from ._kernels import draw_tubes

    size = head.voxel_size_mm
    first = np.array([axis[0] for axis in head.axes_mm])
    starts, ends, radii = tree
    draw_tubes(share, *(np.ascontiguousarray((p - first) / size, np.float32) for p in (starts, ends)),
               (radii / size).astype(np.float32))  # fmt: skip


def _random_roots(head: Head, rng: np.random.Generator, surface: int, inside: int) -> tuple[Points, Points]:
    """Places at the brain's surface and in it, mm."""
    from scipy.ndimage import binary_erosion

    step = 3
    coarse = head.brain[::step, ::step, ::step]
    core = binary_erosion(coarse, iterations=2)
    first = np.array([axis[0] for axis in head.axes_mm])

    def drawn(mask: NDArray[np.bool_], count: int) -> Points:
        voxels = np.argwhere(mask)
        chosen = voxels[rng.integers(0, len(voxels), count)]
        return first + (chosen * step + rng.uniform(0, step, chosen.shape)) * head.voxel_size_mm

    return drawn(coarse & ~core, surface), drawn(core, inside)


def _line(
    head: Head, template_mm: Volume, radius_mm: float, points: tuple[tuple[float, float, float], ...],
    rng: np.random.Generator,
) -> tuple[Points, Points, Points]:  # fmt: skip
    """Pieces of a vein through points of the template, shaken a little."""
    places = np.array([_locate(head, template_mm, np.array(point) + rng.normal(0, 0.7, 3)) for point in points])
    radii = np.full(len(places) - 1, radius_mm * rng.uniform(0.6, 1.2))
    return places[:-1], places[1:], radii


def _locate(head: Head, template_mm: Volume, point_mm: Points) -> Points:
    """Place in the head, mm, of a point of the template."""
    step = -(-head.brain.shape[0] // template_mm.shape[1])
    apart = template_mm - point_mm[:, None, None, None].astype(np.float32)
    nearest = np.unravel_index(np.argmin(np.einsum("cijk,cijk->ijk", apart, apart)), apart.shape[1:])
    return np.array([axis[step * index] for axis, index in zip(head.axes_mm, nearest, strict=True)])


def _unit(vectors: Points) -> Points:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
