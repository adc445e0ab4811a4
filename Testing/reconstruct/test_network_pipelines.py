"""The published pipelines against the same steps in plain functions, and what they record, warn of and refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import CancelledError, InputError
from ChiSepPreprocessLib.options import from_mapping
from ChiSepPreprocessLib.progress import Reporter, Status
from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T
from ChiSepReconstructLib.methods import METHODS
from ChiSepReconstructLib.networks import inference
from ChiSepReconstructLib.networks.engine import Engine, EngineOptions
from ChiSepReconstructLib.networks.inference import (
    run_chisepnet_r2prime,
    run_chisepnet_r2star,
    run_qsmnet,
    run_r2primenet,
)
from ChiSepReconstructLib.networks.options import NetworkOptions
from ChiSepReconstructLib.networks.weights.weight_set import WeightSet
from ChiSepReconstructLib.solution import Solution
from installed_weights import CONSTANTS, FULL, axial_grid, install, map_set, network

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

_ENGINE = EngineOptions(device="cpu", precision="float32", margin_voxels=0)
_EXACT = NetworkOptions(engine=_ENGINE)
_RUNS = {"qsmnet": run_qsmnet, "r2prime": run_chisepnet_r2prime, "r2star": run_chisepnet_r2star}


pytestmark = pytest.mark.usefixtures("data_folder")


@pytest.fixture
def weights() -> WeightSet:
    return install()


def ellipsoid(shape: tuple[int, ...]) -> Mask:
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij", sparse=True)
    return np.asarray(sum(x**2 for x in axes) < 1.05)  # touches all six faces


def head(
    shape: tuple[int, int, int] = (11, 14, 9), *, field_strength_t: float = PAPER_FIELD_STRENGTH_T,
    voxel_mm: Any = 1.0, mask: Mask | None = None,
) -> tuple[MapSet, Mask]:  # fmt: skip
    """Texture with the mean and spread of the training's maps, everywhere, not in the mask alone."""
    rng = np.random.default_rng(4)
    inside = ellipsoid(shape) if mask is None else mask
    textures = [gaussian_filter(rng.standard_normal(shape), 0.8) for _ in range(3)]
    field, r2prime, r2star = ((one / one.std()).astype(np.float32) for one in textures)
    return map_set(
        axial_grid(shape, voxel_mm), field_strength_t, brain_mask=inside,
        local_field=CONSTANTS["local_field"].restore(field, np.ones(shape, bool)),
        r2prime=114 * np.maximum(CONSTANTS["r2prime"].restore(r2prime, np.ones(shape, bool)), 0),
        r2star=114 * np.maximum(CONSTANTS["r2star"].restore(r2star, np.ones(shape, bool)), 0),
    ), inside  # fmt: skip


def solve(name: str, maps: MapSet, mask: Mask, options: NetworkOptions = _EXACT, report: Reporter | None = None
          ) -> Solution:  # fmt: skip
    return _RUNS[name](maps, mask, options, report or Reporter())


# The published steps, written plainly for axial data in RAS at 1 mm.


def to_trained(volume: NDArray[Any]) -> NDArray[Any]:
    """(left → right, posterior → anterior, inferior → superior) to (anterior → posterior, left → right, …)."""
    return volume.transpose(1, 0, 2)[::-1]


def to_ras(volume: NDArray[Any]) -> NDArray[Any]:
    return volume[::-1].transpose(1, 0, 2)


def forward(role: str, inputs: tuple[str, ...], images: Mapping[str, Volume], mask: Mask, margin: int) -> Volume:
    start = -(-margin // 16) * 16  # the poolings begin at the brain's box
    stacked = np.stack([np.pad(images[name] * mask, (start, margin)) for name in inputs]).astype(np.float32)
    with torch.no_grad():
        found = network(role, inputs)(torch.from_numpy(stacked)[None])[0].numpy()  # type: ignore[arg-type]
    inner = tuple(slice(start, start + n) for n in mask.shape)
    return np.asarray(found[(slice(None), *inner)] * mask)


def plainly(
    maps: MapSet, mask: Mask, *, rate: str, margin: int = 0, inputs: tuple[str, ...] = FULL["chisepnet"],
    constants: Mapping[str, Any] = CONSTANTS, relaxivity: float = 114.0,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Normalise, mask, networks, restore, clip, mask; the mask fills its box."""
    turned = np.ascontiguousarray(to_trained(mask))

    def scaled(name: str, divisor: float = 1.0) -> NDArray[Any]:
        values = to_trained(maps.array(name).astype(np.float64)) / divisor
        return (values - constants[name].mean) / constants[name].std

    images: dict[str, Any] = {"local_field": scaled("local_field")}
    images["chi_total"] = forward("qsmnet", ("local_field",), images, turned, margin)[0]
    images[rate] = scaled(rate, relaxivity)
    if rate == "r2star":
        floor = -constants["r2prime"].mean / constants["r2prime"].std
        images["r2prime"] = np.maximum(forward("r2primenet", ("r2star",), images, turned, margin)[0], floor)
    outputs = forward("chisepnet", inputs, images, turned, margin)
    chi = {"qsm": images["chi_total"] * constants["chi_total"].std + constants["chi_total"].mean}
    for name, one in zip(("chi_para", "chi_dia"), outputs, strict=True):
        chi[name] = np.maximum(one * constants[name].std + constants[name].mean, 0)
    chi["r2prime"] = relaxivity * (images["r2prime"] * constants["r2prime"].std + constants["r2prime"].mean)
    return {name: to_ras(one * turned) for name, one in chi.items()}


def difference(found: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("rate", ["r2prime", "r2star"])
@pytest.mark.parametrize(("shape", "whole"), [((21, 26, 19), False), ((32, 16, 32), True), ((17, 15, 23), True)])
@pytest.mark.parametrize("margin", [7, 0])
def test_maps_are_those_of_the_published_steps(
    weights: WeightSet, rate: str, shape: tuple[int, int, int], whole: bool, margin: int
) -> None:
    maps, mask = head(shape, mask=np.ones(shape, bool) if whole else None)
    found = solve(rate, maps, mask, NetworkOptions(engine=replace(_ENGINE, margin_voxels=margin))).maps
    expected = plainly(maps, mask, rate=rate, margin=margin)
    for name in ("chi_para", "chi_dia"):
        assert (expected[name][mask] > 0).mean() > 0.3
        assert found[name].dtype == np.float32
        assert difference(found[name], expected[name]) < 1e-5
    assert difference(found["chi_total"], expected["chi_para"] - expected["chi_dia"]) < 1e-5


@pytest.mark.parametrize("shape", [(21, 26, 19), (16, 17, 33)])
@pytest.mark.parametrize(("field_strength_t", "relaxivity"), [(PAPER_FIELD_STRENGTH_T, 114.0), (7.0, 275.838)])
def test_synthesised_r2prime_is_that_of_the_published_steps_in_1_per_s(
    weights: WeightSet, shape: tuple[int, int, int], field_strength_t: float, relaxivity: float
) -> None:
    maps, mask = head(shape, field_strength_t=field_strength_t)
    found = run_r2primenet(maps, mask, replace(_EXACT, other_field_strength=True), Reporter())
    expected = plainly(maps, mask, rate="r2star", relaxivity=relaxivity)["r2prime"]
    assert set(found.maps) == {"r2prime"}
    assert found.maps["r2prime"].dtype == np.float32
    positive = (expected[mask] > 1e-3).mean()
    assert 0.3 < positive < 1.0 if field_strength_t < 3.0 else positive == 1.0  # elsewhere the network's is negative
    assert found.maps["r2prime"].min() == 0
    assert difference(found.maps["r2prime"], expected) < 1e-5
    assert set(found.record["network_weights"]["sha256"]) == {"r2primenet"}
    assert found.record["relaxivity"]["para_hz_per_ppm"] == pytest.approx(relaxivity, rel=1e-5)


def test_qsm_is_the_network_s_referenced_to_csf(weights: WeightSet) -> None:
    maps, mask = head()
    found = solve("qsmnet", maps, mask)
    subtracted = found.record["reference"]["subtracted_ppm"]
    expected = plainly(maps, mask, rate="r2prime")["qsm"]
    assert set(found.maps) == {"chi_total"}
    assert difference(found.maps["chi_total"], (expected - subtracted) * mask) < 1e-5
    assert subtracted == pytest.approx(expected[mask].mean(), rel=1e-4)  # no CSF is found in a texture


@pytest.mark.parametrize(
    "changed",
    [
        {"inputs": ("local_field", "chi_total", "r2prime")},
        {"inputs": ("chi_total", "r2prime", "local_field")},
        {"relaxivity": 137.0},
        *({"constants": {**CONSTANTS, name: replace(one, mean=one.mean + 0.3 * one.std)}}
          for name, one in CONSTANTS.items() if name not in ("r2star", "chi_total")),
        *({"constants": {**CONSTANTS, name: replace(one, std=1.2 * one.std)}}
          for name, one in CONSTANTS.items() if name not in ("r2star", "chi_total")),
    ],
)  # fmt: skip
def test_every_constant_and_the_order_of_channels_matter(weights: WeightSet, changed: dict[str, Any]) -> None:
    maps, mask = head()
    found, wrong = solve("r2prime", maps, mask).maps, plainly(maps, mask, rate="r2prime", **changed)
    assert max(difference(found[name], wrong[name]) for name in ("chi_para", "chi_dia")) > 0.01


def test_negative_synthesised_r2prime_counts_as_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, mask = head()
    scale = replace(CONSTANTS["r2prime"], mean=-0.02)
    install(constants={**CONSTANTS, "r2prime": scale})
    made: dict[str, Volume] = {}
    given: dict[str, Volume] = {}
    run = Engine.run

    def spy(
        self: Any, one: Any, images: Volume, report: Reporter, step: str, needed: Mask, added: tuple[int, ...]
    ) -> Volume:
        given[step], made[step] = images, run(self, one, images, report, step, needed, added)
        return made[step]

    monkeypatch.setattr(Engine, "run", spy)
    solve("r2star", maps, mask)
    turned = np.pad(to_trained(mask), 32)
    synthesised, taken = made["r2primenet"][0][turned], given["chisepnet"][2][turned]
    zero = -scale.mean / scale.std
    assert 0.01 < (synthesised < zero).mean() < 0.9
    np.testing.assert_allclose(taken, np.maximum(synthesised, zero), rtol=1e-6)


@pytest.mark.parametrize("name", _RUNS)
def test_nothing_lies_outside_the_mask_and_what_lies_there_does_not_matter(weights: WeightSet, name: str) -> None:
    maps, mask = head()
    rng = np.random.default_rng(8)
    noise = {key: replace(maps[key], data=np.where(mask, maps.array(key), rng.uniform(0, 99, mask.shape)))
             for key in ("local_field", "r2prime", "r2star")}  # fmt: skip
    found, again = solve(name, maps, mask), solve(name, replace(maps, maps={**maps.maps, **noise}), mask)
    for key, one in found.maps.items():
        assert one.dtype == np.float32 and one.shape == mask.shape
        assert not one[~mask].any()
        assert key == "chi_total" or one.min() >= 0
        np.testing.assert_array_equal(one, again.maps[key])


@pytest.mark.parametrize("inputs", [("local_field", "r2prime"), ("chi_total", "r2prime")])
@pytest.mark.parametrize("rate", ["r2prime", "r2star"])
def test_ablations_with_two_inputs_run_as_they_were_trained(inputs: tuple[str, ...], rate: str) -> None:
    roles = {**FULL, "chisepnet": inputs}
    if "chi_total" not in inputs:
        del roles["qsmnet"]  # it does without
    install(inputs=roles)
    maps, mask = head()
    found = solve(rate, maps, mask)
    expected = plainly(maps, mask, rate=rate, inputs=inputs)
    for name in ("chi_para", "chi_dia"):
        assert difference(found.maps[name], expected[name]) < 1e-5
    used = {*roles} - ({"r2primenet"} if rate == "r2prime" else set())
    assert set(found.record["network_weights"]["sha256"]) == used
    assert found.record["chisepnet_inputs"] == list(inputs)


@pytest.mark.parametrize("name", _RUNS)
def test_the_record_is_json_and_names_weights_constants_and_grid(weights: WeightSet, name: str) -> None:
    maps, mask = head()
    found = solve(name, maps, mask)
    record = json.loads(json.dumps({**asdict(_EXACT), **found.record}))
    used = {"qsmnet": ["qsmnet"], "r2prime": ["qsmnet", "chisepnet"], "r2star": ["qsmnet", "r2primenet", "chisepnet"]}
    assert record["network_weights"]["name"] == "random"
    assert record["network_weights"]["licence"] == "none"
    assert record["network_weights"]["training_domain"] == "in vivo"
    assert record["network_weights"]["sha256"] == {role: weights.networks[role].sha256 for role in used[name]}  # type: ignore[index]
    assert record["network_grid"] == {
        "shape": [14, 11, 9], "voxel_size_mm": [1, 1, 1], "interpolated": False, "qsm_from_shifted_grids": False,
    }  # fmt: skip
    assert record["network_engine"]
    assert name == "qsmnet" or record["relaxivity"]["para_hz_per_ppm"] == 114
    assert from_mapping(NetworkOptions, json.loads(json.dumps(asdict(_EXACT))), "options") == _EXACT


def _is_before(fraction: float, status: Status) -> bool:
    return status.fraction < fraction


@pytest.mark.parametrize("name", _RUNS)
def test_progress_rises_to_the_end_and_cancelling_stops(weights: WeightSet, name: str) -> None:
    maps, mask = head()
    heard: list[Status] = []
    first = solve(name, maps, mask, report=Reporter(heard.append))
    fractions = [one.fraction for one in heard]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert {one.step for one in heard} >= {"qsmnet"} | ({"chisepnet"} if name != "qsmnet" else set())
    for least in fractions[:: max(len(heard) // 4, 1)]:
        with pytest.raises(CancelledError):
            solve(name, maps, mask, report=Reporter(partial(_is_before, least)))
    again = solve(name, maps, mask)
    for key, one in first.maps.items():
        np.testing.assert_array_equal(one, again.maps[key])


@pytest.mark.parametrize("name", _RUNS)
@pytest.mark.parametrize("field_strength_t", [1.5, 7.0])
def test_other_field_strengths_are_refused_unless_asked_for(
    weights: WeightSet, name: str, field_strength_t: float
) -> None:
    maps, mask = head(field_strength_t=field_strength_t)
    instead = {"qsmnet": "medi", "r2prime": "chi-sep-medi", "r2star": "r2star-qsm"}[name]
    with pytest.raises(InputError, match=f"{field_strength_t:.2f} T.*2.89 T.*{instead}"):
        solve(name, maps, mask)
    found = solve(name, maps, mask, replace(_EXACT, other_field_strength=True))
    assert any(f"{field_strength_t:.2f} T" in one for one in found.warnings)
    if name != "qsmnet":
        scaled = 114 * field_strength_t / weights.field_strength_t
        assert found.record["relaxivity"]["para_hz_per_ppm"] == pytest.approx(scaled)
        expected = plainly(maps, mask, rate=name, relaxivity=scaled)
        assert difference(found.maps["chi_para"], expected["chi_para"]) < 1e-5


@pytest.mark.parametrize(("field_strength_t", "relaxivity"), [(2.8, 110.335), (2.893, 114.0), (3.0, 118.216)])
def test_every_3_t_scanner_is_served_without_a_word(
    weights: WeightSet, field_strength_t: float, relaxivity: float
) -> None:
    maps, mask = head(field_strength_t=field_strength_t)
    found = solve("r2prime", maps, mask)
    assert not found.warnings
    assert found.record["relaxivity"]["para_hz_per_ppm"] == pytest.approx(relaxivity, abs=0.01)
    expected = plainly(maps, mask, rate="r2prime", relaxivity=relaxivity)
    assert difference(found.maps["chi_para"], expected["chi_para"]) < 1e-4


@pytest.mark.parametrize("name", inference.INSTEAD)
def test_methods_named_instead_take_the_same_inputs_and_no_weights(name: str) -> None:
    served = METHODS[name]
    for other in inference.INSTEAD[name]:
        method = METHODS[other]
        assert method.orientations == 1
        assert set(served.needs) <= set(method.needs) <= {*served.needs, "local_field"}
        assert served.gives == method.gives or name == "r2primenet"
        assert not method.networks


def test_missing_weights_and_missing_networks_say_what_to_do() -> None:
    maps, mask = head()
    with pytest.raises(InputError, match="chisep weights import"):
        solve("r2prime", maps, mask)
    with pytest.raises(InputError, match="'ours'"):
        solve("r2prime", maps, mask, replace(_EXACT, weights="ours"))
    install("ours", inputs={role: FULL[role] for role in ("qsmnet", "chisepnet")})
    solve("r2prime", maps, mask, replace(_EXACT, weights="ours"))
    with pytest.raises(InputError, match="r2primenet"):
        solve("r2star", maps, mask, replace(_EXACT, weights="ours"))


def test_the_set_that_is_named_is_used(weights: WeightSet) -> None:
    maps, mask = head()
    other = {**CONSTANTS, "chi_para": replace(CONSTANTS["chi_para"], mean=0.1)}
    install("other", constants=other)
    for name, constants in (("random", CONSTANTS), ("other", other)):
        found = solve("r2prime", maps, mask, replace(_EXACT, weights=name))
        expected = plainly(maps, mask, rate="r2prime", constants=constants)
        assert found.record["network_weights"]["name"] == name
        assert difference(found.maps["chi_para"], expected["chi_para"]) < 1e-5


@pytest.mark.parametrize(
    ("changed", "voxel_mm", "said"),
    [({}, 1.0, None), ({"training_domain": "simulated"}, 1.0, "simulated"), ({}, (0.5, 0.5, 1.0), "0.5 × 0.5 × 1 mm"),
     ({}, (1.0, 1.0, 3.5), "0.6 to 3 mm")],
)  # fmt: skip
def test_weights_and_voxels_beyond_what_was_tested_are_warned_of(
    changed: dict[str, Any], voxel_mm: Any, said: str | None
) -> None:
    install(**changed)
    maps, mask = head((12, 13, 7), voxel_mm=voxel_mm)
    warnings = solve("r2prime", maps, mask).warnings
    assert [str(said) in one for one in warnings] == ([True] if said else [])


def test_options_are_checked() -> None:
    with pytest.raises(InputError, match="resolution"):
        NetworkOptions(resolution="sharp")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="precision"):
        from_mapping(NetworkOptions, {"engine": {"precision": "float8"}}, "options")


def test_a_mask_of_one_voxel_does_no_harm(weights: WeightSet) -> None:
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 3, 4] = True
    maps, _ = head((5, 6, 7), mask=mask)
    found = solve("r2star", maps, mask)
    assert all(np.isfinite(one).all() and not one[~mask].any() for one in found.maps.values())
