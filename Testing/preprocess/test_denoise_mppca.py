"""MP-PCA on a simulated decay: less noise by a measured factor, R2* without bias, clear errors."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.denoise.mppca import DenoiseOptions, denoise_complex
from ChiSepPreprocessLib.errors import CancelledError, InputError, MissingDependencyError
from ChiSepPreprocessLib.progress import Reporter

TIMES_S = np.arange(1, 7) * 0.005
SHAPE = (19, 17, 21)
SIGMA = 14.0


def truth() -> tuple[Array, Array]:
    """Complex decay (I, J, K, E) with two tissues and a sloping field, and R2* (1/s)."""
    i, j, k = np.indices(SHAPE)
    rate = np.where(np.hypot(i - 9, j - 8) < 5, 40.0, 18.0)
    hertz = 1.5 * i - 2.0 * j + 0.8 * k
    size = np.where(rate > 30, 900.0, 1000.0)
    decay = np.exp(-TIMES_S * rate[..., None]) * np.exp(2j * np.pi * (hertz[..., None] * TIMES_S + 0.02 * i[..., None]))
    return size[..., None] * decay, rate


def noisy(signal: Array, seed: int = 5) -> Array:
    generator = np.random.default_rng(seed)
    return np.asarray(signal + SIGMA * (generator.normal(size=signal.shape) + 1j * generator.normal(size=signal.shape)))


def rate_per_s(magnitude: Array) -> Array:
    """Log-linear fit weighted by the square of the signal."""
    weight = magnitude**2
    total = weight.sum(axis=-1)
    log = np.log(magnitude)
    time, level = (weight * TIMES_S).sum(-1) / total, (weight * log).sum(-1) / total
    apart = TIMES_S - time[..., None]
    return np.asarray(-(weight * apart * (log - level[..., None])).sum(-1) / (weight * apart**2).sum(-1))


def denoised(image: Array, mask: Array) -> tuple[Array, Array]:
    magnitude, phase, sigma = denoise_complex(np.abs(image), np.angle(image), mask)
    return magnitude * np.exp(1j * phase), sigma


def test_noise_falls_and_r2star_is_not_biased() -> None:
    signal, rate = truth()
    mask = np.ones(SHAPE, dtype=bool)
    image = noisy(signal)
    clean, sigma = denoised(image, mask)
    variance = np.mean(np.abs(clean - signal) ** 2) / np.mean(np.abs(image - signal) ** 2)
    assert variance < 0.40
    inner = (slice(4, -4),) * 3
    assert np.median(sigma[inner]) == pytest.approx(SIGMA, rel=0.05)
    for tissue in (18.0, 40.0):
        here = rate[inner] == tissue
        before, after = (rate_per_s(np.abs(one))[inner][here] - tissue for one in (image, clean))
        assert abs(after.mean()) < 0.15
        assert after.std() < 0.8 * before.std()


def test_slabs_do_not_show() -> None:
    """Whole patches reach every voxel, so that the order of the slices' axis does not matter."""
    image = noisy(truth()[0])
    mask = np.ones(SHAPE, dtype=bool)
    straight, _ = denoised(image, mask)
    turned, _ = denoised(np.ascontiguousarray(np.swapaxes(image, 0, 2)), np.swapaxes(mask, 0, 2))
    np.testing.assert_allclose(np.swapaxes(turned, 0, 2), straight, atol=0.01)


def test_the_outside_keeps_its_values() -> None:
    image = noisy(truth()[0])
    mask = np.zeros(SHAPE, dtype=bool)
    mask[5:12, 4:13, 6:15] = True
    clean, sigma = denoised(image, mask)
    np.testing.assert_allclose(clean[~mask], image[~mask], atol=1e-3)
    assert np.all(np.abs(clean[mask] - image[mask]).max(axis=-1) > 0)
    assert not sigma[~mask].any()


def test_without_dipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dipy.denoise.localpca", None)
    with pytest.raises(MissingDependencyError, match=r"chiseparation\[denoise\]"):
        denoise_complex(np.ones((7, 7, 7, 3)), np.zeros((7, 7, 7, 3)), np.ones((7, 7, 7), dtype=bool))


def test_bad_input_and_cancelling() -> None:
    mask = np.ones((7, 7, 7), dtype=bool)
    with pytest.raises(InputError, match="2 echoes"):
        denoise_complex(np.ones((7, 7, 7, 1)), np.zeros((7, 7, 7, 1)), mask)
    with pytest.raises(InputError, match="at least 5 voxels"):
        denoise_complex(np.ones((7, 7, 3, 2)), np.zeros((7, 7, 3, 2)), mask[..., :3])
    with pytest.raises(CancelledError):
        denoise_complex(np.ones((7, 7, 7, 2)), np.zeros((7, 7, 7, 2)), mask, report=Reporter(lambda _: False))
    with pytest.raises(InputError, match="patch radius"):
        DenoiseOptions(patch_radius=0)
