"""A small acquisition for tests of panels: oblique, anisotropic, of odd size."""

from __future__ import annotations

import numpy as np

from ChiSepPreprocessLib.artifacts import Acquisition, Grid, Image, ScanParameters, SpinEcho

SHAPE = (13, 11, 9)


def oblique_grid(shape: tuple[int, int, int] = SHAPE, turn: float = 0.3) -> Grid:
    """Anisotropic, turned about two axes, away from the origin."""
    c, s = np.cos(turn), np.sin(turn)
    turned = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turned * [0.9, 1.1, 2.3]
    affine[:3, 3] = 11.0, -23.0, 7.5
    return Grid(shape, affine)


def make_acquisition() -> Acquisition:
    """Decaying magnitude, phase that grows with time, turbo spin echo and FLAIR on grids of their own."""
    random, grid = np.random.default_rng(4), oblique_grid()
    times_s = np.array([0.0041, 0.0123, 0.0207])
    density = random.uniform(400, 900, grid.shape)
    magnitude = density[..., None] * np.exp(-20.0 * times_s)
    field_hz = random.uniform(-30, 30, grid.shape)
    phase = np.angle(np.exp(2j * np.pi * field_hz[..., None] * times_s))
    scan = ScanParameters(echo_times_s=tuple(times_s), field_strength_t=2.893, b0_direction_ijk=grid.b0_direction_ijk,
                          imaging_frequency_hz=123.25e6)  # fmt: skip
    se_grid, flair_grid = oblique_grid((7, 9, 5), 0.2), oblique_grid((5, 7, 11), 0.1)
    spin_echo = SpinEcho(magnitude=random.uniform(1, 9, (*se_grid.shape, 2)).astype(np.float32), grid=se_grid,
                         echo_times_s=(0.02, 0.09), is_turbo=True)  # fmt: skip
    flair = Image(random.uniform(1, 9, flair_grid.shape).astype(np.float32), flair_grid)
    return Acquisition(grid=grid, scan=scan, gre_magnitude=magnitude.astype(np.float32),
                       gre_phase=phase.astype(np.float32), spin_echo=spin_echo, flair=flair)  # fmt: skip
