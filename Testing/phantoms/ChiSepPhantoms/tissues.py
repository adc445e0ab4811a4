"""What each tissue is made of, at 3 T; every number of the simulated patient's physics stands here.

Sources
-------
``atlas``
    ROI means of the in-vivo χ-separation atlas at 3 T (106 subjects, Seoul National University).
``challenge``
    Marques et al., "QSM reconstruction challenge 2.0", Magn Reson Med 86 (2021), and its χ-separation extension:
    susceptibilities of both signs and T2 at 3 T.
``stanisz``
    Stanisz et al., "T1, T2 relaxation and magnetization transfer in tissue at 3T", Magn Reson Med 54 (2005).
``model``
    Follows from the model: R2′ vanishes in fluid, so both susceptibilities of CSF are zero and it is the reference.
``typical``
    Rounded textbook value; it shapes contrast and is not a truth that methods are judged by.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from ChiSepPreprocessLib.quantities import PAPER_FIELD_STRENGTH_T

#: Relaxivity of both sources at the papers' scanner, Hz/ppm (χ-sepnet, Kim et al. 2025).
PAPER_RELAXIVITY_HZ_PER_PPM = 114.0

#: Susceptibility of air relative to tissue, ppm.
CHI_AIR_PPM = 9.2


@dataclass(frozen=True)
class Tissue:
    """One tissue: susceptibilities in ppm (both ≥ 0), rates at 3 T in 1/s, proton density relative to water."""

    label: int
    chi_para: float
    chi_dia: float
    r2: float
    r1: float
    density: float
    source: str


TISSUES = MappingProxyType({
    "csf": Tissue(1, 0.0, 0.0, 0.63, 0.23, 1.00, "model; R2 challenge (T2 1584 ms)"),
    "grey_matter": Tissue(2, 0.0342, 0.0195, 10.1, 0.55, 0.84, "challenge; R1, R2 stanisz"),
    "white_matter": Tissue(3, 0.0168, 0.0288, 14.3, 0.92, 0.70, "atlas; R2 challenge (T2 70 ms), R1 stanisz"),
    "caudate": Tissue(4, 0.0477, 0.0082, 11.3, 0.70, 0.83, "atlas; R2 challenge; R1 typical"),
    "putamen": Tissue(5, 0.0771, 0.0103, 12.9, 0.76, 0.82, "atlas; R2 challenge; R1 typical"),
    "globus_pallidus": Tissue(6, 0.1319, 0.0126, 15.7, 0.93, 0.76, "atlas; R2 challenge; R1 typical"),
    "thalamus": Tissue(7, 0.0229, 0.0208, 11.5, 0.80, 0.77, "atlas; R2 challenge; R1 typical"),
    "pulvinar": Tissue(8, 0.0521, 0.0044, 11.5, 0.75, 0.79, "atlas; R2 challenge (thalamus); R1 typical"),
    "red_nucleus": Tissue(9, 0.1120, 0.0101, 14.7, 0.90, 0.76, "atlas; R2 challenge; R1 typical"),
    "substantia_nigra": Tissue(10, 0.1157, 0.0111, 13.8, 0.88, 0.76, "atlas; R2 challenge; R1 typical"),
    "dentate": Tissue(11, 0.1584, 0.0163, 13.5, 0.88, 0.77, "challenge; R2, R1 typical"),
    "vein": Tissue(12, 0.1900, 0.0, 28.0, 0.60, 0.80, "challenge; R2, R1 typical (venous blood)"),
    "scalp": Tissue(13, 0.0, 0.0, 16.0, 2.40, 0.75, "typical (fat and skin)"),
    "skull": Tissue(14, 0.0, 0.0, 60.0, 1.00, 0.06, "typical (bone)"),
    "soft_tissue": Tissue(15, 0.0, 0.0, 28.0, 0.80, 0.45, "typical (dura, muscle)"),
})  # fmt: skip

# The challenge's T2 of the dentate, 110 ms, would make a nucleus full of iron as bright as a lesion on FLAIR.

#: Tissues whose iron varies from subject to subject.
IRON_RICH = ("caudate", "putamen", "globus_pallidus", "red_nucleus", "substantia_nigra", "dentate", "pulvinar")

#: R2 (1/s), R1 (1/s) and proton density of demyelinated tissue at 3 T (typical).
LESION_R2, LESION_R1, LESION_DENSITY = 8.5, 0.62, 0.80

#: First label of the lesions in the label volume.
FIRST_LESION_LABEL = 101


def relaxivities_hz_per_ppm(kind: str, field_strength_t: float) -> tuple[float, float]:
    """Relaxivities of the para- and the diamagnetic source at a field strength, Hz/ppm.

    ``"single"`` is 114 Hz/ppm at 2.893 T for both, scaled linearly with B0. ``"split"`` is 20 % above and below
    that: no measurement, but a stated breach of the single-relaxivity assumption that methods are tested against.

    Returns
    -------
    tuple of float
        Para, dia.
    """
    base = PAPER_RELAXIVITY_HZ_PER_PPM * field_strength_t / PAPER_FIELD_STRENGTH_T
    return (1.2 * base, 0.8 * base) if kind == "split" else (base, base)


def r2_scale(field_strength_t: float) -> float:
    """Factor on R2 at 3 T: 10 % for each tesla, which gives white matter 70 ms at 3 T and 50 ms at 7 T."""
    return 1.0 + 0.1 * (field_strength_t - 3.0)


def r1_scale(field_strength_t: float) -> float:
    """Factor on R1 at 3 T: T1 grows with the cube root of B0 (Bottomley et al., Med Phys 11, 1984)."""
    return float((3.0 / field_strength_t) ** (1.0 / 3.0))
