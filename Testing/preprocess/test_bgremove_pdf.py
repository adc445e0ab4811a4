"""PDF against analytic dipole fields of spheres; its operators against exact sums and their adjoints."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from adjoint_check import adjoint_mismatch
from ChiSepPreprocessLib.bgremove import fourier as fourier_module
from ChiSepPreprocessLib.bgremove.fourier import fast_shape, fourier
from ChiSepPreprocessLib.bgremove.pdf import OutsideDipoles, PdfOptions, pdf
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from sphere_fields import COARSE_MM, DIRECTIONS, Vector, background, coordinates_mm, ellipsoid, norm_ratio, sources

SILENT = Reporter()
OBLIQUE = (0.36, -0.48, 0.8)


@pytest.mark.parametrize("shape", [(12, 9, 10), (11, 14, 7)])
def test_the_operator_and_its_adjoint_belong_together(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    inside, weights = rng.random(shape) > 0.5, rng.random(shape)
    dipoles = OutsideDipoles(inside, weights, (1.0, 1.3, 2.0), OBLIQUE, padding=(3, 0, 1))
    assert adjoint_mismatch(dipoles.forward, dipoles.adjoint, shape, shape) < 1e-6
    assert not dipoles.forward(np.where(inside, 1, 0).astype(np.float32)).any()
    assert not dipoles.adjoint(np.where(inside, 0, 1).astype(np.float32)).any()


def test_the_field_around_a_ball_is_that_of_a_dipole() -> None:
    voxel_mm, shape, sigma_mm = (1.0, 1.2, 1.5), (41, 36, 29), 2.0
    axes = [(np.arange(n) - n // 2) * size for n, size in zip(shape, voxel_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    square = x**2 + y**2 + z**2
    ball = np.exp(-square / (2 * sigma_mm**2)).astype(np.float32)
    dipoles = OutsideDipoles(np.zeros(shape, np.bool_), ball, voxel_mm, OBLIQUE, padding=(90, 84, 67))
    shell = (square > (5 * sigma_mm) ** 2) & (square < 16**2)
    along = (x * OBLIQUE[0] + y * OBLIQUE[1] + z * OBLIQUE[2])[shell]
    moment = ball.sum() * np.prod(voxel_mm) / (4 * np.pi)
    exact = moment * (3 * along**2 / square[shell] - 1) / square[shell] ** 1.5
    assert np.linalg.norm(dipoles.field(ball)[shell] - exact) / np.linalg.norm(exact) < 3e-4


def test_noisy_voxels_count_less() -> None:
    voxel_mm, b0 = COARSE_MM[0], OBLIQUE
    truth, mask = background(voxel_mm, b0), ellipsoid(voxel_mm)
    rng = np.random.default_rng(2)
    spread = np.where(rng.random(mask.shape) < 0.2, 1.0, 1e-3)
    noisy = truth + spread * rng.standard_normal(mask.shape)
    errors = []
    for weights in (None, 1 / spread):
        local = pdf(noisy, mask, voxel_mm, b0, PdfOptions(), SILENT, weights)[0]
        errors.append(norm_ratio(noisy - local - truth, truth, mask))
    assert errors == pytest.approx([1.165, 0.037], rel=0.02)


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("voxel_mm", "limit"), [*zip(COARSE_MM, (0.2, 0.25, 0.255), strict=True)])
def test_the_background_beside_air_is_removed_though_the_field_is_uncertain_there(
    voxel_mm: Vector, limit: float, b0: Vector
) -> None:
    truth, mask = sources(voxel_mm, b0), ellipsoid(voxel_mm)
    x, y, z = coordinates_mm(voxel_mm)
    from_sinus_mm = np.sqrt(x**2 + (y - 58) ** 2 + (z + 25) ** 2) - 14
    sigma_ppm = 4e-4 + 0.05 * np.exp(-np.maximum(from_sinus_mm, 0) / 8)
    total = truth + 0.2 * background(voxel_mm, b0)
    local, valid = pdf(total, mask, voxel_mm, b0, PdfOptions(tolerance=1e-4), SILENT, 1 / sigma_ppm)
    np.testing.assert_array_equal(valid, mask)
    assert norm_ratio(total, truth, mask) > 20
    assert norm_ratio(local - truth, truth, mask) < limit


def test_weights_are_one_over_noise_and_local_field() -> None:
    """Voxels without noise count as if there were no weights; those of unknown field not at all."""
    voxel_mm, b0 = COARSE_MM[2], OBLIQUE
    field, mask = background(voxel_mm, b0), ellipsoid(voxel_mm)
    options = PdfOptions(maximum_iterations=5)
    plain = pdf(field, mask, voxel_mm, b0, options, SILENT)[0]
    even = pdf(field, mask, voxel_mm, b0, options, SILENT, np.full(mask.shape, 1e8))[0]
    np.testing.assert_allclose(even, plain, atol=1e-6 * np.abs(field[mask]).max())
    known = np.random.default_rng(3).random(mask.shape) < 0.9
    one, other = (pdf(np.where(known, field, wrong), mask, voxel_mm, b0, options, SILENT, known / 0.02)[0]
                  for wrong in (0.0, 77.0))  # fmt: skip
    np.testing.assert_array_equal(one[known], other[known])


def test_a_constant_changes_nothing() -> None:
    voxel_mm, b0 = COARSE_MM[1], OBLIQUE
    total, mask = sources(voxel_mm, b0) + 0.2 * background(voxel_mm, b0), ellipsoid(voxel_mm)
    one, other = (pdf(total + turn, mask, voxel_mm, b0, PdfOptions(), SILENT)[0] for turn in (0.0, 2.3))
    np.testing.assert_allclose(other, one, atol=1e-4 * np.abs(one).max())


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_transforms_agree_on_every_device(device: str) -> None:
    if device == "torch":
        pytest.importorskip("torch")
    shape = (7, 10, 9)
    volume = np.random.default_rng(4).standard_normal(shape).astype(np.float32)
    padded = fast_shape(shape, (2, 1, 3))
    transform = fourier(shape, padded, "cpu" if device == "cpu" else "cpu:0")
    spectrum = transform.forward(transform.load(volume))
    np.testing.assert_allclose(transform.fetch(spectrum), np.fft.rfftn(volume, padded, axes=(0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(transform.fetch(transform.backward(spectrum)), volume, atol=1e-6)


@pytest.mark.parametrize(("free", "device"), [(10**9, "_Torch"), (10**5, "_Processor"), (None, "_Processor")])
def test_a_gpu_without_memory_is_left_alone(free: int | None, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def memory() -> tuple[int, int]:
        if free is None:
            raise RuntimeError("device busy")
        return free, 2 * free

    cuda = SimpleNamespace(is_available=lambda: True, mem_get_info=memory, memory_reserved=lambda: 300,
                           memory_allocated=lambda: 200)  # fmt: skip
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(fourier_module, "_torch_sees_a_gpu", lambda: True)
    assert type(fourier((20, 20, 20), (24, 24, 24))).__name__ == device


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"b0_direction_ijk": (0.0, 1.0, 1.0)}, "B0 direction"),
        ({"weights": np.ones((9, 9, 8))}, "weights"),
        ({"weights": np.zeros((9, 9, 9))}, "weights"),
        ({"weights": np.full((9, 9, 9), -1.0)}, "weights"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], quantity: str) -> None:
    given = {"total_field": np.zeros((9, 9, 9)), "mask": np.ones((9, 9, 9), np.bool_), "voxel_size_mm": (1.0, 1.0, 1.0),
             "b0_direction_ijk": (0.0, 0.0, 1.0), "options": PdfOptions(), "report": SILENT}  # fmt: skip
    with pytest.raises(InputError) as caught:
        pdf(**{**given, **change})  # type: ignore[arg-type]
    assert caught.value.quantity == quantity


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        ({"margin_mm": 0.0}, "PDF margin and padding"),
        ({"margin_mm": 101.0}, "PDF margin and padding"),
        ({"padding_mm": -1.0}, "PDF margin and padding"),
        ({"padding_mm": 101.0}, "PDF margin and padding"),
        ({"local_field_ppm": 0.0}, "PDF local field"),
        ({"local_field_ppm": 11.0}, "PDF local field"),
        ({"tolerance": 0.0}, "PDF tolerance"),
        ({"tolerance": math.nan}, "PDF tolerance"),
        ({"maximum_iterations": 0}, "PDF iterations"),
        ({"maximum_iterations": 10_001}, "PDF iterations"),
    ],
)
def test_options_out_of_range_are_refused(values: dict[str, Any], quantity: str) -> None:
    with pytest.raises(InputError) as caught:
        PdfOptions(**values)
    assert caught.value.quantity == quantity


def test_can_be_cancelled() -> None:
    field = np.random.default_rng(5).standard_normal((10, 10, 10))
    with pytest.raises(CancelledError):
        pdf(field, field > -9, (1.0, 1.0, 1.0), DIRECTIONS[0], PdfOptions(), Reporter(lambda s: s.fraction < 0.05))
