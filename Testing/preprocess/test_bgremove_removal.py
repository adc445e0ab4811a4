"""The choice of method, and what each does where the field was not measured well."""

from __future__ import annotations

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.bgremove.lbv import LbvOptions, lbv
from ChiSepPreprocessLib.bgremove.pdf import PdfOptions, pdf
from ChiSepPreprocessLib.bgremove.removal import BackgroundMethod, BackgroundOptions, remove_background
from ChiSepPreprocessLib.bgremove.single_step import SingleStepOptions, single_step
from ChiSepPreprocessLib.bgremove.vsharp import VSharpOptions, vsharp
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.progress import Reporter
from sphere_fields import DIRECTIONS, Vector, background, ellipsoid, sources

VOXEL_MM: Vector = (3.0, 2.6, 3.4)
B0 = DIRECTIONS[1]
SILENT = Reporter()


def case() -> tuple[Array, Array, Array, Array]:
    """Field, mask, its reliable part, and the field's expected error."""
    mask = ellipsoid(VOXEL_MM)
    reliable = np.ones_like(mask)
    reliable[14:16, 20:22, 12:14] = False
    sigma = np.random.default_rng(2).uniform(0.001, 0.003, mask.shape).astype(np.float32)
    return sources(VOXEL_MM, B0) + background(VOXEL_MM, B0), mask, reliable, sigma


def test_each_method_is_called_with_its_options() -> None:
    field, mask, reliable, sigma = case()
    known = mask & reliable
    options = BackgroundOptions(
        single_step=SingleStepOptions(iterations=3), vsharp=VSharpOptions(maximum_radius_mm=9.0),
        pdf=PdfOptions(maximum_iterations=4), lbv=LbvOptions(corrections=0),
    )  # fmt: skip
    expected: dict[BackgroundMethod, tuple[Array, Array]] = {
        "single-step": single_step(field, mask, VOXEL_MM, B0, options.single_step, SILENT, known),
        "v-sharp": vsharp(field, known, VOXEL_MM, options.vsharp, SILENT),
        "pdf": pdf(field, known, VOXEL_MM, B0, options.pdf, SILENT, 1 / sigma),
        "lbv": lbv(field, known, VOXEL_MM, options.lbv, SILENT),
    }
    for method, (local, valid) in expected.items():
        chosen = BackgroundOptions(method=method, single_step=options.single_step, vsharp=options.vsharp,
                                   pdf=options.pdf, lbv=options.lbv)  # fmt: skip
        found = remove_background(field, mask, VOXEL_MM, B0, chosen, SILENT, known=mask & reliable, sigma=sigma)
        np.testing.assert_array_equal(found[0], local)
        np.testing.assert_array_equal(found[1], valid)


@pytest.mark.parametrize("method", ["single-step", "v-sharp", "pdf", "lbv"])
def test_what_is_not_reliable_does_not_matter(method: BackgroundMethod) -> None:
    field, mask, reliable, sigma = case()
    options = BackgroundOptions(method=method)
    both = [
        remove_background(one, mask, VOXEL_MM, B0, options, SILENT, known=mask & reliable, sigma=sigma)[0]
        for one in (field, np.where(reliable, field, 77.0))
    ]
    np.testing.assert_array_equal(both[0], both[1])


def test_unknown_method_and_negative_limit_are_refused() -> None:
    with pytest.raises(InputError, match="background method: got sharp"):
        BackgroundOptions(method="sharp")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="largest residual"):
        BackgroundOptions(largest_residual_rad=-0.1)
