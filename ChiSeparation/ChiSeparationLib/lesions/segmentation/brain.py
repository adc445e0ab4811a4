"""Where the brain is in a FLAIR: the given mask, or what brain extraction has left."""

from __future__ import annotations

import numpy as np

from ChiSepPreprocessLib.artifacts import Array, Image, check_volume
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.morphology import largest_component

from .smoothing import Mask

#: Of a brain, also a child's or one with much atrophy; a head is larger.
_LARGEST_EXTRACTED_ML = 2200.0
_SMALLEST_ML = 300.0

_GIVE_ONE = "Give a brain mask, such as one from brain extraction on the FLAIR or T1."


def brain_of(flair: Image, given: Array | None) -> Mask:
    """The brain's voxels.

    Parameters
    ----------
    flair : Image
        Brain-extracted (0 outside the brain) unless a mask is given.
    given : ndarray of bool, shape (I, J, K), optional
        Brain mask on the image's grid.

    Raises
    ------
    InputError
        If the mask does not fit, or none is given and the image holds more than a brain.
    """
    data, grid = flair.data, flair.grid
    if given is not None:
        check_volume("brain mask", given, grid.shape)
        if given.dtype != np.bool_ or not given.any():
            raise InputError("brain mask", f"dtype {given.dtype}, {np.count_nonzero(given)} voxels", "bool with voxels")
        return given & (data != 0) if np.any(data[given] != 0) else given
    outside = data == 0
    # Outside a whole head there is noise, or the head fills more of the image than a brain does.
    if np.count_nonzero(outside) < 0.2 * outside.size:
        raise InputError("brain mask", "none, and a FLAIR that is not 0 outside the brain", "a brain mask", _GIVE_ONE)
    brain = largest_component(~outside)
    volume_ml = np.count_nonzero(brain) * grid.voxel_volume_mm3 / 1e3
    if not _SMALLEST_ML <= volume_ml <= _LARGEST_EXTRACTED_ML:
        raise InputError("brain mask", f"none, and a FLAIR with {volume_ml:.0f} ml that are not 0",
                         f"a brain of {_SMALLEST_ML:g} to {_LARGEST_EXTRACTED_ML:g} ml", _GIVE_ONE)  # fmt: skip
    return brain
