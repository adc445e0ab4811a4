"""How an iteration ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Status(Enum):
    """Why an iteration stopped."""

    CONVERGED = "converged"
    LIMIT = "iteration limit"
    BREAKDOWN = "breakdown"


@dataclass(frozen=True, eq=False)
class Outcome:
    """The best iterate, and the way to it.

    Parameters
    ----------
    x : Tensor
        Best iterate.
    status : Status
        Why it stopped.
    residuals : tuple of float
        By iteration, relative; what it measures is the iteration's to say.
    """

    x: Tensor
    status: Status
    residuals: tuple[float, ...]

    @property
    def iterations(self) -> int:
        """How many were made."""
        return len(self.residuals)

    def record(self) -> dict[str, Any]:
        """JSON-ready, without the iterate."""
        return {"status": self.status.value, "iterations": self.iterations,
                "residuals": [float(f"{value:.3g}") for value in self.residuals]}  # fmt: skip

    def warnings(self, name: str) -> tuple[str, ...]:
        """What the user should know: that it did not converge, and how far it came."""
        if self.status is Status.CONVERGED:
            return ()
        last = f"at a relative residual of {self.residuals[-1]:.2g}" if self.residuals else "at once"
        return (f"{name} stopped by {self.status.value} after {self.iterations} iterations {last}; "
                "the best iterate was kept.",)  # fmt: skip
