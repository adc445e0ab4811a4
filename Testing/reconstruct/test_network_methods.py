"""The registry's network methods: through the one call that every method goes through, and without weights."""

from __future__ import annotations

import numpy as np
import pytest

import installed_weights
from ChiSepPreprocessLib.artifacts import MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib.methods import METHODS
from ChiSepReconstructLib.pipeline import reconstruct

_NETWORK_METHODS = [name for name, one in METHODS.items() if one.networks]


pytestmark = pytest.mark.usefixtures("data_folder")


def brain_maps() -> MapSet:
    """Noise in an ellipsoid, of the size that brains have."""
    shape, rng = (22, 25, 20), np.random.default_rng(3)
    axes = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in shape), indexing="ij", sparse=True)
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
