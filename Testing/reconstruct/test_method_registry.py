"""The registry names real artifacts, and its description is plain JSON."""

from __future__ import annotations

import json

import pytest

from ChiSepPreprocessLib.artifacts import ARTIFACTS
from ChiSepPreprocessLib.errors import InputError
from ChiSepReconstructLib import methods
from ChiSepReconstructLib.solvers.closed_form import ClosedFormOptions
from ChiSepReconstructLib.solvers.qsm import QsmOptions
from ChiSepReconstructLib.solvers.tkd import TkdOptions


@pytest.mark.parametrize("method", methods.METHODS.values(), ids=list(methods.METHODS))
def test_every_method_speaks_the_shared_vocabulary(method: methods.Method) -> None:
    assert set(method.needs) | set(method.uses) | set(method.gives) <= set(ARTIFACTS)
    assert not set(method.needs) & set(method.uses)
    assert any(character.isdigit() for character in method.paper)
    assert methods.get(method.name) is method


def test_description_is_json() -> None:
    described = methods.describe()
    assert json.loads(json.dumps(described)) == described
    by_name = {one["name"]: one for one in described}
    assert by_name["closed-form"]["needs"] == ["local_field", "brain_mask", "r2prime"]
    assert by_name["closed-form"]["gives"] == ["chi_total", "chi_para", "chi_dia"]
    assert by_name["tkd"]["options"]["threshold"] == 0.2


def test_options_from_plain_values() -> None:
    built = methods.get("closed-form").options({"relaxivity": "kim2025", "qsm": {"tkd": {"threshold": 0.1}}})
    assert built == ClosedFormOptions(relaxivity="kim2025", qsm=QsmOptions(tkd=TkdOptions(threshold=0.1)))
    assert methods.get("tkd").options() == TkdOptions()


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="one of tkd, tikhonov"):
        methods.get("magic")
    with pytest.raises(InputError, match="got treshold; expected some of threshold"):
        methods.get("tkd").options({"treshold": 0.1})
    with pytest.raises(InputError, match="options of closed-form, qsm: got lambda"):
        methods.get("closed-form").options({"qsm": {"lambda": 1}})
