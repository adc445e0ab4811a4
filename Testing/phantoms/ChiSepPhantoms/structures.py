"""Where the nuclei, veins and air spaces lie, in MNI mm; the right half is given, the left mirrors it.

The positions are approximate, read off the MNI template and anatomical atlases, to about 2 mm.
"""

from __future__ import annotations

import numpy as np

from .shapes import Ellipsoid, Shape, Tube

_CAUDATE = Tube((
    (9.5, 19.0, -3.0, 4.2), (11.5, 17.0, 5.0, 5.2), (13.0, 10.0, 12.0, 4.8), (15.0, 1.0, 17.5, 4.0),
    (17.0, -9.0, 20.5, 3.2), (20.0, -20.0, 21.0, 2.4), (24.5, -30.0, 15.0, 1.8), (29.0, -36.0, 5.0, 1.4),
))  # fmt: skip

#: Nuclei in the order in which they are painted; a later one covers an earlier one.
_RIGHT_NUCLEI: tuple[tuple[str, Ellipsoid | Tube], ...] = (
    ("caudate", _CAUDATE),
    ("putamen", Ellipsoid((25.0, 3.0, 0.5), (5.4, 17.0, 11.0), turn_deg=-14.0, tilt_deg=-12.0, bend_per_mm=-0.012)),
    ("globus_pallidus", Ellipsoid((18.8, -3.5, -1.0), (4.6, 9.5, 6.2), turn_deg=-28.0, tilt_deg=-15.0)),
    ("thalamus", Ellipsoid((11.0, -17.5, 7.0), (7.0, 13.0, 8.0), turn_deg=-24.0)),
    ("pulvinar", Ellipsoid((14.5, -28.0, 5.5), (7.0, 5.5, 6.0), turn_deg=-30.0)),
    ("substantia_nigra", Ellipsoid((10.0, -17.5, -12.5), (2.4, 7.0, 4.6), turn_deg=-38.0, tilt_deg=35.0)),
    ("red_nucleus", Ellipsoid((5.0, -21.0, -9.0), (3.1, 3.3, 4.0))),
    ("dentate", Ellipsoid((15.0, -57.0, -34.0), (6.0, 10.0, 6.0), turn_deg=24.0, tilt_deg=-20.0, shell_mm=2.6)),
)

_VEINS_MIDLINE = (
    Tube(((0, 60, 38, 1.4), (0, 25, 68, 2.0), (0, -20, 79, 2.4), (0, -65, 68, 2.8), (0, -98, 28, 3.2),
          (0, -104, -2, 3.6))),
    Tube(((0, -36, 4, 1.9), (0, -44, 10, 2.1), (0, -62, 6, 2.2), (0, -84, -4, 2.4), (0, -102, -6, 2.6))),
)  # fmt: skip
_VEINS_RIGHT = (
    Tube(((2, 5, 6, 0.8), (2, -12, 14, 0.9), (2, -28, 12, 1.1), (0, -36, 4, 1.5))),
    Tube(((14, 2, -18, 0.7), (20, -16, -12, 0.8), (14, -30, -4, 0.9), (0, -37, 3, 1.1))),
    Tube(((3, 8, 8, 0.6), (10, 0, 19, 0.7), (15, -14, 23, 0.6), (19, -26, 24, 0.5))),
    Tube(((2, -102, -6, 2.6), (30, -93, -22, 2.6), (54, -66, -30, 2.6), (60, -48, -40, 2.6))),
)

_AIR_MIDLINE = (
    Ellipsoid((0.0, 22.0, -40.0), (13.0, 13.0, 10.0)),
    Ellipsoid((0.0, 47.0, -38.0), (11.0, 16.0, 12.0)),
    Ellipsoid((0.0, 79.0, -8.0), (14.0, 5.0, 9.0)),
)
_AIR_RIGHT = (
    Tube(((86.0, -24.0, -44.0, 3.5), (54.0, -26.0, -46.0, 3.5))),
    Ellipsoid((58.0, -44.0, -48.0), (9.0, 10.0, 10.0)),
)


def nuclei() -> list[tuple[str, Shape]]:
    """Name and shape of every nucleus, both halves."""
    return [(name, one) for name, right in _RIGHT_NUCLEI for one in (right, right.mirrored())]


def air_spaces() -> list[Shape]:
    """Sphenoid, ethmoid and frontal sinus, ear canals and mastoids."""
    return [*_AIR_MIDLINE, *(one for right in _AIR_RIGHT for one in (right, right.mirrored()))]


def veins(rng: np.random.Generator) -> list[Shape]:
    """Sinuses, deep veins, and thin medullary veins that differ from subject to subject."""
    found = [*_VEINS_MIDLINE, *(one for right in _VEINS_RIGHT for one in (right, right.mirrored()))]
    found += [_medullary(rng, side) for side in (-1, 1) for _ in range(9)]
    return [segment for tube in found for segment in tube.segments()]


def _medullary(rng: np.random.Generator, side: int) -> Tube:
    """From the wall of the lateral ventricle outwards through the white matter."""
    y, z = rng.uniform(-30, 28), rng.uniform(20, 25)
    out, up, back = rng.uniform(10, 16), rng.uniform(8, 18), rng.normal(0, 4)
    start = (side * 19.0, y, z, 0.7)
    return Tube((start, (side * (19 + 0.6 * out), y + back / 2, z + up / 2, 0.6),
                 (side * (19 + out), y + back, z + up, 0.45)))  # fmt: skip
