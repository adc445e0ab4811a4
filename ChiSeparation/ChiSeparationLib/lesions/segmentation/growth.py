"""From prominence to lesions: which bright parts stand out from the tissue around them, and how far they grow.

Parts are the connected voxels with a prominence above a level, for a ladder of levels from ``seed_prominence`` up: a
lesion that is joined with cortex at one level stands alone at a higher one. Around a part C lies its shell, the tissue
at 1.5 to 4 mm from it. C is a seed if

    P80(z in C) − P90(z in the shell, without fluid) > contrast   and   fluid in the shell / shell < largest_csf_share ,

which bright spots of cortex, of hippocampus, of choroid plexus and beside fluid rarely are. A seed with the peak
P = P90(z in C) grows to the voxels within 3 mm that are connected with it and have z ≥ growth · P: about half way from
normal tissue to the peak, where the edge of a blurred bright object lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.distance import distance_mm
from ChiSepPreprocessLib.progress import Reporter

from .options import SegmentationOptions
from .smoothing import Mask, Volume
from .tissue import TissueMap

Box = tuple[slice, ...]

#: Between voxel centres, mm: nearer, lesion and tissue share voxels.
_SHELL_MM = (1.5, 4.0)
_BRIGHT_PERCENTILE, _SHELL_PERCENTILE, _PEAK_PERCENTILE = 80.0, 90.0, 90.0
#: Seeds grow no farther than this, mm: a leak into cortex stays small, and confluent lesions have many seeds.
_REACH_MM = 3.0
#: From one level of prominence to the next.
_LADDER = 1.3
#: Fewer voxels are noise as a seed, or give no contrast as a shell.
_LEAST_SEED, _LEAST_SHELL = 3, 6


@dataclass(frozen=True, eq=False)
class Grower:
    """What all seeds grow in.

    Parameters
    ----------
    tissue : TissueMap
        FLAIR in units of its own tissue.
    brain : ndarray of bool, shape (I, J, K)
        Brain.
    prominence : ndarray of float32, shape (I, J, K)
        See :mod:`.prominence`.
    voxel_size_mm : tuple of float
        Length of a voxel along i, j, k in mm.
    options : SegmentationOptions
        Thresholds.
    """

    tissue: TissueMap
    brain: Mask
    prominence: Volume
    voxel_size_mm: tuple[float, float, float]
    options: SegmentationOptions

    def lesions(self, report: Reporter) -> tuple[Mask, int]:
        """All voxels of lesions, and the number of seeds that they grew from."""
        taken, seeds = np.zeros(self.brain.shape, dtype=np.bool_), 0
        levels = self._levels()
        for step, level in enumerate(levels):
            report("lesions", step / len(levels), f"{seeds} seeds")
            seeds += self._at_level(level, taken)
        return taken, seeds

    def _levels(self) -> list[float]:
        levels, highest = [self.options.seed_prominence], float(self.prominence.max())
        while levels[-1] * _LADDER < highest:
            levels.append(levels[-1] * _LADDER)
        return levels

    def _at_level(self, level: float, taken: Mask) -> int:
        """Add what grows from the seeds at one level; give their number."""
        from scipy import ndimage

        parts, _ = ndimage.label(self.brain & (self.prominence > level), np.ones((3, 3, 3)), output=np.int32)
        sizes = np.bincount(parts.ravel())
        seeds = 0
        for number, tight in enumerate(ndimage.find_objects(parts), start=1):
            box = self._widened(tight)
            if sizes[number] >= _LEAST_SEED and self._stands_out(parts[box], number, box):
                taken[box] |= self._grown(parts[box] == number, box)
                seeds += 1
        return seeds

    def _stands_out(self, parts: NDArray[np.int32], number: int, box: Box) -> bool:
        part = parts == number
        distance = distance_mm(~part, _SHELL_MM[1], self.voxel_size_mm)
        shell = (distance > _SHELL_MM[0]) & np.isfinite(distance) & (parts == 0)
        fluid, z = self.tissue.fluid[box], self.tissue.z[box]
        around = z[shell & ~fluid]
        if around.size < _LEAST_SHELL or fluid[shell].mean() >= self.options.largest_csf_share:
            return False
        bright = np.percentile(z[part], _BRIGHT_PERCENTILE) - np.percentile(around, _SHELL_PERCENTILE)
        return bool(bright > self.options.contrast)

    def _grown(self, seed: Mask, box: Box) -> Mask:
        from scipy import ndimage

        z = self.tissue.z[box]
        bright = self.brain[box] & (z >= self.options.growth * np.percentile(z[seed], _PEAK_PERCENTILE))
        near = np.isfinite(distance_mm(~seed, _REACH_MM, self.voxel_size_mm))
        labels, _ = ndimage.label((bright & near) | seed, np.ones((3, 3, 3)))
        return np.isin(labels, np.unique(labels[seed]))

    def _widened(self, box: Box) -> Box:
        """The box with room for the shell."""
        margins = [int(_SHELL_MM[1] / size) + 1 for size in self.voxel_size_mm]
        return tuple(
            slice(max(part.start - margin, 0), part.stop + margin) for part, margin in zip(box, margins, strict=True)
        )
