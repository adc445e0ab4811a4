"""Where one image lies relative to another, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

#: And with less the images show different things: a limb, noise or a head 60 mm away scored below 0.1, an upside-down
#: head 0.24.
REFUSED_SCORE = 0.2


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where the moving image lies relative to the fixed one.

    Parameters
    ----------
    moving_from_fixed_ras : ndarray, shape (4, 4)
        Takes a point of the fixed image to the same tissue in the moving image, RAS mm.
    translation_mm : float
        How far the centre of the mask moves.
    rotation_deg : float
        Angle of the rotation about that centre.
    score : float
        0 to 1: mean squared local correlation after alignment (see :func:`.similarity.local_similarity`).
    overlap : float
        Share of the fixed mask inside the moving image's field of view.
    mutual_information_before, mutual_information_after : float
        Nats; at the scanner's geometry and after registration.
    warnings : tuple of str
        What the user should know.
    """

    moving_from_fixed_ras: NDArray[np.float64]
    translation_mm: float = 0.0
    rotation_deg: float = 0.0
    score: float = 1.0
    overlap: float = 1.0
    mutual_information_before: float = 0.0
    mutual_information_after: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def fixed_from_moving_ras(self) -> NDArray[np.float64]:
        """Takes a point of the moving image to the same tissue in the fixed image, RAS mm."""
        return np.asarray(np.linalg.inv(self.moving_from_fixed_ras))

    def summary(self) -> dict[str, float]:
        """What was found, in numbers for the record."""
        names = ("score", "overlap", "translation_mm", "rotation_deg", "mutual_information_before",
                 "mutual_information_after")  # fmt: skip
        return {name: round(float(getattr(self, name)), 4) for name in names}

    def check_resemblance(self, what: str) -> None:
        """Refuse a scan of something else.

        Raises
        ------
        InputError
            If the images do not resemble each other after alignment.
        """
        if self.score < REFUSED_SCORE:
            raise InputError(what, f"an image that hardly resembles the gradient echo (score {self.score:.2f})",
                             f"one of the same head, with a score above {REFUSED_SCORE:g}",
                             "Check that it shows this patient's head, or leave it out.")  # fmt: skip

    def inverted(self) -> Alignment:
        """The same alignment seen from the moving image, to bring maps of the fixed one there."""
        return replace(self, moving_from_fixed_ras=self.fixed_from_moving_ras)
