"""One simulated head: a brain by the template, deformed and painted, or shapes that are no brain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .head import PROPERTIES, Box, Head, Mask, material, share_of
from .options import AnatomyOptions
from .pathology import add_deposits, add_lesions, add_shapes
from .separable import Axes, Volume, noise_on
from .templates import load_template
from .tissues import BULK, NUCLEI, TRACTS, Ellipsoid, iron_at_age
from .vessels import add_veins
from .warp import ROOM_MM, Warp, random_warp

#: Around the brain, mm.
_MARGIN_MM = 8.0
#: Voxels between those whose place in the template serves to find structures.
_SKIP = 4
_WHOLE: Box = (slice(None), slice(None), slice(None))


def random_head(rng: np.random.Generator, options: AnatomyOptions) -> Head:
    """Make one head, or with the chance of ``abstract_share`` a volume of shapes.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness: the same state gives the same head.
    options : AnatomyOptions
        How heads differ.
    """
    if rng.random() < options.abstract_share:
        return _abstract(rng, options)
    age_years = float(rng.uniform(options.youngest_years, options.oldest_years))
    warp = random_warp(rng, options, age_years)
    axes_mm = _brain_axes(warp, options.fine_size_mm)
    place = warp.template_mm(axes_mm)
    tissues = _sharpened(_sampled(place), axes_mm, rng)
    head = _bulk(axes_mm, tissues, rng, options)
    every_mm = np.ascontiguousarray(place[:, ::_SKIP, ::_SKIP, ::_SKIP])
    _add_structures(head, place, every_mm, tissues["white_matter"], age_years, rng, options)
    _add_texture(head, rng, options.texture)
    _add_fibres(head, warp, place, tissues["white_matter"], rng, options.orientation_effect)
    del place
    add_veins(head, every_mm, rng, options.variation)
    _add_pathology(head, tissues["white_matter"], rng, options)
    return _finished(head)


def _add_pathology(head: Head, white: Volume, rng: np.random.Generator, options: AnatomyOptions) -> None:
    if rng.random() < options.lesion_share:
        add_lesions(head, white, rng)
    add_deposits(head, rng)
    if rng.random() < 0.3:
        add_shapes(head, int(rng.integers(1, 12)), 10.0, rng)


def _brain_axes(warp: Warp, size_mm: float) -> Axes:
    """Axes of the smallest grid around the brain, of voxels of about ``size_mm``, centred on whole millimetres."""
    rough = np.arange(-ROOM_MM, ROOM_MM + 1, 4.0)
    brain = _sampled(warp.template_mm((rough, rough, rough)))[2] > 0.3
    spans = [np.flatnonzero(brain.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    i, j, k = (_axis(rough[s[0]] - _MARGIN_MM, rough[s[-1]] + _MARGIN_MM, size_mm) for s in spans)
    return i, j, k


def _axis(first_mm: float, last_mm: float, size_mm: float) -> NDArray[np.float64]:
    """Centres of voxels over an even number of mm."""
    length_mm = 2 * int(np.ceil((last_mm - first_mm) / 2))
    count = round(length_mm / size_mm)
    return np.asarray(first_mm + (np.arange(count) + 0.5) * (length_mm / count))


def _sampled(place: Volume) -> Volume:
    """Grey, white and brain of the template at MNI places (3, I, J, K), mm."""
    from ._kernels import sample

    template = load_template()
    voxels = place.reshape(3, -1) - template.origin_mm.astype(np.float32)[:, None]
    values = np.empty((len(template.tissues), voxels.shape[1]), np.float32)
    sample(template.tissues, voxels, values)
    return values.reshape(-1, *place.shape[1:])


def _sharpened(sampled: Volume, axes_mm: Axes, rng: np.random.Generator) -> dict[str, Volume]:
    """Shares of tissue in one brain: the average's blurred ones, pushed by noise to one tissue or the other."""
    grey, white, inside = sampled
    sharpness, folding = rng.uniform(2.5, 5.0), rng.uniform(0.3, 0.9)
    fluid = np.maximum(1 - grey - white, 0)
    shares = []
    for share in (grey, white, fluid):
        push = noise_on(axes_mm, 7.0, rng)
        push += 0.6 * noise_on(axes_mm, 3.5, rng)
        push *= np.float32(folding)
        np.exp(push, out=push)
        push *= share + np.float32(1e-3)
        shares.append(push ** np.float32(sharpness))
    total = shares[0] + shares[1] + shares[2]
    brain = inside > 0.5
    return {name: share / total * brain for name, share in zip(BULK, shares, strict=True)}


def _bulk(axes_mm: Axes, tissues: dict[str, Volume], rng: np.random.Generator, options: AnatomyOptions) -> Head:
    """Head of cortex, white matter and fluid."""
    values = {name: material(BULK[name], rng, variation=options.variation) for name in BULK}
    maps = {name: sum(tissues[t] * np.float32(values[t][name]) for t in BULK) for name in PROPERTIES}
    brain = np.asarray(sum(tissues.values()) > 0.5)
    return Head(axes_mm, maps, brain, np.zeros(brain.shape, np.uint8))  # type: ignore[arg-type]


def _add_structures(
    head: Head, place: Volume, every_mm: Volume, white: Volume, age_years: float, rng: np.random.Generator,
    options: AnatomyOptions,
) -> None:  # fmt: skip
    """Paint tracts into white matter, then nuclei over everything."""
    for name, (tissue, shapes) in TRACTS.items():
        values = material(tissue, rng, variation=options.variation)
        for box, depth in _placed(head, place, every_mm, shapes, rng):
            share = share_of(depth, head.voxel_size_mm, softness_mm=1.5) * white[box]
            head.paint(box, share, values)
            head.mark(box, share, name)
    for name, (tissue, shapes) in NUCLEI.items():
        values = material(tissue, rng, iron_at_age(name, age_years), options.variation)
        for box, depth in _placed(head, place, every_mm, shapes, rng):
            share = share_of(depth, head.voxel_size_mm, softness_mm=float(rng.uniform(0.05, 0.3) * depth.max()))
            head.paint(box, share, values)
            head.mark(box, share, name)
            white[box] *= 1 - share


def _placed(
    head: Head, place: Volume, every_mm: Volume, shapes: tuple[Ellipsoid, ...], rng: np.random.Generator
) -> list[tuple[Box, Volume]]:
    """Boxes around a structure's parts on both sides, and the depth in them, mm."""
    found = []
    for shape in shapes:
        for side in (1.0, -1.0) if shape.is_paired else (1.0,):
            varied = np.array(shape.radii_mm) * np.exp(rng.normal(0, 0.1, 3))
            centre = np.array(shape.centre_mm) * (side, 1, 1) + rng.normal(0, 0.6, 3)
            turn = np.deg2rad(side * (shape.turn_deg + rng.normal(0, 6)))
            box = _box_of(every_mm, place.shape[1:], centre, 1.35 * float(varied.max()))
            if box is not None:
                noise = noise_on(head.axes_of(box), 5.0, rng)
                found.append((box, _depth(place[(slice(None), *box)], centre, varied, turn, noise)))
    return found


def _depth(
    place: Volume, centre: NDArray[np.float64], radii: NDArray[np.float64], turn: float, noise: Volume
) -> Volume:
    """Depth, mm, in a deformed ellipsoid that is turned about the anterior axis."""
    x, y, z = (place[c] - np.float32(centre[c]) for c in range(3))
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    # A positive turn lifts the right end of the right structure.
    along, up = cos * x + sin * z, cos * z - sin * x
    a, b, c = (np.float32(1 / r) for r in radii)
    distance = np.sqrt((a * along) ** 2 + (b * y) ** 2 + (c * up) ** 2)
    return (1 - distance + np.float32(0.08) * noise) * np.float32(radii.min())


def _box_of(every_mm: Volume, shape: tuple[int, ...], centre: NDArray[np.float64], radius_mm: float) -> Box | None:
    """Box of the voxels whose template place is near a point, by those of which the place is at hand."""
    apart = every_mm - centre[:, None, None, None].astype(np.float32)
    near = np.einsum("cijk,cijk->ijk", apart, apart) < (radius_mm + 5.0) ** 2
    if not near.any():
        return None
    spans = [np.flatnonzero(near.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    i, j, k = (
        slice(max(int(s[0]) * _SKIP - _SKIP, 0), min((int(s[-1]) + 2) * _SKIP, n))
        for s, n in zip(spans, shape, strict=True)
    )
    return i, j, k


def _add_texture(head: Head, rng: np.random.Generator, factor: float) -> None:
    """Let each property vary from place to place, at several scales."""
    for name, strength in (("chi_para", 0.18), ("chi_dia", 0.18), ("r2", 0.04), ("relaxivity_para", 0.05),
                           ("relaxivity_dia", 0.05), ("proton_density", 0.03)):  # fmt: skip
        texture = noise_on(head.axes_mm, 12.0, rng)
        texture += noise_on(head.axes_mm, 4.0, rng)
        texture += np.float32(0.8) * noise_on(head.axes_mm, 1.6, rng)
        texture *= np.float32(factor * strength * rng.uniform(0.4, 1.6) / 1.6)
        texture += 1
        np.maximum(texture, 0.1, out=texture)
        head.maps[name] *= texture


def _add_fibres(head: Head, warp: Warp, place: Volume, white: Volume, rng: np.random.Generator, effect: float) -> None:
    """Let white matter's diamagnetic part and its relaxivity depend on the fibres' angle to B0.

    Both grow with sin² θ, as R2′ of cylinders does (Yablonskiy & Haacke, MRM 32:749 (1994)) and as apparent
    susceptibility of myelin does (Li W, et al. NeuroImage 59:2088 (2012)). Callosal fibres run from side to side,
    projections up and down, associations from front to back; a smooth noise turns all.
    """
    lateral = np.abs(place[0])
    across = np.exp(-((lateral / 16) ** 2))
    upwards = np.exp(-(((lateral - 23) / 9) ** 2))
    forwards = np.exp(-(((lateral - 38) / 10) ** 2)) + np.float32(0.05)
    axes = [warp.direction_to_scanner(np.eye(3)[c]) for c in range(3)]
    direction = []
    for c in range(3):
        one = noise_on(head.axes_mm, 16.0, rng) * np.float32(0.35)
        for weight, axis in zip((across, forwards, upwards), axes, strict=True):
            one += weight * np.float32(axis[c])
        direction.append(one)
    square = sum(one * one for one in direction) + np.float32(1e-6)
    sine_square = 1 - direction[2] ** 2 / square
    # 2/3 and 0.298 are mean and standard deviation of sin² θ over all directions.
    change = (sine_square - np.float32(2 / 3)) * white * np.float32(effect / 0.298)
    for name in ("chi_dia", "relaxivity_dia"):
        head.maps[name] *= 1 + np.float32(rng.uniform(0.5, 1.5)) * change


def _abstract(rng: np.random.Generator, options: AnatomyOptions) -> Head:
    """Volume of random shapes in a deformed ellipsoid."""
    radii = rng.uniform(65, 85, 3) * rng.uniform(options.smallest_size, options.largest_size)
    i, j, k = (_axis(-r - _MARGIN_MM, r + _MARGIN_MM, options.fine_size_mm) for r in 1.25 * radii)
    axes_mm = (i, j, k)
    offset = [np.square(axis / r).astype(np.float32) for axis, r in zip(axes_mm, radii, strict=True)]
    inside = np.sqrt(offset[0][:, None, None] + offset[1][:, None] + offset[2])
    brain: Mask = inside + np.float32(0.06) * noise_on(axes_mm, 20.0, rng) < 1
    ground = material(BULK["white_matter" if rng.random() < 0.5 else "cortex"], rng, variation=options.variation)
    maps = {name: np.full(brain.shape, ground[name], np.float32) for name in PROPERTIES}
    head = Head(axes_mm, maps, brain, np.zeros(brain.shape, np.uint8))
    add_shapes(head, int(rng.integers(15, 40)), 30.0, rng)
    _add_texture(head, rng, options.texture)
    add_shapes(head, int(rng.integers(60, 250)), 12.0, rng)
    if rng.random() < 0.7:
        add_veins(head, None, rng, options.variation)
    add_deposits(head, rng)
    return _finished(head)


def _finished(head: Head) -> Head:
    """Nothing outside the brain, and nothing below 0."""
    for one in head.maps.values():
        one *= head.brain
        np.maximum(one, 0, out=one)
    return head
