"""Small heads of random texture with labels that obey the physics, as files of training data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ChiSepPreprocessLib.artifacts import ARTIFACTS, Grid
from ChiSepPreprocessLib.files import write_json, write_nifti

#: Voxel indices to RAS: to posterior, left to right, inferior to superior.
TRAINED = np.array([[0.0, 1, 0, -20], [-1, 0, 0, 30], [0, 0, 1, 5], [0, 0, 0, 1]])

RELAXIVITY = 118.2
Volume = NDArray[np.float32]


def texture(random: np.random.Generator, shape: tuple[int, int, int], sigma: float) -> Volume:
    """Smooth noise of standard deviation 1."""
    found = gaussian_filter(random.standard_normal(shape), sigma)
    return np.asarray(found / found.std(), dtype=np.float32)


def ellipsoid(shape: tuple[int, int, int], share: float = 0.9) -> NDArray[np.bool_]:
    """Centred ellipsoid over a share of each axis."""
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return np.asarray(sum(((2 * at - n + 1) / (share * n)) ** 2 for at, n in zip(axes, shape, strict=True)) <= 1)


def field_of(chi: Volume) -> Volume:
    """Field of a susceptibility, B0 along the third axis, by a plain discrete transform of a padded volume."""
    shape = tuple(2 * n for n in chi.shape)
    k = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij", sparse=True)
    length = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    kernel = 1 / 3 - k[2] ** 2 / np.where(length == 0, 1, length)
    kernel[0, 0, 0] = 0
    padded = np.zeros(shape)
    i, j, l = chi.shape  # noqa: E741
    padded[:i, :j, :l] = chi
    return np.fft.ifftn(np.fft.fftn(padded) * kernel).real[:i, :j, :l].astype(np.float32)


def make_maps(seed: int, shape: tuple[int, int, int] = (36, 34, 33), noise: float = 0.02) -> dict[str, Any]:
    """Maps of one head by their paths in its folder."""
    random, mask = np.random.default_rng(seed), ellipsoid(shape)
    para = 0.03 * np.maximum(0.7 + texture(random, shape, 2.0), 0) * mask
    dia = 0.03 * np.maximum(0.7 + texture(random, shape, 2.5), 0) * mask
    field, r2prime = field_of(para - dia) * mask, RELAXIVITY * (para + dia)
    measured = field + noise * field.std() * random.standard_normal(shape)
    noisy = np.maximum(r2prime + noise * r2prime.std() * random.standard_normal(shape), 0)
    r2 = 14 + texture(random, shape, 3.0)
    found = {
        "brain_mask": mask, "local_field": measured, "r2prime": noisy, "r2star": r2 + noisy, "r2": r2,
        "truth/chi_para": para, "truth/chi_dia": dia, "truth/chi_total": para - dia, "truth/r2prime": r2prime,
    }  # fmt: skip
    return {name: one if one.dtype == np.bool_ else (one * mask).astype(np.float32) for name, one in found.items()}


def write_head(
    folder: Path,
    maps: Mapping[str, Any],
    affine: NDArray[np.float64] = TRAINED,
    *,
    notes: bool = True,
    end: str = ".nii",
) -> Path:  # fmt: skip
    """Write maps, with sidecars if wanted."""
    for path, data in maps.items():
        write_nifti(folder / f"{path}{end}", data, Grid(data.shape, affine))
        if notes:
            name = Path(path).name
            write_json(folder / f"{path}.json", {"artifact": name, "unit": ARTIFACTS[name].unit,
                       "field_strength_t": 3.0, "b0_direction_ijk": [0.0, 0.0, 1.0]})  # fmt: skip
    return folder


def write_heads(folder: Path, count: int = 3, shape: tuple[int, int, int] = (36, 34, 33)) -> Path:
    """Write a folder of training data."""
    for seed in range(count):
        write_head(folder / f"s{seed:04d}", make_maps(seed, shape))
    return folder
