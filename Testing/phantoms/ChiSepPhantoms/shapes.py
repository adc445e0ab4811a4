"""Shapes of structures as functions of position: about the depth under the surface in mm, positive inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .geometry import Matrix, Volume

#: Positions in mm: x, y and z, arrays of one shape.
Points = tuple[Volume, Volume, Volume]


class Shape(Protocol):
    """Something with an extent and a surface."""

    def box(self) -> tuple[Matrix, Matrix]:
        """Lowest and highest corner, mm."""
        ...

    def depth_mm(self, points: Points) -> Volume:
        """About the depth under the surface, mm; negative outside."""
        ...


@dataclass(frozen=True)
class Ellipsoid:
    """Ellipsoid with axes turned by ``turn_deg`` about S, whose centre bends sideways along its second axis.

    Parameters
    ----------
    centre, radii : tuple of float
        mm.
    turn_deg : float
        Turns the second axis from A towards L.
    tilt_deg : float
        Then turns the first axis from R towards S.
    bend_per_mm : float
        Curvature: the first coordinate moves by this times the second squared.
    shell_mm : float or None
        Thickness of the wall, if it is hollow.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn_deg: float = 0.0
    tilt_deg: float = 0.0
    bend_per_mm: float = 0.0
    shell_mm: float | None = None

    def mirrored(self) -> Ellipsoid:
        """The same structure of the other half of the brain."""
        x, y, z = self.centre
        return Ellipsoid((-x, y, z), self.radii, -self.turn_deg, -self.tilt_deg, -self.bend_per_mm, self.shell_mm)

    def box(self) -> tuple[Matrix, Matrix]:
        reach = max(self.radii) * 1.05 + abs(self.bend_per_mm) * max(self.radii) ** 2
        return np.array(self.centre) - reach, np.array(self.centre) + reach

    def depth_mm(self, points: Points) -> Volume:
        x, y, z = (p - np.float32(c) for p, c in zip(points, self.centre, strict=True))
        cos, sin = np.cos(np.deg2rad(self.turn_deg)), np.sin(np.deg2rad(self.turn_deg))
        u, v = cos * x + sin * y, -sin * x + cos * y
        cos, sin = np.cos(np.deg2rad(self.tilt_deg)), np.sin(np.deg2rad(self.tilt_deg))
        u, w = cos * u + sin * z, -sin * u + cos * z
        u = u - self.bend_per_mm * v**2
        radius = np.sqrt((u / self.radii[0]) ** 2 + (v / self.radii[1]) ** 2 + (w / self.radii[2]) ** 2)
        depth = (1 - radius) * min(self.radii)
        if self.shell_mm is not None:
            depth = self.shell_mm / 2 - np.abs(depth - self.shell_mm / 2)
        return np.asarray(depth, dtype=np.float32)


@dataclass(frozen=True)
class Tube:
    """Round tube along a line of points.

    Parameters
    ----------
    line : tuple of tuple
        x, y, z and radius at each point, mm.
    """

    line: tuple[tuple[float, float, float, float], ...]

    def mirrored(self) -> Tube:
        """The same structure of the other half of the brain."""
        return Tube(tuple((-x, y, z, r) for x, y, z, r in self.line))

    def segments(self) -> list[Tube]:
        """The same tube in straight pieces, whose boxes are small."""
        return [Tube(pair) for pair in zip(self.line[:-1], self.line[1:], strict=True)]

    def box(self) -> tuple[Matrix, Matrix]:
        line = np.array(self.line)
        return (line[:, :3] - line[:, 3:]).min(axis=0), (line[:, :3] + line[:, 3:]).max(axis=0)

    def depth_mm(self, points: Points) -> Volume:
        depth = np.full(points[0].shape, -np.inf, dtype=np.float32)
        for start, stop in zip(self.line[:-1], self.line[1:], strict=True):
            along = np.array(stop[:3]) - np.array(start[:3])
            offsets = [p - np.float32(c) for p, c in zip(points, start, strict=False)]
            part = sum(o * np.float32(a) for o, a in zip(offsets, along / (along @ along), strict=True))
            part = np.clip(np.asarray(part), 0, 1)
            square = sum((o - part * np.float32(a)) ** 2 for o, a in zip(offsets, along, strict=True))
            radius = start[3] + part * np.float32(stop[3] - start[3])
            np.maximum(depth, radius - np.sqrt(np.asarray(square)), out=depth)
        return depth
