"""What users are told about voxels of other sizes than the training's."""

from __future__ import annotations

import pytest

from ChiSepReconstructLib.networks.domain import MEASURED, domain_warnings
from ChiSepReconstructLib.networks.weights.store import SHIPPED
from ChiSepReconstructLib.networks.weights.weight_set import read_set

_SHIPPED = read_set(SHIPPED / "simulated-1")


def _about_voxels(voxel_size_mm: tuple[float, float, float]) -> list[str]:
    return [text for text in domain_warnings(_SHIPPED, voxel_size_mm) if text.startswith("Voxels")]


@pytest.mark.parametrize(
    ("voxel_size_mm", "nearest", "changes"),
    [
        ((2.0, 2.0, 2.0), "2 × 2 × 2 mm in place of 1 × 1 × 1 mm", "10.1 to 9.5 % and χ_dia from 9.1 to 9.2 %"),
        ((3.1, 0.9, 0.9), "1 × 1 × 3 mm", "χ_dia from 9.1 to 9.3 %"),
        ((0.5, 0.5, 0.5), "0.6 × 0.6 × 0.6 mm", "χ_para from 10.1 to 10.4 %"),
        ((5.0, 5.0, 5.0), "3 × 3 × 3 mm", "χ_dia from 9.1 to 10.8 %"),
    ],
)  # fmt: skip
def test_the_loss_at_the_nearest_measured_size_is_told(
    voxel_size_mm: tuple[float, float, float], nearest: str, changes: str
) -> None:
    (text,) = _about_voxels(voxel_size_mm)
    assert nearest in text
    assert changes in text
    assert "tested with edges from" in text


def test_sizes_that_were_tested_are_not_spoken_of() -> None:
    assert not _about_voxels((1.0, 1.0, 1.6))


def test_the_trained_size_is_among_the_measured_ones() -> None:
    for name, sizes in MEASURED.items():
        trained_mm = read_set(SHIPPED / name).voxel_size_mm
        assert sizes[trained_mm] == (10.1, 9.1)
        assert all(edges == tuple(sorted(edges)) for edges in sizes)
