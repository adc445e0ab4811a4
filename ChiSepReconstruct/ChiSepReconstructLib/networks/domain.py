"""Whether a scan is one that the networks were trained for, and what is done where it is not."""

from __future__ import annotations

from collections.abc import Sequence

from ChiSepPreprocessLib.artifacts import ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T

from ..physics.relaxivity import Relaxivity
from .weights.weight_set import WeightSet

#: Field strengths that pass for the training's: "3 T" is 2.89 T on some scanners and 3.0 T on others.
_SAME_FIELD_STRENGTH = 0.05


def relaxivity_for(
    weights: WeightSet, scan: ScanParameters, *, other_field_strength: bool, instead: Sequence[str]
) -> tuple[Relaxivity, tuple[str, ...]]:
    """Relaxometric constant by which relaxation is divided before it is normalised, and what to say about it.

    Parameters
    ----------
    weights : WeightSet
        Its constant holds at its field strength, and is scaled linearly to that of the scan.
    scan : ScanParameters
        Whose field strength its reference frequency tells.
    other_field_strength : bool
        Go on at a field strength that is more than 5 % away, with a warning.
    instead : sequence of str
        Methods that serve any field strength, for the error message.

    Raises
    ------
    InputError
        If the field strength is another than the training's.
    """
    trained_t, actual_t = weights.field_strength_t, scan.reference_frequency_hz / GAMMA_HZ_PER_T
    scaled = weights.relaxivity_hz_per_ppm * actual_t / trained_t
    constants = Relaxivity(para_hz_per_ppm=scaled, dia_hz_per_ppm=scaled, preset=f"weights '{weights.name}'",
                           field_strength_t=actual_t)  # fmt: skip
    if abs(actual_t / trained_t - 1) <= _SAME_FIELD_STRENGTH:
        return constants, ()
    if not other_field_strength:
        raise InputError("field strength", f"{actual_t:.2f} T", f"{trained_t:.2f} T, at which the networks of the set "
                         f"'{weights.name}' were trained", f"Methods for any field strength: {', '.join(instead)}. "
                         "Or set other_field_strength, which scales the relaxometric constant.")  # fmt: skip
    warning = (f"The networks were trained at {trained_t:.2f} T and run at {actual_t:.2f} T, as asked for: relaxation "
               f"is divided by {scaled:.1f} instead of {weights.relaxivity_hz_per_ppm:.1f} Hz/ppm, and R2, noise and "
               "contrast are others than those of the training.")  # fmt: skip
    return constants, (warning,)


def domain_warnings(weights: WeightSet, voxel_size_mm: Sequence[float]) -> tuple[str, ...]:
    """What the user should know about the weights and these voxels."""
    warnings = []
    if weights.training_domain == "simulated":
        warnings.append(f"The networks of the set '{weights.name}' were trained on simulated heads, and were not "
                        "validated in patients.")  # fmt: skip
    smallest, largest = weights.smallest_voxel_mm, weights.largest_voxel_mm
    if min(voxel_size_mm) < 0.99 * smallest or max(voxel_size_mm) > 1.01 * largest:
        size = " × ".join(f"{one:.2g}" for one in voxel_size_mm)
        edges = f"of {smallest:g}" if smallest == largest else f"from {smallest:g} to {largest:g}"
        warnings.append(f"Voxels of {size} mm: the networks of the set '{weights.name}' were tested with edges {edges} "
                        "mm; expect lost detail and wrong values.")  # fmt: skip
    return tuple(warnings)
