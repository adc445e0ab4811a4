"""What the simulated subjects of a training set are."""

from __future__ import annotations

from dataclasses import dataclass

from ChiSepPreprocessLib.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AnatomyOptions:
    """How heads differ.

    Parameters
    ----------
    fine_size_mm : float
        Edge of the voxels in which sources and signal are simulated, mm.
    largest_tilt_deg : float
        Of the head to B0, deg.
    youngest_years, oldest_years : float
        Between which ages are drawn evenly.
    smallest_size, largest_size : float
        Of brains relative to the MNI template, which is larger than most.
    variation : float
        Factor of the spreads between subjects in the table of tissues.
    texture : float
        Factor of the variation within tissues, of about 18 % for susceptibility and 4 % for R2.
    orientation_effect : float
        Standard deviation, over fibre directions, of white matter's diamagnetic susceptibility and relaxivity, each
        relative to its mean.
    abstract_share : float
        Share of subjects that are shapes only, 0 to 1.
    lesion_share : float
        Share of heads with multiple sclerosis; every other pathology is drawn on its own.
    """

    fine_size_mm: float = 2 / 3
    largest_tilt_deg: float = 30.0
    youngest_years: float = 18.0
    oldest_years: float = 85.0
    smallest_size: float = 0.84
    largest_size: float = 1.0
    variation: float = 1.0
    texture: float = 1.0
    orientation_effect: float = 0.12
    abstract_share: float = 0.15
    lesion_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0.3 <= self.fine_size_mm <= 1.0:
            raise InputError("fine voxels", f"{self.fine_size_mm} mm", "edges from 0.3 to 1 mm")
        if not 0.2 <= self.smallest_size <= self.largest_size <= 1.15:
            raise InputError(
                "brain sizes", f"{self.smallest_size} to {self.largest_size}", "0.2 ≤ smallest ≤ largest ≤ 1.15"
            )
        if not 0 <= self.largest_tilt_deg <= 90:
            raise InputError("largest tilt", f"{self.largest_tilt_deg}°", "0 to 90°")
        if not 0 < self.youngest_years <= self.oldest_years <= 120:
            raise InputError(
                "ages", f"{self.youngest_years} to {self.oldest_years} years", "0 < youngest ≤ oldest ≤ 120"
            )
        if not (0 <= self.abstract_share <= 1 and 0 <= self.lesion_share <= 1):
            raise InputError("shares of subjects", f"{self.abstract_share} and {self.lesion_share}", "0 to 1 each")
        if not (0 <= self.variation <= 3 and 0 <= self.texture <= 3 and 0 <= self.orientation_effect <= 0.5):
            got = f"variation {self.variation}, texture {self.texture}, orientation effect {self.orientation_effect}"
            raise InputError("variety of tissues", got, "0 to 3, 0 to 3, and 0 to 0.5")
