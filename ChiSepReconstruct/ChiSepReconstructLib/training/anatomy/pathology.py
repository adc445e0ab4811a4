"""What is in some heads only: multiple sclerosis, bleeds, calcifications and foreign shapes.

The classes of lesions are those of Kim et al. 2025 (χ-sepnet), who found in 250 lesions mostly hypointense χ_dia, and
iso- or hyperintense χ_para. Chances and ranges are wider here, so that no class is rare to a network. Deposits reach
from what is just seen to several ppm, as calcification has it in Marques et al. 2021 (−3.3 ppm).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .head import Box, Head, blob, share_of, turned_offsets
from .separable import Volume

#: Factor of each susceptibility in a lesion, by class: hypointense, subtly so, isointense, subtly hyperintense,
#: hyperintense; and how often each class is drawn for para and dia.
_FACTORS: Final = ((0.05, 0.55), (0.55, 0.85), (0.92, 1.08), (1.15, 1.6), (1.6, 5.0))
_PARA_CHANCES: Final = (0.15, 0.1, 0.3, 0.15, 0.3)
_DIA_CHANCES: Final = (0.45, 0.2, 0.2, 0.08, 0.07)


def add_lesions(head: Head, white: Volume, rng: np.random.Generator) -> None:
    """Put multiple sclerosis lesions of all classes into white matter.

    Parameters
    ----------
    head : Head
        Changed in place.
    white : ndarray, shape (I, J, K)
        Share of white matter.
    rng : numpy.random.Generator
        Source of randomness.
    """
    for centre_mm in _random_places(head, white > 0.8, int(rng.integers(3, 60)), rng):
        radius_mm = float(np.clip(rng.lognormal(1.1, 0.5), 1.2, 11.0))
        drawn = blob(head, centre_mm, radius_mm, 0.25, rng)
        if drawn is None:
            continue
        box, depth = drawn
        share = share_of(depth, head.voxel_size_mm, softness_mm=float(rng.uniform(0.3, 1.5)))
        share *= np.clip(white[box] * 1.5, 0, 1)
        water = float(rng.uniform(0, 1))
        head.scale(box, share, {"chi_para": _factor(_PARA_CHANCES, rng), "chi_dia": _factor(_DIA_CHANCES, rng)})
        head.scale(box, share, {"r2": 1 - 0.45 * water, "r1": 1 - 0.4 * water, "proton_density": 1 + 0.2 * water})
        if radius_mm > 2.5 and rng.random() < 0.3:
            _add_rim(head.maps["chi_para"][box], depth, rng)
        head.mark(box, share, "lesion")


def _factor(chances: tuple[float, ...], rng: np.random.Generator) -> float:
    return float(rng.uniform(*_FACTORS[rng.choice(len(chances), p=chances)]))


def _add_rim(chi_para: Volume, depth_mm: Volume, rng: np.random.Generator) -> None:
    """Iron in a shell just inside a lesion's border, ppm."""
    width_mm, at_mm = rng.uniform(0.5, 1.0), rng.uniform(0.3, 1.0)
    chi_para += (rng.uniform(0.015, 0.12) * np.exp(-0.5 * ((depth_mm - at_mm) / width_mm) ** 2)).astype(np.float32)


def add_deposits(head: Head, rng: np.random.Generator) -> None:
    """Put microbleeds, calcifications and haemorrhages anywhere, each kind into some heads."""
    if rng.random() < 0.5:
        for centre_mm in _random_places(head, head.brain, int(rng.integers(1, 25)), rng):
            _deposit(head, centre_mm, rng.uniform(0.6, 3.0), rng.lognormal(-1.0, 0.6), 0.0, "microbleed", rng)
    if rng.random() < 0.4:
        for centre_mm in _random_places(head, head.brain, int(rng.integers(1, 10)), rng):
            _deposit(
                head, centre_mm, rng.uniform(0.6, 4.0), 0.0, min(rng.lognormal(-0.7, 0.9), 3.3), "calcification", rng
            )
    if rng.random() < 0.15:
        for centre_mm in _random_places(head, head.brain, 1, rng):
            _deposit(head, centre_mm, rng.uniform(4, 14), rng.uniform(0.2, 1.5), 0.0, "haemorrhage", rng)


def _deposit(
    head: Head, centre_mm: NDArray[np.float64], radius_mm: float, para_ppm: float, dia_ppm: float, name: str,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    drawn = blob(head, centre_mm, radius_mm, 0.2, rng)
    if drawn is None:
        return
    box, depth = drawn
    share = share_of(depth, head.voxel_size_mm, softness_mm=float(rng.uniform(0, 0.5)))
    values = {"r2": rng.uniform(15, 45), "proton_density": rng.uniform(0.2, 0.9), "chi_para": para_ppm + 0.01,
              "chi_dia": dia_ppm + 0.01}  # fmt: skip
    head.paint(box, share, values)
    head.mark(box, share, name)


def add_shapes(head: Head, count: int, largest_mm: float, rng: np.random.Generator) -> None:
    """Put foreign shapes anywhere, with susceptibilities and rates that no tissue need have.

    Parameters
    ----------
    head : Head
        Changed in place.
    count : int
        Of shapes.
    largest_mm : float
        Half of the largest extent, mm.
    rng : numpy.random.Generator
        Source of randomness.
    """
    for centre_mm in _random_places(head, head.brain, count, rng):
        radius_mm = float(np.exp(rng.uniform(np.log(1.0), np.log(largest_mm))))
        drawn = (
            blob(head, centre_mm, radius_mm, 0.15, rng)
            if rng.random() < 0.5
            else _block(head, centre_mm, radius_mm, rng)
        )
        if drawn is None:
            continue
        box, depth = drawn
        share = share_of(depth, head.voxel_size_mm, softness_mm=float(rng.choice([0.0, 1.0, 4.0])))
        para, dia = np.exp(rng.normal(np.log(0.03), 0.9, 2)) * (rng.random(2) > 0.15)
        head.paint(box, share, {
            "chi_para": float(para), "chi_dia": float(dia), "r2": rng.uniform(2, 28), "r1": rng.uniform(0.25, 1.1),
            "proton_density": rng.uniform(0.5, 1.0), "relaxivity_para": rng.uniform(0.85, 1.15),
            "relaxivity_dia": rng.uniform(0.85, 1.15)})  # fmt: skip
        head.mark(box, share, "shape")


def _block(
    head: Head, centre_mm: NDArray[np.float64], radius_mm: float, rng: np.random.Generator
) -> tuple[Box, Volume] | None:
    """Depth, mm, in a turned box with edges from plates to rods."""
    halves = radius_mm * np.exp(-np.abs(rng.normal(0, 0.8, 3)))
    box = head.box_around(centre_mm, float(np.linalg.norm(halves)) + 2)
    if box is None:
        return None
    offsets = turned_offsets(head.axes_of(box), centre_mm, np.ones(3), rng)
    depths = [np.float32(half) - np.abs(offset) for half, offset in zip(halves, offsets, strict=True)]
    return box, np.minimum(np.minimum(depths[0], depths[1]), depths[2])


def _random_places(
    head: Head, where: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Voxels of a mask, as places in mm; fewer than ``count`` are found where the mask is small."""
    first = np.array([axis[0] for axis in head.axes_mm])
    tries = np.stack([rng.integers(0, n, 200 * count) for n in where.shape], axis=1)
    inside = tries[where[tuple(tries.T)]][:count]
    return list(first + inside * head.voxel_size_mm)
