"""The registry's network methods: through the one call that every method goes through, and without weights."""

from __future__ import annotations

import numpy as np
import pytest

import installed_weights
from ChiSepPreprocessLib.artifacts import Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.methods import METHODS
from ChiSepReconstructLib.pipeline import reconstruct
from ChiSepReconstructLib.refinement import RefinementOptions, refine

_NETWORK_METHODS = [name for name, one in METHODS.items() if one.networks]


pytestmark = pytest.mark.usefixtures("data_folder")


def brain_maps(reach: float = 1.1) -> MapSet:
    """Noise in an ellipsoid, of the size that brains have; with a reach below 1 it touches all faces."""
    shape, rng = (22, 25, 20), np.random.default_rng(3)
    axes = np.meshgrid(*(np.linspace(-reach, reach, n) for n in shape), indexing="ij", sparse=True)
    rate = rng.uniform(2.0, 9.0, shape)
    return installed_weights.map_set(
        installed_weights.axial_grid(shape), local_field=rng.normal(0.0, 0.01, shape), r2prime=rate,
        r2star=rate + 14.0, brain_mask=np.asarray(sum(axis**2 for axis in axes) < 1),
    )  # fmt: skip


@pytest.mark.parametrize("name", _NETWORK_METHODS)
def test_maps_and_their_record(name: str) -> None:
    weights = installed_weights.install()
    maps = brain_maps()
    made = reconstruct(maps, method=name)
    mask = maps.array("brain_mask")
    for artifact in METHODS[name].gives:
        one = made[artifact]
        assert one.data.dtype == np.float32
        assert one.data[mask].std() > 1e-3
        assert not one.data[~mask].any()
        assert one.options["network_weights"]["name"] == weights.name
        assert set(one.options["network_weights"]["sha256"]) == set(METHODS[name].networks)


@pytest.mark.parametrize("name", _NETWORK_METHODS)
def test_without_weights_it_is_said_how_to_get_them(name: str) -> None:
    method = METHODS[name]
    with pytest.raises(InputError, match="chisep weights import"):
        method.check_weights(method.options())
    installed_weights.install()
    method.check_weights(method.options())
    with pytest.raises(InputError, match="'another'; expected one of the installed sets: random"):
        method.check_weights(method.options({"weights": "another"}))


def test_other_methods_need_no_weights() -> None:
    METHODS["tkd"].check_weights(METHODS["tkd"].options())


@pytest.mark.parametrize("name", ["chi-sepnet-r2prime", "chi-sepnet-r2star"])
def test_refined_maps_are_those_of_the_networks_after_refinement(name: str) -> None:
    installed_weights.install(relaxivity_hz_per_ppm=100.0)
    maps = brain_maps(0.99)
    noise = np.random.default_rng(6).uniform(0.5, 1.5, maps.grid.shape).astype(np.float32)
    maps = maps.including(Map(name="magnitude", data=noise, grid=maps.grid))
    plain = reconstruct(maps, method=name)
    refined = reconstruct(maps, method=name, options={"refine": True, "refinement": {"steps": 2}})
    rates = maps if name == "chi-sepnet-r2prime" else reconstruct(maps, method="r2primenet")
    constants = plain["chi_para"].options["relaxivity"]
    options = RefinementOptions(steps=2, **{key: constants[key] for key in ("para_hz_per_ppm", "dia_hz_per_ppm")})
    expected = refine(rates, maps.array("brain_mask"), plain.array("chi_para"), plain.array("chi_dia"), options)
    for sign in ("chi_para", "chi_dia"):
        assert np.abs(refined.array(sign) - plain.array(sign)).max() > 1e-3
        np.testing.assert_allclose(refined.array(sign), getattr(expected, sign), atol=2e-5)
    np.testing.assert_allclose(refined.array("chi_total"), refined.array("chi_para") - refined.array("chi_dia"))
    record = refined["chi_para"].options["refined"]
    assert record["weighted_by"] == "magnitude"
    assert record["field_misfit"][1] < record["field_misfit"][0]
    assert record["relaxivity"]["para_hz_per_ppm"] == constants["para_hz_per_ppm"]
