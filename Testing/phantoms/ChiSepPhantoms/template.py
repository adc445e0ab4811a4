"""The average brain that every simulated patient is warped from.

Grey and white matter probability and the T1-weighted average of the MNI ICBM 2009a template are read from the installed
``nilearn`` package; nothing of them is kept in this project.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ChiSepPreprocessLib.errors import MissingDependencyError

from .geometry import Matrix, Volume

_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"

#: Averages are blurred; this power brings the tissue fractions closer to those of one person.
_SHARPENING = np.float32(3.0)

#: Planes added below the brain, and the voxel on which distances are measured, mm.
_BELOW, _COARSE = 25, 3


@dataclass(frozen=True, eq=False)
class Template:
    """Maps in MNI space, 1 mm, float32.

    Parameters
    ----------
    grey, white, csf : ndarray
        Fractions inside the brain, sum 1.
    brain : ndarray
        Smooth; above 0.5 inside the brain.
    outside_mm : ndarray
        Distance from the inner table of the skull, mm; negative inside.
    myelin : ndarray
        Brightness of the T1 average relative to white matter's mean: a stand-in for myelin.
    affine : ndarray, shape (4, 4)
        Voxel to MNI mm.
    """

    grey: Volume
    white: Volume
    csf: Volume
    brain: Volume
    outside_mm: Volume
    myelin: Volume
    affine: Matrix


def _read(name: str) -> tuple[Volume, Matrix]:
    import nibabel

    try:
        import nilearn
    except ImportError as error:
        raise MissingDependencyError("The simulated patient needs nilearn: pip install nilearn.") from error
    path = Path(nilearn.__file__).parent / "datasets" / "data" / _FILE.format(name)
    if not path.is_file():
        raise MissingDependencyError(f"nilearn has no {path.name}; install nilearn 0.12 to 0.14.")
    image = nibabel.load(path)
    return np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine)


def _padded(volume: Volume) -> Volume:
    """Room for skull and scalp below the brain, where the template ends."""
    return np.pad(volume, ((0, 0), (0, 0), (_BELOW, 0)))


def _distance_mm(mask: Volume) -> Volume:
    """Signed distance from the mask's surface, mm, positive outside; for a mask on a grid of ``_COARSE`` mm."""
    from scipy import ndimage

    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.asarray(_COARSE * (outside - inside), dtype=np.float32)


def _inner_skull_mm(brain: Volume, gap_mm: float = 2.0, closing_mm: float = 14.0) -> Volume:
    """Distance from a smooth case around the brain: a closing, which does not follow the brain's clefts."""
    from scipy import ndimage

    coarse = brain[::_COARSE, ::_COARSE, ::_COARSE]
    dilated = _distance_mm(coarse) < closing_mm
    case = _distance_mm(dilated) < -closing_mm
    outside = ndimage.gaussian_filter(_distance_mm(case | coarse), 1.0) - np.float32(gap_mm)
    to_coarse = np.full(3, 1 / _COARSE)
    return np.asarray(ndimage.affine_transform(outside, to_coarse, output_shape=brain.shape, order=1, mode="nearest"))


def _fluid(brightness: Volume) -> Volume:
    """Share of CSF by darkness in the T1-weighted average: none above 0.68 of white matter, all below 0.42."""
    part = np.clip((np.float32(0.68) - brightness) / np.float32(0.26), 0, 1)
    return np.asarray(part * part * (3 - 2 * part))


@lru_cache(maxsize=1)
def template() -> Template:
    """Read and prepare the template, once for a process.

    Raises
    ------
    MissingDependencyError
        If nilearn or its maps are not installed.
    """
    from scipy import ndimage

    (t1, affine), (grey, _), (white, _) = _read("t1"), _read("gm"), _read("wm")
    t1, grey, white = _padded(t1), _padded(grey / 255), _padded(white / 255)
    affine = affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [0, 0, _BELOW]
    mask = t1 > 0
    myelin = ndimage.gaussian_filter(t1, 0.7) / t1[white > 0.9].mean()
    csf = np.maximum(np.clip(1 - grey - white, 0, 1), _fluid(myelin))
    fractions = [np.power(part, _SHARPENING) for part in (grey * (1 - csf), white, csf)]
    total = np.maximum(sum(fractions), np.float32(1e-6))
    grey, white, csf = (part / total for part in fractions)
    brain = ndimage.gaussian_filter(mask.astype(np.float32), 1.0)
    return Template(grey, white, csf, brain, _inner_skull_mm(mask), myelin, affine)
