"""Compiled loops of the brain extraction; import only inside functions, as numba takes long to load.

Points are in mm along the voxel axes, with voxel (0, 0, 0) at the origin; images are
sampled with linear interpolation.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..artifacts import Array

#: Depth to which the dark, and the bright, side of an edge is looked for, mm.
DARK_DEPTH_MM = 7
BRIGHT_DEPTH_MM = 3
#: Radii of curvature between which smoothing sets in, mm (Smith 2002).
SMALLEST_RADIUS_MM = 3.33
LARGEST_RADIUS_MM = 10.0
#: Share of the edge length by which the image may move a vertex in one step: 0.5 × 0.1.
IMAGE_FORCE = 0.05


Vector = tuple[float, float, float]


@njit(cache=True, nogil=True)
def _dot(one: Vector, two: Vector) -> float:
    return one[0] * two[0] + one[1] * two[1] + one[2] * two[2]


@njit(cache=True, nogil=True)
def _cross(one: Vector, two: Vector) -> Vector:
    return (
        one[1] * two[2] - one[2] * two[1],
        one[2] * two[0] - one[0] * two[2],
        one[0] * two[1] - one[1] * two[0],
    )


@njit(cache=True, nogil=True)
def _plus(one: Vector, factor: float, two: Vector) -> Vector:
    return one[0] + factor * two[0], one[1] + factor * two[1], one[2] + factor * two[2]


@njit(cache=True, nogil=True)
def _point(points: Array, vertex: int) -> Vector:
    return points[vertex, 0], points[vertex, 1], points[vertex, 2]


@njit(cache=True, nogil=True)
def _edge(points: Array, start: int, end: int) -> Vector:
    return _plus(_point(points, end), -1.0, _point(points, start))


@njit(cache=True, nogil=True)
def _is_inside(image: Array, place: Vector) -> bool:
    """Whether the eight voxels around voxel coordinates lie in the volume."""
    return (
        0 <= place[0] < image.shape[0] - 1 and 0 <= place[1] < image.shape[1] - 1 and 0 <= place[2] < image.shape[2] - 1
    )


@njit(cache=True, nogil=True)
def _sample(image: Array, place: Vector) -> float:
    """Linear interpolation at voxel coordinates that lie inside."""
    i, j, k = int(place[0]), int(place[1]), int(place[2])
    u, v, w = np.float32(place[0] - i), np.float32(place[1] - j), np.float32(place[2] - k)
    low, high = image[i, j, k], image[i + 1, j, k]
    a = low + u * (high - low)
    low, high = image[i, j + 1, k], image[i + 1, j + 1, k]
    b = low + u * (high - low)
    low, high = image[i, j, k + 1], image[i + 1, j, k + 1]
    c = low + u * (high - low)
    low, high = image[i, j + 1, k + 1], image[i + 1, j + 1, k + 1]
    d = low + u * (high - low)
    a += v * (b - a)
    c += v * (d - c)
    return a + w * (c - a)


@njit(cache=True, nogil=True)
def _image_force(image: Array, per_mm: Array, point: Vector, normal: Vector, levels: Array, bt: float) -> float:
    """Smith's f3: positive inside the brain, negative outside, 0 where the depth leaves the volume."""
    lowest, median, threshold = levels
    place = point[0] * per_mm[0], point[1] * per_mm[1], point[2] * per_mm[2]
    inward = -normal[0] * per_mm[0], -normal[1] * per_mm[1], -normal[2] * per_mm[2]
    # A line between two points of the volume stays in it.
    if not (_is_inside(image, place) and _is_inside(image, _plus(place, DARK_DEPTH_MM, inward))):
        return 0.0
    dark, bright = median, threshold
    for depth in range(1, DARK_DEPTH_MM + 1):
        value = _sample(image, _plus(place, depth, inward))
        dark = min(dark, value)
        if depth <= BRIGHT_DEPTH_MM:
            bright = max(bright, value)
    dark, bright = max(dark, lowest), min(bright, median)
    local_threshold = lowest + bt * (bright - lowest)
    return 2 * (dark - local_threshold) / max(bright - lowest, 1e-12)


@njit(cache=True, nogil=True)
def _neighbourhood(points: Array, vertex: int, ring: Array) -> tuple[Vector, Vector]:
    """Vector to the neighbours' mean, and the unit normal of the fan that they span."""
    count = 5 if ring[5] < 0 else 6
    mean = (0.0, 0.0, 0.0)
    normal = (0.0, 0.0, 0.0)
    before = _edge(points, vertex, ring[count - 1])
    for place in range(count):
        edge = _edge(points, vertex, ring[place])
        mean = _plus(mean, 1.0 / count, edge)
        normal = _plus(normal, 1.0, _cross(before, edge))
        before = edge
    return mean, _plus((0.0, 0.0, 0.0), 1.0 / max(math.sqrt(_dot(normal, normal)), 1e-12), normal)


@njit(cache=True, nogil=True)
def mean_edge_mm(points: Array, neighbours: Array) -> float:
    """Mean distance of neighbouring vertices."""
    total, count = 0.0, 0
    for vertex in range(len(points)):
        for neighbour in neighbours[vertex]:
            if neighbour >= 0:
                edge = _edge(points, vertex, neighbour)
                total += math.sqrt(_dot(edge, edge))
                count += 1
    return total / count


@njit(cache=True, nogil=True)
def deform(
    points: Array, neighbours: Array, image: Array, per_mm: Array, levels: Array, bt: float, slope: Array,
    centre: Array, stiffness: Array,
) -> Array:  # fmt: skip
    """Move the surface ``len(stiffness)`` steps (Smith 2002, section "Main iterated loop").

    Parameters
    ----------
    points : ndarray, shape (V, 3)
        mm.
    neighbours : ndarray of int, shape (V, 6)
        Ordered, −1 where there is no sixth.
    image : ndarray, shape (I, J, K)
        Magnitude.
    per_mm : ndarray, shape (3,)
        Voxels per mm along i, j, k.
    levels : ndarray, shape (3,)
        t2, tm and t of the paper.
    bt : float
        Local threshold between dark (0) and bright (1) at ``centre``.
    slope : ndarray, shape (3,)
        Gradient of ``bt``, 1/mm.
    centre : ndarray, shape (3,)
        mm.
    stiffness : ndarray, shape (steps,)
        Factor of the outward smoothing in each step.

    Returns
    -------
    ndarray, shape (V, 3)
        mm.
    """
    middle = (1 / SMALLEST_RADIUS_MM + 1 / LARGEST_RADIUS_MM) / 2
    sharpness = 6 / (1 / SMALLEST_RADIUS_MM - 1 / LARGEST_RADIUS_MM)
    edge = mean_edge_mm(points, neighbours)
    tilt, origin = (slope[0], slope[1], slope[2]), (centre[0], centre[1], centre[2])
    for factor in stiffness:
        moved = np.empty_like(points)
        for vertex in range(len(points)):
            point = _point(points, vertex)
            to_mean, normal = _neighbourhood(points, vertex, neighbours[vertex])
            outward = _dot(to_mean, normal)
            smooth = (1 + math.tanh(sharpness * (2 * abs(outward) / edge**2 - middle))) / 2
            if outward > 0:
                smooth = min(factor * smooth, 1.0)
            local = min(max(bt + _dot(tilt, _plus(point, -1.0, origin)), 0.0), 1.0)
            force = IMAGE_FORCE * edge * _image_force(image, per_mm, point, normal, levels, local)
            # Half of the tangential part, then the smoothing and the image along the normal.
            shifted = _plus(_plus(point, 0.5, to_mean), (smooth - 0.5) * outward + force, normal)
            moved[vertex, 0], moved[vertex, 1], moved[vertex, 2] = shifted
        points = moved
    return points


@njit(cache=True, nogil=True)
def sink(points: Array, neighbours: Array, depth_mm: float) -> Array:
    """Move every vertex inward along its normal."""
    sunk = np.empty_like(points)
    for vertex in range(len(points)):
        _, normal = _neighbourhood(points, vertex, neighbours[vertex])
        sunk[vertex, 0], sunk[vertex, 1], sunk[vertex, 2] = _plus(_point(points, vertex), -depth_mm, normal)
    return sunk


@njit(cache=True, nogil=True)
def self_intersection(points: Array, sphere: Array, neighbours: Array) -> float:
    """Score of vertices that are closer than an edge now but were not on the sphere."""
    edge, sphere_edge = mean_edge_mm(points, neighbours), mean_edge_mm(sphere, neighbours)
    score = 0.0
    for one in range(len(points)):
        for two in range(one):
            gap = _edge(points, one, two)
            near = _dot(gap, gap)
            if near < edge**2:
                chord = _edge(sphere, one, two)
                score += (math.sqrt(near) / edge - math.sqrt(_dot(chord, chord)) / sphere_edge) ** 2
    return score


@njit(cache=True, nogil=True)
def voxelise(points: Array, faces: Array, shape: tuple[int, int, int]) -> Array:
    """Mark the voxels whose centre lies inside a closed surface, given in voxel coordinates.

    Each grid line along i crosses the surface an even number of times; every crossing flips the voxels beyond it.
    """
    mask = np.zeros(shape, dtype=np.bool_)
    for face in faces:
        a, b, c = points[face[0]], points[face[1]], points[face[2]]
        area = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
        if area == 0:
            continue
        j_first, j_last = max(math.ceil(min(a[1], b[1], c[1])), 0), min(math.floor(max(a[1], b[1], c[1])), shape[1] - 1)
        k_first, k_last = max(math.ceil(min(a[2], b[2], c[2])), 0), min(math.floor(max(a[2], b[2], c[2])), shape[2] - 1)
        for j in range(j_first, j_last + 1):
            for k in range(k_first, k_last + 1):
                share_b = ((j - a[1]) * (c[2] - a[2]) - (k - a[2]) * (c[1] - a[1])) / area
                share_c = ((b[1] - a[1]) * (k - a[2]) - (b[2] - a[2]) * (j - a[1])) / area
                if share_b < 0 or share_c < 0 or share_b + share_c > 1:
                    continue
                crossing = math.ceil(a[0] + share_b * (b[0] - a[0]) + share_c * (c[0] - a[0]))
                for i in range(max(crossing, 0), shape[0]):
                    mask[i, j, k] = not mask[i, j, k]
    return mask
