"""Lesion segmentation on patients with consensus lesions: thresholds chosen on one patient, scored on the other.

    python Testing/benchmarks/lesion_segmentation.py [FOLDER]

FOLDER holds a folder for each patient with ``flair.nii.gz`` (brain-extracted) and ``lesions_consensus.nii.gz``;
``ms`` in ``CHISEP_TEST_DATA`` by default. Printed are Dice, lesion-wise sensitivity and false positives, and seconds:
with the defaults, and with the thresholds that were chosen on each other patient. Chosen are the most conservative
ones (first prominence, then contrast) of those whose Dice is within 0.04 of the best, since the Dice of a patient with
one large lesion hardly depends on small ones.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ChiSeparationLib.lesions.components import MINIMUM_VOLUME_MM3
from ChiSeparationLib.lesions.segmentation.options import SegmentationOptions
from ChiSeparationLib.lesions.segmentation.segment import segment_lesions
from ChiSepPreprocessLib.artifacts import Array, Image
from ChiSepPreprocessLib.files import read_nifti

PROMINENCES, CONTRASTS, CSF_SHARES = (1.0, 1.5, 2.0), (1.75, 2.0, 2.25), (0.1, 0.2)

#: Dice that a more conservative choice may cost.
_TOLERANCE = 0.04


@dataclass(frozen=True)
class Score:
    """How a segmentation agrees with the consensus; lesions count from the smallest volume on."""

    dice: float
    found: int
    true: int
    false: int
    seconds: float

    def __str__(self) -> str:
        """One line for people."""
        return (f"Dice {self.dice:.3f}, {self.found} of {self.true} lesions found, {self.false} false, "
                f"{self.seconds:.0f} s")  # fmt: skip


def score(flair: Image, truth: Array, options: SegmentationOptions) -> Score:
    """Segment and compare.

    Parameters
    ----------
    flair : Image
        Brain-extracted.
    truth : ndarray of bool, shape (I, J, K)
        Consensus lesions.
    options : SegmentationOptions
        Thresholds.
    """
    from scipy import ndimage

    started = time.perf_counter()
    labels = segment_lesions(flair, options=options).labelled.lesions.data
    seconds = time.perf_counter() - started
    true, _ = ndimage.label(truth, np.ones((3, 3, 3)))
    large = np.flatnonzero(np.bincount(true.ravel())[1:] * flair.grid.voxel_volume_mm3 > MINIMUM_VOLUME_MM3) + 1
    found = labels > 0
    both, sizes = int(np.count_nonzero(found & truth)), int(np.count_nonzero(found)) + int(np.count_nonzero(truth))
    hit = int(np.isin(large, np.unique(true[found])).sum())
    met = int(np.count_nonzero(np.unique(labels[truth])))
    return Score(2 * both / max(sizes, 1), hit, large.size, int(labels.max()) - met, seconds)


def chosen(scores: Mapping[SegmentationOptions, Score]) -> SegmentationOptions:
    """The most conservative options that cost hardly any Dice on a patient."""
    best = max(one.dice for one in scores.values())
    good = [options for options, one in scores.items() if one.dice >= best - _TOLERANCE]
    return max(good, key=lambda one: (one.seed_prominence, one.contrast, -one.largest_csf_share))


def read_patient(folder: Path) -> tuple[Image, Array]:
    """FLAIR and consensus lesions of one patient."""
    flair = Image(*read_nifti(folder / "flair.nii.gz"))
    return flair, np.asarray(read_nifti(folder / "lesions_consensus.nii.gz")[0] > 0)


def main(folder: Path) -> None:
    """Print the study."""
    names = sorted(one.name for one in folder.iterdir() if (one / "lesions_consensus.nii.gz").is_file())
    grid = [
        SegmentationOptions(seed_prominence=prominence, contrast=contrast, largest_csf_share=share)
        for prominence, contrast, share in itertools.product(PROMINENCES, CONTRASTS, CSF_SHARES)
    ]
    scores = {}
    for name in names:
        flair, truth = read_patient(folder / name)
        sys.stdout.write(f"{name}, defaults: {score(flair, truth, SegmentationOptions())}\n")
        scores[name] = {options: score(flair, truth, options) for options in grid}
    for tried, other in itertools.permutations(names, 2):
        options = chosen(scores[other])
        words = f"prominence {options.seed_prominence}, contrast {options.contrast}, CSF {options.largest_csf_share}"
        sys.stdout.write(f"{tried}, chosen on {other} ({words}): {scores[tried][options]}\n")


if __name__ == "__main__":
    data = Path(os.environ.get("CHISEP_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else data / "ms")
