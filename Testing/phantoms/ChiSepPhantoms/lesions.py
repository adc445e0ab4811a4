"""Multiple sclerosis lesions: which kinds there are and where a subject has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Matrix, Volume
from .shapes import Points
from .subject import Subject

#: The five grades of a lesion's contrast against the white matter around it, ppb.
CONTRAST_PPB = {"hypo": -14.0, "subtle hypo": -6.0, "iso": 0.0, "subtle hyper": 6.0, "hyper": 25.0}


@dataclass(frozen=True)
class LesionKind:
    """Grade in both maps, volume in mm³, and whether the iron sits in a rim."""

    para: str
    dia: str
    volume_mm3: float
    rim: bool = False


#: Mostly hypointense in χ_dia (lost myelin) and iso- or hyperintense in χ_para, as in the paper's 250 lesions.
KINDS = (
    LesionKind("iso", "hypo", 1500.0),
    LesionKind("hyper", "hypo", 900.0, rim=True),
    LesionKind("hyper", "hypo", 500.0),
    LesionKind("iso", "hypo", 350.0),
    LesionKind("hyper", "iso", 250.0),
    LesionKind("iso", "subtle hypo", 180.0),
    LesionKind("hypo", "hypo", 130.0),
    LesionKind("subtle hyper", "hypo", 90.0),
    LesionKind("iso", "iso", 70.0),
    LesionKind("subtle hypo", "subtle hypo", 50.0),
    LesionKind("iso", "hypo", 30.0),
)

#: From a little above the paper's smallest lesion to a large one, small ones being the most frequent.
_VOLUMES_MM3 = tuple(float(round(volume)) for volume in np.geomspace(1200.0, 28.0, 30))

_RIM_MM = 1.6


@dataclass(frozen=True, eq=False)
class PlacedLesion:
    """A lesion of a kind at a place: an ellipsoid with an uneven surface.

    Parameters
    ----------
    kind : LesionKind
        What it is.
    centre_mm, radii_mm : ndarray, shape (3,)
        Scanner RAS, mm.
    axes : ndarray, shape (3, 3)
        Its own axes as columns.
    ripple : ndarray, shape (4, 4)
        Direction (3) and phase of four waves on the surface.
    """

    kind: LesionKind
    centre_mm: Matrix
    radii_mm: Matrix
    axes: Matrix
    ripple: Matrix

    def box(self) -> tuple[Matrix, Matrix]:
        """Lowest and highest corner, mm."""
        reach = 1.3 * self.radii_mm.max() + 1.0
        return self.centre_mm - reach, self.centre_mm + reach

    def depth_mm(self, points: Points) -> Volume:
        """About the depth under the surface, mm; negative outside."""
        offset = np.stack([p - np.float32(c) for p, c in zip(points, self.centre_mm, strict=True)])
        local = np.tensordot((self.axes / self.radii_mm).T.astype(np.float32), offset, axes=1)
        radius = np.sqrt((local**2).sum(axis=0))
        unit = local / np.maximum(radius, 1e-3)
        waves = [np.sin(np.tensordot(wave[:3], unit, axes=1) + wave[3]) for wave in self.ripple]
        return np.asarray((1 + 0.07 * sum(waves) - radius) * float(np.cbrt(self.radii_mm.prod())), dtype=np.float32)

    def iron(self, depth_mm: Volume) -> Volume:
        """Share of the paramagnetic contrast at a depth: everywhere, or in the rim alone."""
        if not self.kind.rim:
            return np.ones_like(depth_mm)
        return np.asarray(depth_mm < _RIM_MM, dtype=np.float32)


def kinds_of(name: str, rng: np.random.Generator) -> tuple[LesionKind, ...]:
    """Kinds of a set of :class:`.options.PhantomOptions`, the largest first.

    Of ``"every class"``, each grade in χ_para goes with each in χ_dia, iron rims with each; which one has which size is
    drawn.
    """
    if name == "typical":
        return KINDS
    classes = [(para, dia, False) for para in CONTRAST_PPB for dia in CONTRAST_PPB]
    classes += [("hyper", dia, True) for dia in CONTRAST_PPB]
    order = _with_large_rims(rng.permutation(len(classes)).tolist(), [rim for _, _, rim in classes])
    return tuple(
        LesionKind(para, dia, volume, rim)
        for (para, dia, rim), volume in zip((classes[n] for n in order), _VOLUMES_MM3, strict=True)
    )


def _with_large_rims(order: list[int], rims: list[bool]) -> list[int]:
    """The same order with the rims among the larger half: a small lesion is all rim."""
    half = len(order) // 2
    first, second = order[:half], order[half:]
    for place, number in enumerate(second):
        if rims[number]:
            other = next(n for n, one in enumerate(first) if not rims[one])
            first[other], second[place] = number, first[other]
    return first + second


def place_lesions(
    subject: Subject, rng: np.random.Generator, kinds: tuple[LesionKind, ...] = KINDS
) -> list[PlacedLesion]:
    """Put one lesion of each kind into white matter, apart from each other, the largest first.

    A lesion goes where the white matter is thick enough to hold it; the depth that is asked for is lowered until a
    place is found.
    """
    candidates, depth_mm = _white_matter(subject)
    free = np.ones(len(candidates), dtype=bool)
    placed = []
    for kind in kinds:
        stretch = np.exp(rng.normal(0, 0.15, 3))
        radii = np.cbrt(3 * kind.volume_mm3 / (4 * np.pi)) * stretch / np.cbrt(stretch.prod())
        needed = 1.1 * radii.max()
        while not np.any(free & (depth_mm >= needed)):
            needed *= 0.9
        centre = candidates[rng.choice(np.flatnonzero(free & (depth_mm >= needed)))]
        axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
        ripple = np.c_[rng.normal(0, 3.0, (4, 3)), rng.uniform(0, 2 * np.pi, 4)]
        placed.append(PlacedLesion(kind, centre, radii, axes, ripple))
        free &= np.linalg.norm(candidates - centre, axis=1) > 2.2 * radii.max() + 9.0
    return placed


def _white_matter(subject: Subject) -> tuple[Matrix, Volume]:
    """Positions in cerebral white matter (N, 3) and their distance from its edge, mm, on every second voxel."""
    from scipy import ndimage

    step = subject.affine[:3, :3] * 2
    depth = ndimage.distance_transform_edt(subject.tissues[::2, ::2, ::2, 0] > 0.85, sampling=np.diag(step))
    index = np.argwhere(depth > 2.0)
    positions = index @ step.T + subject.affine[:3, 3]
    cerebral = (positions[:, 2] > -6) & (np.abs(positions[:, 0]) > 14)
    return positions[cerebral], depth[tuple(index.T)][cerebral]
