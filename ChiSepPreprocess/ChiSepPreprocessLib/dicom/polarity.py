"""Which way phase turns, and whether the sign of neighbouring slices alternates.

The project's phase grows with time where the field is above B0. Siemens and Philips store it so. GE stores the
conjugate, and in three-dimensional scans with the sign of every other slice reversed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..artifacts import Array
from .roles import Vendor

#: Mean angle between neighbouring slices beyond which they alternate, rad: π if they do, near 0 if not.
ALTERNATING_RAD = 0.75 * np.pi
#: Mean angle above which the slices do neither clearly, rad.
UNCLEAR_RAD = 0.4 * np.pi
#: Agreement of the angle within a pair of slices: 0 in noise, 1 where field and noise vanish.
SMALLEST_COHERENCE = 0.3
#: Voxels along the other axes that suffice for a mean angle.
ENOUGH_VOXELS = 64

_ESTABLISHED = {
    Vendor.SIEMENS: "Siemens stores phase that grows with time where the field is above B0",
    Vendor.PHILIPS: "Philips stores phase that grows with time where the field is above B0",
}


@dataclass(frozen=True)
class SignRule:
    """Whether phase is negated after loading, why, and what the user must confirm."""

    negated: bool
    words: str
    warnings: tuple[str, ...] = ()


def sign_rule(vendor: Vendor, flip: bool, is_own: bool = False) -> SignRule:
    """Sign of the phase by vendor facts; ``flip`` reverses the verdict.

    Parameters
    ----------
    vendor : Vendor
        Manufacturer.
    flip : bool
        Wish of the user.
    is_own : bool
        Whether this project wrote the file, in its own convention.
    """
    negated, words, warning = _verdict(vendor, is_own)
    if flip:
        return SignRule(not negated, f"{words}; reversed on request")
    confirm = f"{warning} Confirm that veins are bright in the susceptibility map."
    return SignRule(negated, f"{words}; {'negated' if negated else 'kept as stored'}", (confirm,) if warning else ())


def _verdict(vendor: Vendor, is_own: bool) -> tuple[bool, str, str]:
    """Whether to negate, why, and what is doubtful about it."""
    if is_own:
        return False, "the file follows this project's convention", ""
    if vendor == Vendor.GE:
        words = "GE stores the conjugate: phase falls with time where the field is above B0"
        return True, words, "GE stores phase with the opposite sign; it was negated."
    if vendor in _ESTABLISHED:
        return False, _ESTABLISHED[vendor], ""
    named = "The vendor is unknown" if vendor == Vendor.UNKNOWN else f"For {vendor} no sign of phase is documented"
    doubt = f"{named}; the phase was taken to grow with time where the field is above B0."
    return False, "no vendor fact is known", doubt


@dataclass(frozen=True)
class Alternation:
    """How far the sign of neighbouring slices alternates.

    Parameters
    ----------
    axis : int
        0, 1, 2 for i, j, k.
    angle_rad : float
        Median over pairs of neighbouring slices of |angle of Σ m₁ m₂ exp(i(φ₂ − φ₁))|.
    coherence : float
        Median over the pairs of |Σ m₁ m₂ exp(i(φ₂ − φ₁))| / Σ m₁ m₂.
    """

    axis: int
    angle_rad: float
    coherence: float

    @property
    def present(self) -> bool:
        """Whether the sign alternates."""
        return self.angle_rad >= ALTERNATING_RAD and self.coherence >= SMALLEST_COHERENCE

    @property
    def unclear(self) -> bool:
        """Whether slices agree within themselves, but neighbours neither agree nor oppose each other."""
        return not self.present and self.angle_rad > UNCLEAR_RAD and self.coherence >= SMALLEST_COHERENCE


def slice_alternation(magnitude: Array, phase: Array) -> Alternation:
    """Measure the alternation of sign of one echo along the slices, which lie along k.

    In NIfTI files that were turned they may lie along another axis, which is given if the sign alternates there.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K[, C])
        a.u. and rad; of uncombined images the coils last.
    """
    along_k, *others = (_along(magnitude, phase, axis) for axis in (2, 1, 0))
    return next((one for one in (along_k, *others) if one.present), along_k)


def _along(magnitude: Array, phase: Array, axis: int) -> Alternation:
    every = [slice(None) if other == axis else slice(None, None, 1 + size // ENOUGH_VOXELS)
             for other, size in enumerate(magnitude.shape[:3])]  # fmt: skip
    magnitudes, phases = (np.moveaxis(part[tuple(every)], axis, 0) for part in (magnitude, phase))
    angles, coherences = [], []
    for k in range(len(magnitudes) - 1):
        weight = magnitudes[k] * magnitudes[k + 1]
        total, norm = np.vdot(weight, np.exp(1j * (phases[k + 1] - phases[k]))), float(weight.sum())
        if norm > 0.0:
            angles.append(abs(np.angle(total)))
            coherences.append(abs(total) / norm)
    if not angles:
        return Alternation(axis, 0.0, 0.0)
    return Alternation(axis, float(np.median(angles)), float(np.median(coherences)))


def undo_alternation(phase: Array, axis: int) -> None:
    """Add π to every other slice, in place, and keep the phase within ±π.

    Parameters
    ----------
    phase : ndarray, shape (I, J, K, …)
        rad.
    axis : int
        Along which the sign alternates.
    """
    for plane in np.moveaxis(phase, axis, 0)[1::2]:
        plane -= np.copysign(np.float32(np.pi), plane)


def undo_alternations(magnitude: Array, phase: Array) -> tuple[Alternation, ...]:
    """Undo the alternating sign along every axis that has it, in place.

    A Fourier transform without the shift of its centre leaves a checkerboard over two or three axes.

    Parameters
    ----------
    magnitude, phase : ndarray, shape (I, J, K, E[, C])
        a.u. and rad; the first echo decides.

    Returns
    -------
    tuple of Alternation
        As measured before each was undone, slices first; where none was present, that of the slices alone.
    """
    undone: list[Alternation] = []
    while len(undone) < 3:
        found = slice_alternation(magnitude[:, :, :, 0], phase[:, :, :, 0])
        if not found.present:
            return tuple(undone) or (found,)
        undo_alternation(phase, found.axis)
        undone.append(found)
    return tuple(undone)
