"""Three pools: signals of the model itself come back, and the solver agrees with scipy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ChiSepPreprocessLib.artifacts import Grid, Map, MapSet, ScanParameters
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.solvers.decompose import DecomposeOptions, decompose, pool_constants, run, simulated_signal

_SCAN = ScanParameters(echo_times_s=(0.0077, 0.01273, 0.01776, 0.02279, 0.02782, 0.03285), field_strength_t=3.0,
                       b0_direction_ijk=(0.36, -0.48, 0.8))  # fmt: skip
_TIMES = np.array(_SCAN.echo_times_s)

Real = NDArray[np.float64]


def _signal(parameters: Real) -> NDArray[np.complex128]:
    """The model, written out: parameters (N, 6) to echoes (N, E)."""
    decay, rotation = pool_constants(_SCAN)
    c_para, c_dia, c_neutral, rate, para, dia = parameters.T[:, :, None]
    pools = (c_para * np.exp(-(decay + 1j * rotation) * para * _TIMES)
             + c_dia * np.exp(-(decay - 1j * rotation) * dia * _TIMES) + c_neutral)  # fmt: skip
    signal: NDArray[np.complex128] = np.exp(-rate * _TIMES) * pools
    return signal


def _parameters(count: int, low: tuple[float, ...], high: tuple[float, ...]) -> Real:
    drawn: Real = np.random.default_rng(8).uniform(low, high, (count, 6))
    return drawn


def _near(count: int) -> Real:
    """Round the start that :data:`_FROM_NEAR` takes."""
    return _parameters(count, (0.25, 0.25, 0.3, 20, 0.1, 0.1), (0.35, 0.35, 0.5, 30, 0.2, 0.2))


_JOINT = DecomposeOptions(rounds=0, joint_steps=1000, tolerance=1e-12, start_ppm=0.15)


def _sources(parameters: Real) -> Real:
    """Phase of one pool beside neutral ones, over that of 1 ppm, in the words of the paper."""
    decay, rotation = pool_constants(_SCAN)
    sources = []
    for own in (0, 1):
        rest = parameters[:, :3].sum(axis=1) - parameters[:, own]
        pool = np.exp(-(decay + 1j * rotation) * parameters[:, 4 + own, None] * _TIMES)
        phase = -np.angle(parameters[:, own, None] * pool + rest[:, None]).sum(axis=1)
        sources.append(phase / (rotation * _TIMES.sum()))
    return np.stack(sources, axis=1)


def test_constants_are_those_of_static_dephasing() -> None:
    # 2πγ B0/(9√3) and ⅔ γ B0 with γ = 267.522 rad/(s·ppm·T).
    assert pool_constants(_SCAN) == pytest.approx((323.488, 535.044), rel=1e-5)


def test_derivatives_agree_with_finite_differences() -> None:
    from ChiSepReconstructLib.solvers._decompose_kernels import model

    x, constants = _near(1)[0], np.array(pool_constants(_SCAN))
    signal, jacobian = np.empty(6, complex), np.empty((6, 6), complex)
    model(x, _TIMES, constants, signal, jacobian)
    np.testing.assert_allclose(signal, _signal(x[None])[0], rtol=1e-13)
    for row, step in enumerate(1e-5 * x):
        ahead, behind = x.copy(), x.copy()
        ahead[row] += step
        behind[row] -= step
        slope = (_signal(ahead[None]) - _signal(behind[None]))[0] / (2 * step)
        np.testing.assert_allclose(jacobian[row], slope, atol=1e-8 * abs(slope).max())


@pytest.mark.parametrize("logarithmic", [False, True])
def test_bounded_minimum_is_that_of_scipy(logarithmic: bool) -> None:
    from scipy.optimize import least_squares

    from ChiSepReconstructLib.solvers._decompose_kernels import minimise

    constants, limit = np.array(pool_constants(_SCAN)), 0.12
    most, chosen = np.array([np.inf, np.inf, np.inf, np.inf, limit, limit]), np.array([False] * 4 + [True] * 2)
    on_the_bound = 0
    for truth in _near(20):
        data, x = _signal(truth[None])[0], truth.copy()
        x[4:] = 0.05

        def residual(sizes: Real, truth: Real = truth, data: NDArray[np.complex128] = data) -> Real:
            model = _signal(np.append(truth[:4], sizes)[None])[0]
            error = np.log(model / data) if logarithmic else model - data
            return np.append(error.real, error.imag)

        expected = least_squares(residual, [0.05, 0.05], bounds=(0, limit), xtol=1e-13, ftol=1e-13, gtol=1e-13)
        assert minimise(x, data, _TIMES, constants, most, chosen, logarithmic, 200, 1e-14)
        np.testing.assert_allclose(x[4:], expected.x, atol=2e-6)
        np.testing.assert_array_equal(x[:4], truth[:4])
        on_the_bound += int((x[4:] == limit).any())
    assert on_the_bound >= 10


def test_signals_of_the_model_come_back_exactly() -> None:
    parameters = _near(200)
    sources, converged = decompose(_signal(parameters).astype(np.complex64), _SCAN, _JOINT)
    np.testing.assert_allclose(sources, _sources(parameters), atol=1e-7)  # measured 3e-8
    assert converged.all()


def test_far_from_the_start_few_signals_end_in_another_minimum() -> None:
    parameters = _parameters(300, (0.2, 0.2, 0.1, 5, 0.05, 0.05), (0.6, 0.6, 0.5, 25, 0.25, 0.25))
    options = DecomposeOptions(rounds=0, joint_steps=1000, tolerance=1e-12, start_ppm=0.15, start_rate_per_s=15)
    sources, _ = decompose(_signal(parameters).astype(np.complex64), _SCAN, options)
    exact = np.abs(sources - _sources(parameters)).max(axis=1) < 1e-6
    assert exact.mean() > 0.95  # measured 0.97


@pytest.mark.parametrize(
    ("options", "most_bias", "most_deviation"),
    [
        (_JOINT, 0.7, 2.7),  # measured 0.5 and 2.3, in ppb
        (DecomposeOptions(), 3.2, 8.0),  # measured 2.7, low, and 6.9; the truth has a mean of 12
    ],
)
def test_bias_and_spread_at_a_signal_to_noise_ratio_of_100(
    options: DecomposeOptions, most_bias: float, most_deviation: float
) -> None:
    rng, clean = np.random.default_rng(1), np.repeat(_near(20), 50, axis=0)
    signal = _signal(clean)
    noise = (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape)) * np.abs(signal[:, :1]) / 100
    error = 1e3 * (decompose((signal + noise).astype(np.complex64), _SCAN, options)[0] - _sources(clean))
    assert np.abs(error.mean(axis=0)).max() < most_bias
    assert error.std(axis=0).max() < most_deviation


def test_source_alone_has_its_own_susceptibility_over_several_turns() -> None:
    from ChiSepReconstructLib.solvers._decompose_kernels import component

    constants = np.array(pool_constants(_SCAN))
    assert component(0.7, 0.0, 0.45, _TIMES, constants) == pytest.approx(0.45, rel=1e-12)  # up to 7.9 rad
    assert component(0.0, 0.7, 0.45, _TIMES, constants) == 0


def _maps() -> tuple[MapSet, NDArray[np.bool_]]:
    rng, shape = np.random.default_rng(3), (9, 8, 7)
    mask = np.zeros(shape, dtype=bool)
    mask[1:-1, 1:-1, 1:-1] = True
    magnitude = (1000 * np.exp(-20 * _TIMES) * np.ones((*shape, 1))).astype(np.float32)
    magnitude[4, 4, 3, 2] = 0.0
    grid = Grid(shape, np.diag([2.0, 2.0, 3.0, 1.0]))
    data = {"gre_magnitude": magnitude, "local_field": (0.02 * rng.standard_normal(shape)).astype(np.float32),
            "brain_mask": mask}  # fmt: skip
    scan = ScanParameters(echo_times_s=_SCAN.echo_times_s, field_strength_t=3.0, b0_direction_ijk=(0.0, 0.0, 1.0))
    return MapSet(grid, scan, {name: Map(name=name, data=one, grid=grid) for name, one in data.items()}), mask


def test_run_fills_the_mask_alone_and_repeats_itself() -> None:
    maps, mask = _maps()
    solution = run(maps, mask, DecomposeOptions(rounds=2), Reporter())
    again = run(maps, mask, DecomposeOptions(rounds=2), Reporter())
    para, dia = solution.maps["chi_para"], solution.maps["chi_dia"]
    for name, one in solution.maps.items():
        assert not one[~mask].any()
        np.testing.assert_array_equal(one, again.maps[name])
    assert min(para.min(), dia.min()) == 0
    assert para[4, 4, 3] == dia[4, 4, 3] == 0  # an echo without signal
    np.testing.assert_array_equal(solution.maps["chi_total"], para - dia)
    assert solution.record["not_converged"] > 0.05
    assert "not come to rest" in solution.warnings[0]


def test_bad_input_is_refused_and_cancel_works() -> None:
    bad: list[dict[str, Any]] = [
        {"rounds": 0},
        {"rounds": -1},
        {"joint_steps": 5000},
        {"start_ppm": 0.6},
        {"limit_ppm": float("nan")},
        {"tolerance": 0.0},
        {"start_rate_per_s": -1.0},
    ]
    for values in bad:
        with pytest.raises(InputError, match="DECOMPOSE"):
            DecomposeOptions(**values)
    signal = simulated_signal(np.ones((4, 6), np.float32), np.zeros(4, np.float32), _SCAN)
    with pytest.raises(InputError, match="echoes"):
        decompose(signal[:, :2], _SCAN)
    with pytest.raises(CancelledError):
        decompose(signal, _SCAN, report=Reporter(lambda status: False))
