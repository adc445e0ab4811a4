"""What the segmentation takes for a lesion, and why its defaults are what they are."""

from __future__ import annotations

from dataclasses import dataclass

from ChiSepPreprocessLib.errors import InputError

from ..components import MINIMUM_VOLUME_MM3


@dataclass(frozen=True, kw_only=True)
class SegmentationOptions:
    """Thresholds of the lesion segmentation, in robust standard deviations (SD) of the brain's own tissue.

    Each default was chosen on one patient and scored on the other, both ways (``Testing/benchmarks/
    lesion_segmentation.py``, figures in ``RESULTS.md``), among those that served one the most conservative.

    Parameters
    ----------
    smoothing_mm : float
        Standard deviation of the Gaussian that suppresses noise before anything is compared, mm. Without it the best
        single threshold reaches a Dice of 0.21 and 0.64 on the two patients, with 0.7 mm 0.32 and 0.77, with 1 mm less.
    seed_prominence : float
        A seed stands out by so many SD from every bright way to the brain's surface. Below, cortex joins in; from 2
        on, faint lesions are lost.
    contrast : float
        A seed's bright part (80th percentile) exceeds the bright part of the tissue around it (90th percentile) by so
        many SD. At 1.75 two more lesions are found in each patient, and one more that is none.
    largest_csf_share : float
        Seeds with more fluid than this share around them are choroid plexus, septum or vessels. At 0.05 periventricular
        lesions are lost.
    growth : float
        Lesions grow from their seeds down to this share of their own peak above normal tissue. From 0.3 to 0.45 the
        Dice changes by less than 0.05.
    minimum_volume_mm3 : float
        Lesions must exceed this volume, mm³.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    smoothing_mm: float = 0.7
    seed_prominence: float = 1.5
    contrast: float = 2.0
    largest_csf_share: float = 0.1
    growth: float = 0.4
    minimum_volume_mm3: float = MINIMUM_VOLUME_MM3

    def __post_init__(self) -> None:
        if not (0 <= self.smoothing_mm <= 5 and 0 < self.seed_prominence <= 20 and 0 < self.contrast <= 20):
            raise InputError("options of the lesion segmentation", self,
                             "smoothing from 0 to 5 mm, prominence and contrast above 0 and up to 20 SD")  # fmt: skip
        if not (0 <= self.largest_csf_share <= 1 and 0 < self.growth < 1 and self.minimum_volume_mm3 >= 0):
            expected = "a share of CSF from 0 to 1, growth between 0 and 1, a volume of 0 mm³ or more"
            raise InputError("options of the lesion segmentation", self, expected)
