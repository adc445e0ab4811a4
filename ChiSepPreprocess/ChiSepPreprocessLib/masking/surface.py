"""A closed triangle mesh of the sphere, to be deformed to the brain's outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangle mesh of the unit sphere.

    Parameters
    ----------
    vertices : ndarray, shape (V, 3)
        Unit vectors.
    faces : ndarray of int, shape (F, 3)
        Vertices of each triangle, counter-clockwise as seen from outside.
    neighbours : ndarray of int, shape (V, 6)
        Neighbours of each vertex in counter-clockwise order; the twelve vertices with
        five neighbours end with −1.
    """

    vertices: Points
    faces: Indices
    neighbours: Indices


def icosphere(subdivisions: int) -> Surface:
    """Icosahedron whose triangles are split in four ``subdivisions`` times (4 gives 2562 vertices)."""
    vertices, faces = _icosahedron()
    for _ in range(subdivisions):
        vertices, faces = _split(vertices, faces)
    return Surface(vertices, faces, _ordered_neighbours(faces, len(vertices)))


def _icosahedron() -> tuple[Points, Indices]:
    """Poles and two rings of five, with the faces between them."""
    turn = np.arange(5) * 2 * np.pi / 5
    height, radius = 1 / np.sqrt(5), 2 / np.sqrt(5)
    upper = np.column_stack([radius * np.cos(turn), radius * np.sin(turn), np.full(5, height)])
    lower = np.column_stack([radius * np.cos(turn + np.pi / 5), radius * np.sin(turn + np.pi / 5), np.full(5, -height)])
    vertices = np.vstack([[0, 0, 1], upper, lower, [0, 0, -1]])
    faces = []
    for n in range(5):
        up, next_up, down, next_down = 1 + n, 1 + (n + 1) % 5, 6 + n, 6 + (n + 1) % 5
        faces += [(0, up, next_up), (up, down, next_up), (next_up, down, next_down), (11, next_down, down)]
    return vertices, np.array(faces)


def _split(vertices: Points, faces: Indices) -> tuple[Points, Indices]:
    a, b, c = faces.T
    edges = np.sort(np.vstack([np.column_stack(pair) for pair in ((a, b), (b, c), (c, a))]), axis=1)
    unique, place = np.unique(edges, axis=0, return_inverse=True)
    middles = vertices[unique].mean(axis=1)
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    ab, bc, ca = (place.reshape(3, -1) + len(vertices)).astype(np.int64)
    corners = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return np.vstack([vertices, middles]), np.vstack([np.column_stack(corner) for corner in corners])


def _ordered_neighbours(faces: Indices, count: int) -> Indices:
    following: list[dict[int, int]] = [{} for _ in range(count)]
    for a, b, c in faces.tolist():
        following[a][b], following[b][c], following[c][a] = c, a, b
    neighbours = np.full((count, 6), -1, dtype=np.int64)
    for vertex, ring in enumerate(following):
        one = min(ring)
        for place in range(len(ring)):
            neighbours[vertex, place] = one
            one = ring[one]
    return neighbours
