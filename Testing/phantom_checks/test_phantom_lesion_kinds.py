"""The set of lesions that holds every class."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ChiSepPhantoms import PhantomOptions
from ChiSepPhantoms.lesions import CONTRAST_PPB, KINDS, kinds_of
from ChiSepPreprocessLib.errors import InputError


def test_every_grade_goes_with_every_other_and_rims_are_large() -> None:
    kinds = kinds_of("every class", np.random.default_rng(3))
    assert {(one.para, one.dia) for one in kinds} == set(product(CONTRAST_PPB, CONTRAST_PPB))
    assert len(kinds) == 30
    volumes = [one.volume_mm3 for one in kinds]
    assert volumes == sorted(volumes, reverse=True) and volumes[-1] > 20.0
    rims = [one for one in kinds if one.rim]
    assert {one.dia for one in rims} == set(CONTRAST_PPB) and len(rims) == 5
    assert all(one.para == "hyper" and one.volume_mm3 > 150.0 for one in rims)


def test_sizes_are_drawn_and_typical_lesions_are_not() -> None:
    one, other = (kinds_of("every class", np.random.default_rng(seed)) for seed in (1, 2))
    assert one != other
    rng = np.random.default_rng(1)
    assert kinds_of("typical", rng) is KINDS
    assert rng.random() == np.random.default_rng(1).random()  # patients of earlier versions stay the same


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="kinds of lesions"):
        PhantomOptions(lesion_kinds="rare")
