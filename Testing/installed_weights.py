"""Sets of random weights in the user's data folder, and maps for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T
from ChiSepReconstructLib.networks.normalisation import Normalisation
from ChiSepReconstructLib.networks.unet import UNet
from ChiSepReconstructLib.networks.weights.importing import PUBLISHED_NAMES
from ChiSepReconstructLib.networks.weights.state import to_safetensors
from ChiSepReconstructLib.networks.weights.store import weights_folder
from ChiSepReconstructLib.networks.weights.weight_set import (
    OUTPUTS,
    NetworkFile,
    Role,
    WeightSet,
    read_set,
    write_manifest,
)
from random_networks import consistent_network
from weight_files import PUBLISHED

#: As published, ppm.
CONSTANTS = {name: Normalisation(*PUBLISHED[published]) for name, published in PUBLISHED_NAMES.items()}

FULL: Mapping[Role, tuple[str, ...]] = {
    "qsmnet": ("local_field",),
    "r2primenet": ("r2star",),
    "chisepnet": ("chi_total", "local_field", "r2prime"),
}


@cache
def network(role: Role, inputs: tuple[str, ...], base_width: int = 4) -> UNet:
    """Random, with activations of the scale of trained ones."""
    channels, outputs = len(inputs), len(OUTPUTS[role])
    seed = list(FULL).index(role) + 10 * channels
    return consistent_network(channels, outputs, base_width, seed, calibration=(32, 32, 32))


def install(
    name: str = "random", *, inputs: Mapping[Role, tuple[str, ...]] = FULL,
    constants: Mapping[str, Normalisation] | None = None, **changed: Any,
) -> WeightSet:  # fmt: skip
    """Write a set into the data folder that ``CHISEP_DATA`` names."""
    folder = weights_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[Role, NetworkFile] = {}
    for role, names in inputs.items():
        one, path = network(role, names), folder / f"{role}.safetensors"
        path.write_bytes(to_safetensors(one.state_dict()))
        files[role] = NetworkFile.describing(path, one.conv11.conv.out_channels, names)
    described = WeightSet(
        name=name, title="random weights", networks=files, normalisation=dict(constants or CONSTANTS),
        relaxivity_hz_per_ppm=114.0, field_strength_t=PAPER_FIELD_STRENGTH_T, voxel_size_mm=(1.0, 1.0, 1.0),
        smallest_voxel_mm=0.6, largest_voxel_mm=3.0, training_domain="in vivo", licence="none", source="a test",
    )  # fmt: skip
    write_manifest(replace(described, **changed), folder)
    return read_set(folder)


def axial_grid(shape: tuple[int, ...], voxel_size_mm: ArrayLike = 1.0) -> Grid:
    """RAS, centred about (3, −5, 8) mm."""
    affine = np.diag([*np.broadcast_to(np.asarray(voxel_size_mm, dtype=np.float64), 3), 1.0])
    affine[:3, 3] = np.array([3.0, -5.0, 8.0]) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    return Grid(shape, affine)


def scan_of(grid: Grid, field_strength_t: float = 3.0) -> ScanParameters:
    return ScanParameters(
        echo_times_s=(0.005, 0.01), field_strength_t=field_strength_t, b0_direction_ijk=grid.b0_direction_ijk
    )


def map_set(grid: Grid, field_strength_t: float = 3.0, **data: Array) -> MapSet:
    """Maps by name on a grid whose own affine tells where B0 is."""
    maps = {name: Map(name=name, data=one, grid=grid) for name, one in data.items()}
    return MapSet(grid, scan_of(grid, field_strength_t), maps)
