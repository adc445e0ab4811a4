"""Whether a mask can be the brain of an image."""

from __future__ import annotations

import numpy as np

from ..artifacts import Array
from ..errors import InputError
from ..morphology import Mask

#: Plausible volume of an adult brain mask, ml.
BRAIN_VOLUME_ML = (800.0, 2200.0)
#: A mask of more of the image than this is not a brain.
_WHOLE_IMAGE = 0.98
#: A mask of more air than this is larger than the head, or misplaced.
_MOST_AIR = 0.4
#: Between the 2 % and 98 % quantiles of the intensity, what is darker than this share counts as air (Smith 2002).
_AIR = 0.1

_HINT = "Check that the mask belongs to this scan."


def check_mask(mask: Mask, magnitude: Array, voxel_volume_mm3: float) -> tuple[str, ...]:
    """Refuse what cannot be a brain mask, and doubt what hardly can.

    Parameters
    ----------
    mask : ndarray of bool, shape (I, J, K)
        Brain.
    magnitude : ndarray, shape (I, J, K)
        One image of all echoes, a.u.
    voxel_volume_mm3 : float
        mm³.

    Returns
    -------
    tuple of str
        Warnings; none if the volume is plausible.

    Raises
    ------
    InputError
        If the mask has another shape, is empty, holds the whole image or mostly air.
    """
    if mask.shape != magnitude.shape or mask.dtype != np.bool_:
        raise InputError("brain mask", f"{mask.dtype} of shape {mask.shape}", f"bool of shape {magnitude.shape}", _HINT)
    share = float(mask.mean())
    if share == 0:
        raise InputError("brain mask", "no voxel inside", "a mask with voxels inside", _HINT)
    if share > _WHOLE_IMAGE:
        raise InputError("brain mask", f"{share:.0%} of the image", "the brain alone", _HINT)
    low, high = np.percentile(magnitude[::2, ::2, ::2], (2, 98))
    air = float(np.mean(magnitude[mask] <= low + _AIR * (high - low)))
    if air > _MOST_AIR:
        raise InputError("brain mask", f"{air:.0%} of its voxels without signal", "voxels with signal", _HINT)
    volume_ml = np.count_nonzero(mask) * voxel_volume_mm3 / 1e3
    least, most = BRAIN_VOLUME_ML
    if least <= volume_ml <= most:
        return ()
    return (f"The brain mask holds {volume_ml:.0f} ml; an adult brain has {least:.0f} to {most:.0f} ml. Check it.",)
