"""Zero of the susceptibility scale: QSM is known up to a constant, which a reference region fixes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import MapSet

from .csf import csf_mask, ventricles

#: A smaller region would let noise set the zero of the whole map.
MINIMUM_REGION_MM3 = 200.0


@dataclass(frozen=True)
class Reference:
    """Which region was set to zero.

    Parameters
    ----------
    region : str
        Its name.
    volume_mm3 : float
        Its size.
    subtracted_ppm : float
        Mean of the map there before.
    warnings : tuple of str
        What the user should know.
    """

    region: str
    volume_mm3: float
    subtracted_ppm: float
    warnings: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """JSON-ready, without the warnings."""
        return {key: value for key, value in asdict(self).items() if key != "warnings"}


def reference_to(
    chi_ppm: NDArray[Any],
    region: NDArray[np.bool_],
    name: str,
    brain_mask: NDArray[np.bool_],
    voxel_volume_mm3: float,
    minimum_mm3: float = MINIMUM_REGION_MM3,
) -> tuple[NDArray[np.float32], Reference]:
    """Subtract the mean of a region, or of the whole brain, with a warning, where that region is too small.

    Parameters
    ----------
    chi_ppm : ndarray, shape (I, J, K)
        ppm.
    region : ndarray of bool, shape (I, J, K)
        Taken inside ``brain_mask``.
    name : str
        The region's name, for the record.
    brain_mask : ndarray of bool, shape (I, J, K)
        Outside it the result is 0.
    voxel_volume_mm3, minimum_mm3 : float
        mm³.

    Returns
    -------
    chi_ppm : ndarray, float32
        Referenced.
    reference : Reference
        What was done.
    """
    inside = region & brain_mask
    volume_mm3 = float(inside.sum() * voxel_volume_mm3)
    if volume_mm3 >= minimum_mm3:
        return _subtract(chi_ppm, inside, name, brain_mask, voxel_volume_mm3, ())
    warning = (
        f"The reference region, {name}, has {volume_mm3:.0f} mm³, below {minimum_mm3:.0f} mm³; "
        "the mean of the whole brain is set to zero instead, which biases absolute values."
    )
    return _subtract(chi_ppm, brain_mask, "brain", brain_mask, voxel_volume_mm3, (warning,))


def _subtract(
    chi_ppm: NDArray[Any],
    region: NDArray[np.bool_],
    name: str,
    brain_mask: NDArray[np.bool_],
    voxel_volume_mm3: float,
    warnings: tuple[str, ...],
) -> tuple[NDArray[np.float32], Reference]:
    mean = float(chi_ppm[region].mean(dtype=np.float64))
    referenced = np.where(brain_mask, chi_ppm - mean, 0.0).astype(np.float32, copy=False)
    return referenced, Reference(name, float(region.sum() * voxel_volume_mm3), mean, warnings)


def reference_in(maps: MapSet, mask: NDArray[np.bool_], chi_ppm: NDArray[Any]) -> tuple[NDArray[np.float32], Reference]:
    """Reference a QSM map to ventricular CSF, found in the maps' ``csf_mask``, else in ``r2star`` (MEDI+0).

    Sulci are left out even if ``csf_mask`` holds them: streaks from the brain's edge would set the zero there.
    """
    region, name = reference_region(maps)
    return reference_to(chi_ppm, region, name, mask, maps.grid.voxel_volume_mm3)


def reference_region(maps: MapSet) -> tuple[NDArray[np.bool_], str]:
    """Ventricular CSF, empty if it cannot be found, and what it was found in."""
    voxel_size_mm = maps.grid.voxel_size_mm
    if "csf_mask" in maps:
        region = ventricles(maps.array("csf_mask"), maps.array("brain_mask"), voxel_size_mm)
        return region, "CSF in the ventricles (csf_mask)"
    if "r2star" in maps:
        region = csf_mask(maps.array("r2star"), maps.array("brain_mask"), voxel_size_mm)
        return region, "CSF in the ventricles (MEDI+0)"
    return np.zeros(maps.grid.shape, dtype=bool), "CSF (neither csf_mask nor r2star is there)"
