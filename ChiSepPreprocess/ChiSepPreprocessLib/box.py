"""The box around a mask, outside which nothing needs to be computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]


def bounding_box(mask: NDArray[np.bool_], margin: int = 0) -> Box:
    """Smallest box that holds a mask that is not empty, enlarged by ``margin`` voxels inside the image."""
    spans = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    i, j, k = (
        slice(max(int(span[0]) - margin, 0), min(int(span[-1]) + 1 + margin, n))
        for span, n in zip(spans, mask.shape, strict=True)
    )
    return i, j, k
