"""PDF against analytic dipole fields of spheres; its operators against exact sums and their adjoints."""

from __future__ import annotations

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from adjoint_check import adjoint_mismatch
from ChiSepPreprocessLib.bgremove import fourier as fourier_module
from ChiSepPreprocessLib.bgremove.dipole import dipole_spectrum
from ChiSepPreprocessLib.bgremove.fourier import fast_shape, fourier
from ChiSepPreprocessLib.bgremove.pdf import OutsideDipoles, PdfOptions, pdf
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from sphere_fields import DIRECTIONS, Vector, background, ellipsoid, norm_ratio, sources

SILENT = Reporter()
#: Fewer voxels than the volumes of the other methods' tests: each step takes four transforms.
COARSE_MM = [(2.0, 2.0, 2.0), (2.0, 2.0, 4.0), (3.0, 2.0, 4.0)]
OBLIQUE = (0.36, -0.48, 0.8)


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("voxel_mm", "limit"), [*zip(COARSE_MM, (6.1e-3, 6.2e-3, 6.3e-3), strict=True)])
def test_background_vanishes(voxel_mm: Vector, limit: float, b0: Vector) -> None:
    field, mask = background(voxel_mm, b0), ellipsoid(voxel_mm)
    local, field_mask = pdf(field, mask, voxel_mm, b0, PdfOptions(), SILENT)
    np.testing.assert_array_equal(field_mask, mask)
    assert norm_ratio(local, field, field_mask) < limit
    assert not local[~field_mask].any()


@pytest.mark.parametrize("b0", DIRECTIONS)
@pytest.mark.parametrize(("voxel_mm", "limit"), [*zip(COARSE_MM, (0.19, 0.245, 0.25), strict=True)])
def test_sources_inside_stay(voxel_mm: Vector, limit: float, b0: Vector) -> None:
    truth, mask = sources(voxel_mm, b0), ellipsoid(voxel_mm)
    # As much more than the local field as in a head.
    total = truth + 0.2 * background(voxel_mm, b0)
    local, field_mask = pdf(total, mask, voxel_mm, b0, PdfOptions(tolerance=1e-4), SILENT)
    assert norm_ratio(total, truth, field_mask) > 20
    assert norm_ratio(local - truth, truth, field_mask) < limit
    slope = float((local * truth)[field_mask].sum() / (truth[field_mask] ** 2).sum())
    assert slope == pytest.approx(0.97, abs=0.025)


@pytest.mark.parametrize("shape", [(12, 9, 10), (11, 14, 7)])
def test_the_operator_and_its_adjoint_belong_together(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    inside, weights = rng.random(shape) > 0.5, rng.random(shape)
    dipoles = OutsideDipoles(inside, weights, (1.0, 1.3, 2.0), OBLIQUE, padding=(3, 0, 1))
    assert adjoint_mismatch(dipoles.forward, dipoles.adjoint, shape, shape) < 1e-6
    assert not dipoles.forward(np.where(inside, 1, 0).astype(np.float32)).any()
    assert not dipoles.adjoint(np.where(inside, 0, 1).astype(np.float32)).any()


@pytest.mark.parametrize("shape", [(8, 9, 6), (9, 6, 7)])
def test_dipole_spectrum_is_the_definition_and_even(shape: tuple[int, int, int]) -> None:
    voxel_mm = (1.0, 1.5, 2.0)
    half = dipole_spectrum(shape, voxel_mm, OBLIQUE)
    k = np.stack(np.meshgrid(*map(np.fft.fftfreq, shape, voxel_mm), indexing="ij"))
    nyquist = np.abs(k) * np.reshape(voxel_mm, (3, 1, 1, 1)) == 0.5
    square = np.sum(k**2, axis=0)
    square[0, 0, 0] = np.inf
    readings = []
    for signs in itertools.product((1, -1), repeat=3):
        read = np.where(nyquist, np.reshape(signs, (3, 1, 1, 1)) * k, k)
        readings.append(1 / 3 - np.einsum("aijk,a->ijk", read, OBLIQUE) ** 2 / square)
    whole = np.mean(readings, axis=0)
    whole[0, 0, 0] = 0
    mirrored = np.roll(whole[::-1, ::-1, ::-1], 1, axis=(0, 1, 2))
    np.testing.assert_allclose(whole, mirrored, atol=1e-12)
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, whole[..., : shape[2] // 2 + 1], atol=3e-7)


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


def test_a_constant_changes_nothing() -> None:
    voxel_mm, b0 = COARSE_MM[1], OBLIQUE
    total, mask = sources(voxel_mm, b0) + 0.2 * background(voxel_mm, b0), ellipsoid(voxel_mm)
    one, other = (pdf(total + turn, mask, voxel_mm, b0, PdfOptions(), SILENT)[0] for turn in (0.0, 2.3))
    np.testing.assert_allclose(other, one, atol=1e-4 * np.abs(one).max())


def test_the_unit_of_the_weights_does_not_matter() -> None:
    voxel_mm, b0 = COARSE_MM[2], OBLIQUE
    field, mask = background(voxel_mm, b0), ellipsoid(voxel_mm)
    weights = np.random.default_rng(3).random(mask.shape) + 0.5
    options = PdfOptions(maximum_iterations=5)
    one, other = (pdf(field, mask, voxel_mm, b0, options, SILENT, scale * weights)[0] for scale in (1.0, 1e6))
    np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(field[mask]).max())


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


def test_the_direction_of_b0_may_be_an_array() -> None:
    spectrum = dipole_spectrum((6, 5, 4), (1.0, 1.0, 1.0), np.asarray(OBLIQUE))  # type: ignore[arg-type]
    assert spectrum.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"total_field": np.zeros((5, 5, 6))}, "total field"),
        ({"total_field": np.full((9, 9, 9), np.nan)}, "total field"),
        ({"mask": np.zeros((9, 9, 9), np.bool_)}, "mask"),
        ({"mask": np.ones((9, 9, 9), np.uint8)}, "mask"),
        ({"voxel_size_mm": (1.0, -1.0, 1.0)}, "voxel size"),
        ({"b0_direction_ijk": (0.0, 1.0, 1.0)}, "B0 direction"),
        ({"weights": np.ones((9, 9, 8))}, "weights"),
        ({"weights": np.zeros((9, 9, 9))}, "weights"),
        ({"weights": np.full((9, 9, 9), -1.0)}, "weights"),
        ({"options": PdfOptions(margin_mm=0.0)}, "PDF margin and padding"),
        ({"options": PdfOptions(padding_mm=-1.0)}, "PDF margin and padding"),
        ({"options": PdfOptions(tolerance=0.0)}, "PDF tolerance"),
        ({"options": PdfOptions(maximum_iterations=0)}, "PDF iterations"),
    ],
)
def test_bad_input_is_named(change: dict[str, object], quantity: str) -> None:
    given = {"total_field": np.zeros((9, 9, 9)), "mask": np.ones((9, 9, 9), np.bool_), "voxel_size_mm": (1.0, 1.0, 1.0),
             "b0_direction_ijk": (0.0, 0.0, 1.0), "options": PdfOptions(), "report": SILENT}  # fmt: skip
    with pytest.raises(InputError) as caught:
        pdf(**{**given, **change})  # type: ignore[arg-type]
    assert caught.value.quantity == quantity


def test_can_be_cancelled() -> None:
    field = np.random.default_rng(5).standard_normal((10, 10, 10))
    with pytest.raises(CancelledError):
        pdf(field, field > -9, (1.0, 1.0, 1.0), DIRECTIONS[0], PdfOptions(), Reporter(lambda s: s.fraction < 0.05))
