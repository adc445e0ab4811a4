"""The number of turns in a phase difference of echoes, told by the other echoes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..artifacts import Array
from ..quantities import TWO_PI

#: Largest number of turns that is looked for.
_MOST_TURNS = 4
#: An echo whose phase changes by a whole number of turns, as near as this, tells nothing.
_WHOLE = 0.02
#: Agreements that differ by less than this share are equal.
_EQUAL = 1e-3


def tells_turns(shift: float) -> bool:
    """Whether an echo whose phase changes by ``shift`` turns for each turn in the difference tells their number."""
    return abs(shift - round(shift)) > _WHOLE


def aligned(magnitude: Array, misfit: Array, mask: Array) -> complex:
    """Σ m exp(i misfit) inside the mask; what is not finite adds nothing."""
    return complex(np.nansum(magnitude[mask] * np.exp(1j * misfit[mask]), dtype=np.complex128))


def best_turns(sums: Sequence[complex], shifts: Sequence[float], cost: Callable[[int], float]) -> int:
    """Turns t in a phase difference for which Σₑ Re(zₑ exp(−2πi ρₑ t)) is largest.

    Parameters
    ----------
    sums : sequence of complex
        zₑ = Σ m exp(i misfit) over voxels, with the misfit of echo e to the line without a turn.
    shifts : sequence of float
        ρₑ, by how many turns that misfit falls for each turn in the difference.
    cost : callable
        Of turns that agree equally well the one of least cost is taken, and of those the one nearest 0.
    """
    by_distance = sorted(range(-_MOST_TURNS, _MOST_TURNS + 1), key=lambda turns: (abs(turns), -turns))
    agreement = {
        t: sum((z * np.exp(-1j * TWO_PI * shift * t)).real for z, shift in zip(sums, shifts, strict=True))
        for t in by_distance
    }
    least = max(agreement.values()) - _EQUAL * sum(abs(z) for z in sums)
    return min((t for t in by_distance if agreement[t] >= least), key=cost)
