"""The phantom's signals against closed formulas and a simulation of single spins."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPhantoms import PhantomOptions
from ChiSepPhantoms.epg import spin_echo_train
from ChiSepPhantoms.geometry import FineGrid
from ChiSepPhantoms.render import Rendering
from ChiSepPhantoms.signals import gradient_echo, with_noise
from ChiSepPhantoms.tissues import relaxivities_hz_per_ppm
from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter


def _spins(r2: float, b1: float, r1: float, spacing_s: float, echoes: int, refocusing_deg: float) -> list[float]:
    """CPMG by rotating single spins, spread evenly over one turn of dephasing in each half interval."""
    turn = 2 * np.pi * np.arange(256) / 256
    along_y = np.deg2rad(90 * b1)
    transverse, along = np.full(256, np.sin(along_y), dtype=complex), np.full(256, np.cos(along_y))
    angle, found = np.deg2rad(refocusing_deg * b1), []
    for _ in range(echoes):
        for half in (0, 1):
            transverse = transverse * np.exp(1j * turn - spacing_s / 2 * r2)
            along = 1 + (along - 1) * np.exp(-spacing_s / 2 * r1)
            if half == 0:  # the axis of the refocusing pulse is that of the excited magnetisation, x
                y, z = transverse.imag, along
                transverse = transverse.real + 1j * (np.cos(angle) * y - np.sin(angle) * z)
                along = np.sin(angle) * y + np.cos(angle) * z
        found.append(abs(transverse.mean()))
    return found


def test_exact_pulses_give_the_exponential() -> None:
    r2 = np.array([0.6, 12.5, 45.0])
    echoes = spin_echo_train(r2, 1.0, 1.0, 0.015, 6)
    expected = np.exp(-0.015 * np.arange(1, 7)[:, None] * r2)
    np.testing.assert_allclose(echoes, expected, rtol=1e-12)


@pytest.mark.parametrize(("b1", "refocusing_deg"), [(0.7, 180.0), (0.9, 150.0), (1.15, 180.0), (1.0, 120.0)])
def test_imperfect_pulses_agree_with_single_spins(b1: float, refocusing_deg: float) -> None:
    echoes = spin_echo_train(12.5, b1, 0.8, 0.015, 6, refocusing_deg)
    np.testing.assert_allclose(echoes, _spins(12.5, b1, 0.8, 0.015, 6, refocusing_deg), rtol=1e-9)


def _uniform(fine: FineGrid, **values: float) -> Rendering:
    shape = fine.grid.shape
    fields = {name: np.full(shape, values[name], np.float32) for name in ("chi_para", "chi_dia", "r2", "r1", "density")}
    return Rendering(fine.grid, **fields, labels=np.zeros(shape, np.uint8), brain=np.ones(shape, bool),
                     air=np.zeros(shape, bool))  # fmt: skip


def _record(gradient_hz_per_mm: float, offset_hz: float, rate: float) -> tuple[np.ndarray, PhantomOptions]:
    options = PhantomOptions()
    fine = FineGrid.of(Grid((5, 3, 9), np.diag([1.0, 1.0, 2.0, 1.0])), 0.25)
    matter = _uniform(fine, chi_para=0.0, chi_dia=0.0, r2=rate, r1=1.0, density=0.8)
    z = fine.grid.affine[2, 3] + fine.grid.affine[2, 2] * np.arange(fine.grid.shape[2])
    field = np.broadcast_to(offset_hz + gradient_hz_per_mm * z, fine.grid.shape).astype(np.float32)
    return gradient_echo(matter, fine, field, matter.r2, options, Reporter()), options


def test_uniform_matter_decays_exponentially_and_turns_with_the_field() -> None:
    signal, options = _record(0.0, 40.0, 25.0)
    times = np.array(options.echo_times_s)
    ernst = 0.8 * np.sin(np.pi / 12) * (1 - np.exp(-0.038)) / (1 - np.cos(np.pi / 12) * np.exp(-0.038))
    np.testing.assert_allclose(np.abs(signal[2, 1, 4]), ernst * np.exp(-25.0 * times), rtol=2e-6)
    turns = np.angle(signal[2, 1, 4] * np.exp(-2j * np.pi * 40.0 * times))
    assert np.abs(turns).max() < 1e-5
    assert np.ptp(np.angle(signal[2, 1, 4])) > 5.0  # 40 Hz wraps within 33 ms


def test_gradient_across_a_voxel_dephases_as_a_sinc() -> None:
    flat, options = _record(0.0, 0.0, 25.0)
    steep, _ = _record(10.0, 0.0, 25.0)
    expected = np.abs(np.sinc(10.0 * 2.0 * np.array(options.echo_times_s)))
    # Eight cells of 0.25 mm stand for the integral: sin(x) / (8 sin(x/8)) against sin(x)/x.
    np.testing.assert_allclose(np.abs(steep[2, 1, 4]) / np.abs(flat[2, 1, 4]), expected, atol=0.006)


@pytest.mark.parametrize("is_complex", [True, False])
def test_noise_is_as_defined(is_complex: bool) -> None:
    brain = np.zeros((40, 40, 40), dtype=bool)
    brain[10:30, 10:30, 10:30] = True
    signal = np.where(brain, 3.0, 0.0)[..., None] * np.array([1.0, 0.5])
    noisy = with_noise(signal.astype(np.complex64 if is_complex else np.float32), brain, 50.0, np.random.default_rng(0))
    assert np.abs(noisy[brain, 0]).mean() == pytest.approx(1000.0, rel=2e-3)
    assert np.abs(noisy[brain, 1]).mean() == pytest.approx(500.0, rel=4e-3)
    air = noisy[~brain, 0]
    # Rayleigh: the mean square of the magnitude is twice each channel's variance.
    assert np.sqrt(np.mean(np.abs(air) ** 2) / 2) == pytest.approx(20.0, rel=0.01)
    if is_complex:
        assert air.real.std() == pytest.approx(20.0, rel=0.015)


def test_relaxivities_scale_with_b0() -> None:
    assert relaxivities_hz_per_ppm("single", 123_177_385.0 / 42.577478461e6) == pytest.approx((114.0, 114.0))
    para, dia = relaxivities_hz_per_ppm("split", 7.0)
    single, _ = relaxivities_hz_per_ppm("single", 7.0)
    assert (para + dia) / 2 == pytest.approx(single)
    assert single == pytest.approx(114.0 * 7.0 / 2.893, rel=1e-4)


@pytest.mark.parametrize(
    "bad", [{"relaxivity": "both"}, {"snr": 0.0}, {"voxel_size_mm": (1.0, 0.0, 1.0)}, {"se_echo_times_s": (0.01, 0.1)}]
)
def test_impossible_options_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError):
        PhantomOptions(**bad)  # type: ignore[arg-type]
