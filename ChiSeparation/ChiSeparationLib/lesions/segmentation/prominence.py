"""How far a voxel stands out from every bright way to the brain's surface.

Cortex is as bright as small lesions, but it is connected with the surface by voxels as bright as itself; a lesion is
separated from it by darker white matter. So from the image z, its reconstruction r from the rim R of the brain

    r(x) = max over all ways w from x to R of  min over y in w of z(y)

is taken away, and what is left,

    p(x) = z(x) − r(x) ≥ 0 ,

is the prominence: the height that must be climbed down on the best way out. It needs no atlas, no threshold and no
scale; cortex, however folded, has little of it.

References
----------
L. Vincent, "Morphological grayscale reconstruction in image analysis: applications and efficient algorithms", IEEE
Trans Image Process 2:176-201, 1993.
"""

from __future__ import annotations

import numpy as np

from .smoothing import Mask, Volume


def prominence(z: Volume, brain: Mask, rim: Mask) -> Volume:
    """Height above the best way to the rim.

    Parameters
    ----------
    z : ndarray of float32, shape (I, J, K)
        Any image.
    brain : ndarray of bool, shape (I, J, K)
        Ways lie in it.
    rim : ndarray of bool, shape (I, J, K)
        Where they end.

    Returns
    -------
    ndarray of float32, shape (I, J, K)
        In the units of ``z``; 0 on the rim and outside the brain.
    """
    import SimpleITK

    bottom = np.float32(z[brain].min() - 1)
    mask, marker = np.where(brain, z, bottom), np.where(rim & brain, z, bottom)
    # Ways run through faces: through corners, single voxels of noise would open them.
    reached = SimpleITK.ReconstructionByDilation(
        SimpleITK.GetImageFromArray(marker), SimpleITK.GetImageFromArray(mask), False
    )
    return np.asarray(mask - SimpleITK.GetArrayFromImage(reached), dtype=np.float32)
