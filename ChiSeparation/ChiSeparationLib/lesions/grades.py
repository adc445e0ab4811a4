"""The five grades of a lesion's contrast to the normal-appearing white matter around it.

The classes are those of the χ-sepnet paper, section 3.3 (after Kim et al., 2023).
"""

from __future__ import annotations

from enum import Enum

from ChiSepPreprocessLib.errors import InputError


class Grade(Enum):
    """How a lesion looks in one χ map, brightest first."""

    HYPER = "hyperintense"
    SUBTLE_HYPER = "subtly hyperintense"
    ISO = "isointense"
    SUBTLE_HYPO = "subtly hypointense"
    HYPO = "hypointense"

    @property
    def rank(self) -> int:
        """Place on the scale from −2 (hypointense) to +2 (hyperintense)."""
        return _RANKS[self]

    @property
    def code(self) -> str:
        """Short ASCII name, safe in file names and segment tags."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def from_rank(cls, rank: int) -> Grade:
        """Grade at a place on the scale.

        Raises
        ------
        InputError
            If the rank is not −2 … 2.
        """
        for grade, own in _RANKS.items():
            if own == rank:
                return grade
        raise InputError("rank of a grade", rank, "a whole number from -2 to 2")

    @classmethod
    def from_code(cls, code: str) -> Grade:
        """Grade of a short name.

        Raises
        ------
        InputError
            If there is no such grade.
        """
        for grade in cls:
            if grade.code == code:
                return grade
        raise InputError("grade", repr(code), f"one of {', '.join(grade.code for grade in cls)}")


_RANKS = {grade: 2 - position for position, grade in enumerate(Grade)}
