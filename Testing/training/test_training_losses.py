"""Losses against plain numpy, and the gradient of the model loss against finite differences."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from ChiSepReconstructLib.networks.normalisation import Normalisation
from ChiSepReconstructLib.networks.weights.weight_set import CLOSED_FORM, INPUTS, OUTPUTS, Role, closed_form
from ChiSepReconstructLib.training.examples import Constants, TrainingSet
from ChiSepReconstructLib.training.losses import (
    PatchDipole,
    TrainingLoss,
    coarse_loss,
    gradient_loss,
    l1_loss,
    neighbour_loss,
)
from ChiSepReconstructLib.training.options import LossOptions

SCALES = {"chi_total": (-0.0013, 0.0315), "local_field": (-0.0026, 0.0108), "r2prime": (0.0514, 0.0698),
          "r2star": (0.159, 0.075), "chi_para": (0.0259, 0.0353), "chi_dia": (0.0267, 0.0279)}  # fmt: skip
N = 8


def training_set(role: Role) -> TrainingSet:
    constants = Constants(normalisation={name: Normalisation(*one) for name, one in SCALES.items()},
                          relaxivity_hz_per_ppm=114.0, field_strength_t=2.9)  # fmt: skip
    return TrainingSet(role=role, inputs=INPUTS[role][0], outputs=OUTPUTS[role], training=(), validation=(),
                       constants=constants)  # fmt: skip


def random_patches(role: Role, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """Estimate, inputs, label and mask in float64."""
    random = np.random.default_rng(seed)
    inputs, outputs = INPUTS[role][0], OUTPUTS[role]
    mask = random.random((2, 1, N, N, N)) < 0.8
    given, label = (random.standard_normal((2, len(names), N, N, N)) * mask for names in (inputs, outputs))
    return random.standard_normal((2, len(outputs), N, N, N)), given, label, mask.astype(float)


def plain_field(chi: Any) -> Any:
    """Circular convolution with the dipole over the whole spectrum."""
    k = np.meshgrid(*(np.fft.fftfreq(N),) * 3, indexing="ij")
    length = sum(one**2 for one in k)
    kernel = 1 / 3 - k[2] ** 2 / np.where(length == 0, 1, length)
    kernel[0, 0, 0] = 0
    return np.fft.ifftn(np.fft.fftn(chi, axes=(-3, -2, -1)) * kernel, axes=(-3, -2, -1)).real


def in_ppm(name: str, values: Any, mask: Any) -> Any:
    mean, std = SCALES[name]
    return (values * std + mean) * mask[:, 0]


@pytest.mark.parametrize("form", ["paper", "official"])
def test_chisepnet_loss_equals_plain_numpy(form: Any) -> None:
    estimate, inputs, label, mask = random_patches("chisepnet")
    loss = TrainingLoss(training_set("chisepnet"), LossOptions(form=form), N)
    found = loss(*(torch.from_numpy(one) for one in (estimate, inputs, label, mask)))
    para, dia = (in_ppm(name, estimate[:, n], mask) for n, name in enumerate(OUTPUTS["chisepnet"]))
    qsm, field, r2prime = (in_ppm(name, inputs[:, n], mask) for n, name in enumerate(INPUTS["chisepnet"][0]))
    unit = {name: one[1] if form == "paper" else 1.0 for name, one in SCALES.items()}
    expected = {
        "l1": np.abs(estimate - label).mean(axis=(0, 2, 3, 4)).sum() / (1 if form == "paper" else 2),
        "gradient": plain_gradient(estimate, label) if form == "paper" else plain_neighbours(estimate, label),
        "model_qsm": np.abs(para - dia - qsm).mean() / unit["chi_total"],
        "model_field": np.abs((plain_field(para - dia) - field) * mask[:, 0]).mean() / unit["local_field"],
        "model_r2prime": np.abs(para + dia - r2prime).mean() / unit["r2prime"],
    }
    expected["loss"] = expected["l1"] + 0.1 * expected["gradient"] + sum(
        one for name, one in expected.items() if name.startswith("model"))  # fmt: skip
    assert set(found) == set(expected)
    for name, value in expected.items():
        # The kernel is stored in float32.
        assert float(found[name]) == pytest.approx(float(value), rel=1e-6), name


def plain_gradient(estimate: Any, label: Any) -> float:
    found = 0.0
    for channel, axis in product(range(estimate.shape[1]), (1, 2, 3)):
        one, other = (np.abs(np.diff(images[:, channel], axis=axis)) for images in (estimate, label))
        found += np.abs(one - other).mean()
    return found


def plain_neighbours(estimate: Any, label: Any) -> float:
    """Over every voxel and each of its 26 neighbours, one after the other."""
    total = 0.0
    for offset in product((-1, 0, 1), repeat=3):
        if offset == (0, 0, 0):
            continue
        here = tuple(slice(max(-step, 0), N - max(step, 0)) for step in offset)
        there = tuple(slice(max(step, 0), N - max(-step, 0)) for step in offset)
        one, other = (np.maximum(images[(..., *there)] - images[(..., *here)], 0) for images in (estimate, label))
        total += np.abs(one - other).mean(axis=(0, 2, 3, 4)).sum() / np.linalg.norm(offset)
    return total / 26


def test_qsmnet_loss_compares_fields() -> None:
    estimate, inputs, label, mask = random_patches("qsmnet", 1)
    chi, true = (in_ppm("chi_total", one[:, 0], mask) for one in (estimate, label))
    field = in_ppm("local_field", inputs[:, 0], mask)
    tensors = [torch.from_numpy(one) for one in (estimate, inputs, label, mask)]
    for target, expected in (("measured", plain_field(chi) - field), ("label", plain_field(chi - true))):
        loss = TrainingLoss(training_set("qsmnet"), LossOptions(form="official", field_target=target), N)  # type: ignore[arg-type]
        value = float(loss(*tensors)["model_field"])
        assert value == pytest.approx(np.abs(expected * mask[:, 0]).mean(), rel=1e-6)
    assert "model_field" not in TrainingLoss(training_set("qsmnet"), LossOptions(field_target="none"), N)(*tensors)


def test_r2primenet_has_no_model() -> None:
    tensors = [torch.from_numpy(one) for one in random_patches("r2primenet", 2)]
    assert set(TrainingLoss(training_set("r2primenet"), LossOptions(), N)(*tensors)) == {"loss", "l1", "gradient"}


def test_loss_of_the_label_itself_is_that_of_its_model_alone() -> None:
    _, inputs, label, mask = (torch.from_numpy(one) for one in random_patches("qsmnet", 3))
    options = LossOptions(field_target="label")
    assert float(TrainingLoss(training_set("qsmnet"), options, N)(label, inputs, label, mask)["loss"]) == 0


def test_inside_the_mask_alone() -> None:
    estimate, inputs, label, mask = (torch.from_numpy(one) for one in random_patches("chisepnet", 4))
    loss = TrainingLoss(training_set("chisepnet"), LossOptions(inside_mask=True), N)
    other = estimate + 5 * (1 - mask)
    assert float(loss(other, inputs, label, mask)["loss"]) == pytest.approx(
        float(loss(estimate, inputs, label, mask)["loss"]), rel=1e-12
    )


def test_dipole_is_its_own_adjoint_and_linear() -> None:
    random = torch.Generator().manual_seed(0)
    one, other = (torch.randn((1, 1, N, N, N), generator=random, dtype=torch.float64) for _ in range(2))
    dipole = PatchDipole(N)
    assert float((dipole(one) * other).sum()) == pytest.approx(float((one * dipole(other)).sum()), rel=1e-12)


@pytest.mark.parametrize("role", ["qsmnet", "chisepnet"])
@pytest.mark.parametrize("form", ["paper", "official"])
def test_gradient_agrees_with_finite_differences(role: Role, form: Any) -> None:
    # Of a small patch, and away from the kinks of |x|, where no derivative exists.
    estimate, inputs, label, mask = (torch.from_numpy(one[:1, :, :4, :4, :4]) for one in random_patches(role, 5))
    loss = TrainingLoss(training_set(role), LossOptions(form=form), 4)
    estimate.requires_grad_()
    assert torch.autograd.gradcheck(lambda one: loss(one, inputs, label, mask)["loss"], (estimate,), eps=1e-7,
                                    atol=1e-7, rtol=1e-4)  # fmt: skip


def test_terms_vanish_for_equal_maps_and_grow_with_contrast() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randn((1, 2, N, N, N), generator=random)
    for term in (l1_loss, gradient_loss, neighbour_loss):
        assert float(term(images, images)) == 0
        assert float(term(2 * images, images)) == pytest.approx(float(term(images, 0 * images)), rel=1e-5)


def test_coarse_loss_sees_offsets_and_no_noise_within_a_block() -> None:
    label = torch.randn(2, 2, N, N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(2, 2, N // 4, 4, N // 4, 4, N // 4, 4, dtype=torch.float64)
    noise = (noise - noise.mean(dim=(3, 5, 7), keepdim=True)).reshape(label.shape)
    assert float(coarse_loss(label + noise, label)) == pytest.approx(0, abs=1e-12)
    assert float(coarse_loss(label + noise - 0.3, label)) == pytest.approx(2 * 0.3)
    estimate, inputs, truth, mask = (torch.from_numpy(one) for one in random_patches("chisepnet"))
    terms = TrainingLoss(training_set("chisepnet"), LossOptions(coarse=0.7), N)(estimate, inputs, truth, mask)
    without = TrainingLoss(training_set("chisepnet"), LossOptions(), N)(estimate, inputs, truth, mask)
    assert float(terms["loss"] - without["loss"]) == pytest.approx(0.7 * float(coarse_loss(estimate, truth)))


def test_model_terms_are_the_same_from_the_closed_form() -> None:
    """Sum and difference of the two sources are R2′ and QSM again."""
    estimate, inputs, label, mask = (torch.from_numpy(one) for one in random_patches("chisepnet"))
    plain = training_set("chisepnet")
    scales = {**plain.constants.normalisation}
    scales |= dict(zip(CLOSED_FORM, (scales["chi_para"], scales["chi_dia"]), strict=True))
    started = replace(plain, inputs=(*CLOSED_FORM, "local_field"),
                      constants=replace(plain.constants, normalisation=scales))  # fmt: skip
    qsm, r2prime = (
        inputs[:, n] * scales[name].std + scales[name].mean for n, name in ((0, "chi_total"), (2, "r2prime"))
    )
    made = closed_form(qsm, r2prime)
    images = torch.stack(
        [*((made[name] - scales[name].mean) / scales[name].std for name in CLOSED_FORM), inputs[:, 1]], 1
    )
    expected, found = (
        TrainingLoss(data, LossOptions(), N)(estimate, given, label, mask)
        for data, given in ((plain, inputs), (started, images))
    )
    assert set(found) == {"loss", "l1", "gradient", "model_qsm", "model_field", "model_r2prime"}
    for name, one in expected.items():
        assert float(found[name]) == pytest.approx(float(one), rel=1e-9)
