"""What holds for every method without networks: any mask, field strength and device, the same answer twice."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet, ScanParameters
from ChiSepReconstructLib.methods import METHODS, Method
from ChiSepReconstructLib.physics.forward import field_from_chi
from ChiSepReconstructLib.physics.region import Region
from ChiSepReconstructLib.pipeline import reconstruct
from ChiSepReconstructLib.solvers import field_problem, one_step, orientations
from other_device import other_device

_SHAPE, _VOXEL_MM = (19, 17, 15), (2.0, 2.2, 2.6)
_DIRECTIONS = ((0.36, -0.48, 0.8), (-0.2, 0.1, 0.974679), (0.6, 0.5, 0.6244998))
_ECHO_TIMES_S = (0.005, 0.012, 0.019, 0.026)

#: Those that run networks need weights; they are tested for themselves.
_WITHOUT_NETWORKS = [one for one in METHODS.values() if not one.networks]

every_method = pytest.mark.parametrize("method", _WITHOUT_NETWORKS, ids=[one.name for one in _WITHOUT_NETWORKS])


@cache
def _maps(number: int, field_strength_t: float, whole: bool) -> MapSet:
    """Blobs of both sources; the mask is the whole volume, or an ellipsoid that is cut off at one side."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in _SHAPE), indexing="ij", sparse=True)

    def ball(radius: float, *centre: float) -> Array:
        return np.exp(-np.asarray(sum((x - c) ** 2 for x, c in zip(axes, centre, strict=True))) / radius**2)

    para, dia = 0.02 + 0.1 * ball(0.4, -0.4, 0.2, 0.1), 0.02 + 0.08 * ball(0.35, 0.3, -0.3, 0.2)
    rng = np.random.default_rng(number)
    field = field_from_chi((para - dia).astype(np.float32), _VOXEL_MM, _DIRECTIONS[number], 0.5)
    r2prime = 114.0 * field_strength_t / 2.89 * (para + dia)
    r2star = r2prime + 14.0
    data = {
        "local_field": field + 1e-3 * rng.standard_normal(_SHAPE), "r2prime": r2prime, "r2star": r2star,
        "field_sigma": rng.uniform(0.5e-3, 2e-3, _SHAPE), "magnitude": 1.0 + ball(0.4, 0, 0, 0),
        "gre_magnitude": np.exp(-r2star[..., None] * np.array(_ECHO_TIMES_S)),
        "brain_mask": np.asarray(sum(x**2 for x in (axes[0] - 0.6, axes[1], axes[2])) < 1.1) | whole,
    }  # fmt: skip
    scan = ScanParameters(echo_times_s=_ECHO_TIMES_S, field_strength_t=field_strength_t,
                          b0_direction_ijk=_DIRECTIONS[number])  # fmt: skip
    grid = Grid(_SHAPE, np.diag([*_VOXEL_MM, 1.0]))
    return MapSet(grid, scan, {name: Map(name=name, data=one, grid=grid) for name, one in data.items()})


@cache
def _made(name: str, *, field_strength_t: float = 3.0, whole: bool = False) -> MapSet:
    return _run(name, *(_maps(number, field_strength_t, whole) for number in range(3)))


def _run(name: str, first: MapSet, *others: MapSet) -> MapSet:
    return reconstruct(first, method=name, orientations=others if METHODS[name].orientations > 1 else ())


@every_method
@pytest.mark.parametrize("whole", [False, True])
def test_masks_may_touch_the_border(method: Method, whole: bool) -> None:
    made = _made(method.name, whole=whole)
    outside = ~made.array("brain_mask")
    for name in method.gives:
        assert np.isfinite(made.array(name)).all()
        assert made.array(name).std() > 1e-3
        assert not made.array(name)[outside].any()
        assert name == "chi_total" or made.array(name).min() >= 0


@every_method
def test_values_outside_the_mask_do_not_count(method: Method) -> None:
    made = _run(method.name, *(_spoiled(_maps(number, 3.0, False)) for number in range(3)))
    for name in method.gives:
        np.testing.assert_allclose(made.array(name), _made(method.name).array(name), atol=1e-6)


def _spoiled(maps: MapSet) -> MapSet:
    """Other values outside the mask."""
    mask = maps.array("brain_mask")
    changed = [replace(one, data=np.where(mask if one.data.ndim == 3 else mask[..., None], one.data, 0.7))
               for name, one in maps.items() if name != "brain_mask"]  # fmt: skip
    return maps.including(*changed)


@every_method
def test_the_same_input_gives_the_same_maps(method: Method) -> None:
    again = _run(method.name, *(_maps(number, 3.0, False) for number in range(3)))
    for name in method.gives:
        np.testing.assert_array_equal(again.array(name), _made(method.name).array(name))


@every_method
@pytest.mark.parametrize("field_strength_t", [1.5, 7.0])
def test_constants_scale_with_the_field_strength_and_are_recorded(method: Method, field_strength_t: float) -> None:
    made = _made(method.name, field_strength_t=field_strength_t)
    plain = _made(method.name)
    recorded: list[Any] = [one[method.gives[-1]].options.get("relaxivity") for one in (made, plain)]
    if not all(isinstance(one, dict) and "field_strength_t" in one for one in recorded):
        assert method.gives == ("chi_total",) or method.name == "decompose"  # its constants follow from theory alone
        return
    assert recorded[0]["field_strength_t"] == pytest.approx(field_strength_t, rel=0.001)
    ratio = recorded[0]["para_hz_per_ppm"] / recorded[1]["para_hz_per_ppm"]
    assert ratio == pytest.approx(field_strength_t / 3.0, rel=1e-3)
    if "r2prime" not in (*method.needs, *method.uses):
        return  # R2, a part of R2*, was not simulated to scale.
    for name in method.gives[1:]:
        difference = np.linalg.norm(made.array(name) - plain.array(name))
        assert difference < 1e-3 * np.linalg.norm(plain.array(name))


@every_method
def test_another_device_gives_the_same_maps(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _made(method.name)
    with other_device() as name:
        for module in (field_problem, one_step, orientations):
            monkeypatch.setattr(module, "best_device", lambda: name)
        found = _run(method.name, *(_maps(number, 3.0, False) for number in range(3)))
    for one in method.gives:
        difference = np.linalg.norm(found.array(one) - expected.array(one))
        assert difference < 1e-3 * np.linalg.norm(expected.array(one))


def test_the_device_refuses_what_a_gpu_refuses() -> None:
    with other_device() as name:
        there, here = torch.ones((2, 3), device=name), torch.ones(2, 3)
        assert float((there + there.new_ones(3) * torch.tensor(2.0)).sum()) == 18.0
        there[0] = 4.0
        np.testing.assert_array_equal(there.cpu().numpy(), [[4.0] * 3, [1.0] * 3])
        with pytest.raises(RuntimeError, match="on the processor"):
            there.add_(here)
        with pytest.raises(RuntimeError, match="on the processor"):
            there[1] = here[0]
        with pytest.raises(TypeError, match="no array"):
            there.numpy()
        assert Region(there[None]).values(here[None].to(name)).device == there.device
