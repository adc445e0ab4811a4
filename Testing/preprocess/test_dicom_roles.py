"""Series are recognised by header facts of three vendors."""

from __future__ import annotations

import pytest

from ChiSepPreprocessLib.dicom.roles import (
    Component,
    Role,
    SequenceFacts,
    Vendor,
    component_of,
    is_turbo,
    role_of,
    vendor_of,
)


@pytest.mark.parametrize(
    ("scanning", "inversion_time_s", "image_type", "role"),
    [
        ({"GR"}, None, ("M", "ND"), Role.GRE),
        ({"GR"}, None, ("PHASE MAP", "P", "FFE"), Role.GRE),
        ({"GR", "IR"}, 0.9, ("M",), Role.OTHER),  # MPRAGE
        ({"GR", "EP"}, None, ("M",), Role.OTHER),  # BOLD
        ({"SE", "EP"}, None, ("M",), Role.OTHER),  # diffusion
        ({"GR"}, None, ("M", "ND", "MNIP"), Role.OTHER),  # SWI projection
        ({"SE"}, None, ("M",), Role.SPIN_ECHO),
        ({"SE"}, 0.0, ("M",), Role.SPIN_ECHO),
        ({"SE", "IR"}, 2.5, ("M",), Role.FLAIR),
        ({"IR"}, 2.8, ("M_IR", "M", "IR"), Role.FLAIR),  # Philips
        ({"SE"}, 1.8, (), Role.FLAIR),  # GE
        ({"SE", "IR"}, 0.22, ("M",), Role.OTHER),  # STIR
        ({"IR"}, None, (), Role.OTHER),
        ({"RM"}, None, (), Role.OTHER),
        (set(), None, ("M",), Role.UNKNOWN),
    ],
)
def test_roles(scanning: set[str], inversion_time_s: float | None, image_type: tuple[str, ...], role: Role) -> None:
    facts = SequenceFacts(scanning=frozenset(scanning), inversion_time_s=inversion_time_s, image_type=image_type)
    assert role_of(facts) == role


@pytest.mark.parametrize(
    ("image_type", "complex_component", "philips", "ge", "component"),
    [
        (("M", "ND", "NORM"), "", "", None, Component.MAGNITUDE),
        (("P", "ND"), "", "", None, Component.PHASE),
        (("R", "ND"), "", "", None, Component.REAL),
        (("M", "NONE"), "PHASE", "", None, Component.PHASE),
        (("T1", "NONE"), "MIXED", "I", None, Component.IMAGINARY),
        (("M_FFE", "M", "FFE"), "", "B0", None, Component.FIELD_MAP),
        (("OTHER",), "", "", 3, Component.IMAGINARY),
        (("OTHER",), "", "", 0, Component.MAGNITUDE),
        ((), "", "", None, Component.MAGNITUDE),
    ],
)
def test_components(
    image_type: tuple[str, ...], complex_component: str, philips: str, ge: int | None, component: Component
) -> None:
    assert component_of(image_type, complex_component, philips, ge) == component


def test_turbo_reads_more_echoes_than_it_keeps() -> None:
    assert is_turbo(SequenceFacts(name="*tse2d2_5"), 2)
    assert is_turbo(SequenceFacts(name="se", echo_train_length=7), 2)
    assert not is_turbo(SequenceFacts(name="*se2d6", echo_train_length=6), 6)


@pytest.mark.parametrize(
    ("text", "vendor"),
    [
        ("SIEMENS", Vendor.SIEMENS),
        ("Siemens Healthineers", Vendor.SIEMENS),
        ("Philips Medical Systems", Vendor.PHILIPS),
        ("GE MEDICAL SYSTEMS", Vendor.GE),
        ("GE", Vendor.GE),
        ("GERMAN SCANNERS", Vendor.UNKNOWN),
        ("", Vendor.UNKNOWN),
    ],
)
def test_vendors(text: str, vendor: Vendor) -> None:
    assert vendor_of(text) == vendor
