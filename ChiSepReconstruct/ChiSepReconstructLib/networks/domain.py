"""Whether a scan is one that the networks were trained for, and what is done where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

from ChiSepPreprocessLib.artifacts import ScanParameters
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.quantities import GAMMA_HZ_PER_T

from ..physics.relaxivity import Relaxivity
from .weights.weight_set import WeightSet

#: Field strengths that pass for the training's: "3 T" is 2.89 T on some scanners and 3.0 T on others.
_SAME_FIELD_STRENGTH = 0.05

Vector = tuple[float, float, float]

#: NRMSE (%) of χ_para and χ_dia on simulated data without noise, by weights and by edges in mm in ascending order, with
#: "fast" (``Testing/benchmarks/resolution.py --block 96 128 96``).
MEASURED: Mapping[str, Mapping[Vector, tuple[float, float]]] = {
    "simulated-1": {
        (0.6, 0.6, 0.6): (10.4, 9.1), (0.7, 0.7, 0.7): (10.3, 9.1), (0.85, 0.85, 0.85): (10.3, 9.1),
        (1.0, 1.0, 1.0): (10.1, 9.1), (1.25, 1.25, 1.25): (10.2, 9.0), (1.5, 1.5, 1.5): (9.9, 8.9),
        (2.0, 2.0, 2.0): (9.5, 9.2), (2.5, 2.5, 2.5): (9.6, 9.9), (3.0, 3.0, 3.0): (10.2, 10.8),
        (1.0, 1.0, 2.0): (9.8, 8.9), (1.0, 1.0, 3.0): (9.8, 9.3),
    }
}  # fmt: skip


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
        edges = f"of {smallest:g}" if smallest == largest else f"from {smallest:g} to {largest:g}"
        warnings.append(f"Voxels of {_in_words(voxel_size_mm)} mm: the networks of the set '{weights.name}' were "
                        f"tested with edges {edges} mm{_loss(weights, voxel_size_mm)}")  # fmt: skip
    return tuple(warnings)


def _in_words(voxel_size_mm: Sequence[float]) -> str:
    return " × ".join(f"{one:.2g}" for one in voxel_size_mm)


def _loss(weights: WeightSet, voxel_size_mm: Sequence[float]) -> str:
    """What was measured at the nearest size, as the end of a sentence and another one."""
    measured, trained_mm = MEASURED.get(weights.name, {}), _ascending(weights.voxel_size_mm)
    if trained_mm not in measured:
        return "; expect lost detail and wrong values."
    nearest = min(measured, key=lambda edges: _distance(edges, voxel_size_mm))
    before, after = measured[trained_mm], measured[nearest]
    changes = " and ".join(f"{name} from {one:.1f} to {other:.1f} %" for name, one, other in
                           zip(("χ_para", "χ_dia"), before, after, strict=True))  # fmt: skip
    return (f". On simulated data without noise, {_in_words(nearest)} mm in place of {_in_words(trained_mm)} mm "
            f"changed the error (NRMSE) of {changes}; what is smaller than a voxel is lost besides.")  # fmt: skip


def _ascending(edges_mm: Sequence[float]) -> Vector:
    i, j, k = sorted(edges_mm)
    return i, j, k


def _distance(edges_mm: Sequence[float], others_mm: Sequence[float]) -> float:
    """Of two voxel sizes: squares of the ratios' logarithms, whichever the axes."""
    pairs = zip(_ascending(edges_mm), _ascending(others_mm), strict=True)
    return sum(log(one / other) ** 2 for one, other in pairs)
