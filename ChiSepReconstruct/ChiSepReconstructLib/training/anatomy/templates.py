"""Tissue probabilities of the MNI ICBM152 average, as the nilearn package brings them along.

Fonov V, Evans AC, Botteron K, et al. "Unbiased average age-appropriate atlases for pediatric studies".
NeuroImage 54:313 (2011).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.errors import MissingDependencyError


@dataclass(frozen=True, eq=False)
class Template:
    """Probabilities on the 1 mm MNI grid.

    Parameters
    ----------
    tissues : ndarray of float32, shape (3, X, Y, Z)
        Grey matter, white matter and brain (skull-stripped head), 0 to 1.
    origin_mm : ndarray, shape (3,)
        MNI coordinates (right, anterior, superior) of the first voxel.
    """

    tissues: NDArray[np.float32]
    origin_mm: NDArray[np.float64]


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Load the maps from the installed package; nothing is downloaded.

    Raises
    ------
    MissingDependencyError
        If nilearn is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from nilearn import datasets
    except ImportError as error:
        raise MissingDependencyError("Simulated anatomy needs nilearn: pip install 'chiseparation[train]'.") from error
    grey, white = (load(1) for load in (datasets.load_mni152_gm_template, datasets.load_mni152_wm_template))
    head = datasets.load_mni152_template(1)
    brain = np.asarray(head.dataobj) > 0
    tissues = np.stack([np.asarray(grey.dataobj), np.asarray(white.dataobj), brain]).astype(np.float32)
    tissues.setflags(write=False)
    return Template(tissues, np.asarray(head.affine)[:3, 3])
