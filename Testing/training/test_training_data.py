"""Folders of training data: what is read, and every way in which they can be wrong, named before any training."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ChiSepPreprocessLib.artifacts import Grid
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import read_json, write_json, write_nifti
from ChiSepPreprocessLib.progress import Reporter
from ChiSepReconstructLib.networks.weights.weight_set import Role
from ChiSepReconstructLib.training.data import find_subjects, read_subjects
from ChiSepReconstructLib.training.examples import TrainingSet, load
from ChiSepReconstructLib.training.options import (
    AugmentationOptions,
    DataOptions,
    PatchOptions,
    TrainingOptions,
    published,
)
from training_heads import RELAXIVITY, TRAINED, make_maps, write_head, write_heads

SHAPE = (26, 25, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_heads(tmp_path_factory.mktemp("heads"), 3, SHAPE)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "data"))


def options(**changes: Any) -> TrainingOptions:
    return TrainingOptions(patches=PatchOptions(size_voxels=16, stride_voxels=12), storage="float32",
                           augmentation=AugmentationOptions(angles_deg=(0.0,)),
                           data=DataOptions(qsm_source="truth", **changes))  # fmt: skip


def loaded(folder: Path, role: Role, **changes: Any) -> TrainingSet:
    return load(folder, role, options(**changes), Reporter())


@pytest.mark.parametrize("role", ["qsmnet", "r2primenet", "chisepnet"])
def test_examples_are_normalised_by_the_training_brains_alone(folder: Path, role: Role) -> None:
    found = loaded(folder, role)
    assert [one.name for one in found.training] == ["s0000", "s0001"]
    assert [one.name for one in found.validation] == ["s0002"]
    for channel, name in enumerate((*found.inputs, *found.outputs)):
        inside = np.concatenate([one.images[channel][one.mask] for one in found.training])
        if (role, name) == ("r2primenet", "r2prime"):  # its constants are those of the measured map
            continue
        assert inside.mean() == pytest.approx(0, abs=1e-4), name
        assert inside.std() == pytest.approx(1, rel=1e-4), name
        assert not any(one.images[channel][~one.mask].any() for one in found.training)


def test_constants_are_in_ppm_and_the_same_for_all_networks(folder: Path) -> None:
    scales = {role: loaded(folder, role).constants for role in ("qsmnet", "r2primenet", "chisepnet")}  # type: ignore[arg-type]
    every = [make_maps(seed, SHAPE) for seed in (0, 1)]
    for name, path in (("local_field", "local_field"), ("chi_total", "truth/chi_total"), ("r2prime", "r2prime"),
                       ("r2star", "r2star"), ("chi_dia", "truth/chi_dia")):  # fmt: skip
        values = np.concatenate([one[path][one["brain_mask"]] for one in every]).astype(np.float64)
        values = values / (RELAXIVITY if name.startswith("r2") else 1)
        for constants in scales.values():
            if name in constants.normalisation:
                assert constants.normalisation[name].mean == pytest.approx(values.mean(), rel=2e-4)
                assert constants.normalisation[name].std == pytest.approx(values.std(), rel=2e-4)
    assert {round(one.relaxivity_hz_per_ppm, 1) for one in scales.values()} == {RELAXIVITY}
    shared = set(scales["chisepnet"].normalisation) & set(scales["qsmnet"].normalisation)
    assert shared == {"chi_total", "local_field"}


def test_label_of_r2primenet_is_the_noiseless_map_or_the_measured_one(folder: Path) -> None:
    truth, measured = (loaded(folder, "r2primenet", r2prime_label=one) for one in ("truth", "measured"))
    difference = truth.training[0].images[1] - measured.training[0].images[1]
    assert 0.01 < difference[truth.training[0].mask].std() < 0.05  # the noise of 2 %


def test_qsm_of_the_labels_can_be_noisy_and_follows_the_seed(folder: Path) -> None:
    clean, noisy, again = (loaded(folder, "chisepnet", qsm_noise_ppm=one) for one in (0.0, 0.01, 0.01))
    noise = noisy.training[0].images[0] - clean.training[0].images[0]
    std = clean.constants.normalisation["chi_total"].std
    assert noise[clean.training[0].mask].std() * std == pytest.approx(0.01, rel=0.03)
    assert np.array_equal(noisy.training[0].images, again.training[0].images)


def test_turned_copies_are_of_training_heads_alone(folder: Path) -> None:
    chosen = TrainingOptions(patches=PatchOptions(size_voxels=16), augmentation=AugmentationOptions(angles_deg=(0, 40)))
    found = load(folder, "qsmnet", chosen, Reporter())
    assert [one.name for one in found.training] == ["s0000", "s0000", "s0001", "s0001"]
    assert len(found.validation) == 1 and found.training[1].images.dtype == np.float16


def test_maps_are_cropped_to_the_brain_and_keep_their_place(tmp_path: Path) -> None:
    maps = {name: np.pad(one, ((20, 3), (0, 15), (12, 12))) for name, one in make_maps(0, SHAPE).items()}
    write_head(tmp_path / "a", maps, end=".nii.gz")
    for name in ("b", "c"):
        write_head(tmp_path / name, make_maps(1, SHAPE))
    names = find_subjects(tmp_path, "qsmnet", DataOptions())
    one = next(iter(read_subjects(tmp_path, names, "qsmnet", DataOptions(), Reporter())))
    first = [int(np.flatnonzero(maps["brain_mask"].any(axis=other))[0]) for other in ((1, 2), (0, 2), (0, 1))]
    corner = np.maximum(np.array(first) - 8, 0)
    assert np.allclose(one.grid.affine[:3, 3], (TRAINED @ [*corner, 1.0])[:3])
    assert np.array_equal(one.measured["local_field"], maps["local_field"][maps["brain_mask"]])


def test_chosen_subjects_are_held_out(folder: Path) -> None:
    assert [one.name for one in loaded(folder, "qsmnet", validation=("s0000",)).validation] == ["s0000"]
    with pytest.raises(InputError, match="subjects to validate: got nobody"):
        loaded(folder, "qsmnet", validation=("nobody",))


def refuse(folder: Path, message: str, role: Role = "chisepnet", **changes: Any) -> None:
    with pytest.raises(InputError, match=message):
        loaded(folder, role, **changes)


def test_missing_maps_are_all_named(copy: Path) -> None:
    (copy / "s0001" / "truth" / "chi_dia.nii").unlink()
    (copy / "s0002" / "r2prime.nii").unlink()
    refuse(copy, r"no s0001/truth/chi_dia, s0002/r2prime; expected these maps")
    refuse(copy / "nowhere", "which is no folder")


def test_too_few_subjects(copy: Path) -> None:
    shutil.rmtree(copy / "s0002")
    refuse(copy, "2 subjects .* at least 2 to train and 1 to validate")


def rewrite(copy: Path, path: str, change: Any, affine: Any = TRAINED) -> None:
    import nibabel

    data = np.asanyarray(nibabel.load(copy / f"{path}.nii").dataobj)
    changed = change(data)
    write_nifti(copy / f"{path}.nii", changed, Grid(changed.shape, affine))


def test_nan_is_named_with_its_file(copy: Path) -> None:
    def with_nan(data: Any) -> Any:
        data = data.copy()
        data[12, 12, 12] = np.nan
        return data

    rewrite(copy, "s0001/local_field", with_nan)
    refuse(copy, r"s0001/local_field .*1 voxels that are NaN")


@pytest.mark.parametrize(
    ("path", "factor", "message"),
    [("s0000/local_field", 127.7, "Hz, rad"), ("s0002/r2prime", 1e-3, "1/ms"), ("s0001/truth/chi_para", 1e3, "ppb"),
     ("s0001/truth/chi_dia", -1.0, "a minimum of")],
)  # fmt: skip
def test_wrong_units_and_signs(copy: Path, path: str, factor: float, message: str) -> None:
    rewrite(copy, path, lambda data: data * np.float32(factor))
    refuse(copy, f"{path}.*{message}")


def test_other_grids(copy: Path) -> None:
    rewrite(copy, "s0001/r2prime", lambda data: data[:-1])
    refuse(copy, r"s0001/r2prime: got a grid of \(25, 25, 24\)")
    rewrite(copy, "s0001/r2prime", lambda data: np.pad(data, ((0, 1), (0, 0), (0, 0))))
    moved = TRAINED.copy()
    moved[0, 3] += 2
    rewrite(copy, "s0001/r2prime", lambda data: data, moved)
    refuse(copy, "s0001/r2prime: got another position")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [(np.diag([1.0, 1, 1, 1]), "axes of s0000: got RAS"), (TRAINED * [1, 1, 1.2, 1], "voxel size of s0000: got 1 × 1"),
     (TRAINED * [1, 1, -1, 1], "axes of s0000: got PRI"), (TRAINED * [-1, -1, 1, 1], "axes of s0000: got ALS")],
)  # fmt: skip
def test_other_axes_and_voxels(folder: Path, tmp_path: Path, matrix: Any, message: str) -> None:
    for seed in range(3):
        write_head(tmp_path / f"s{seed:04d}", make_maps(seed, SHAPE), matrix)
    refuse(tmp_path, message)


def test_b0_off_the_third_axis(copy: Path) -> None:
    note = {"artifact": "brain_mask", "unit": "bool", "b0_direction_ijk": [0.0, 0.1, float(np.sqrt(0.99))]}
    write_json(copy / "s0001" / "brain_mask.json", note)
    refuse(copy, r"B0 of s0001: got \(0.000, 0.100, 0.995\)")


def test_sidecars_in_another_unit_or_of_another_scanner(copy: Path) -> None:
    note = {"artifact": "local_field", "unit": "Hz"}
    write_json(copy / "s0000" / "local_field.json", note)
    refuse(copy, "sidecar of s0000/local_field: got local_field in Hz")
    for path in ("brain_mask", "local_field", "r2prime", "truth/chi_para", "truth/chi_dia", "truth/chi_total"):
        write_json(copy / "s0000" / f"{path}.json", {"field_strength_t": 7.0})
    refuse(copy, "field strength of s0000: got 7.00 T")


def test_without_sidecars_the_field_strength_must_be_told(tmp_path: Path) -> None:
    for seed in range(3):
        write_head(tmp_path / f"s{seed}", make_maps(seed, SHAPE), notes=False)
    refuse(tmp_path, "no sidecar with field_strength_t")
    assert loaded(tmp_path, "qsmnet", field_strength_t=3.0).constants.field_strength_t == 3.0


def test_published_options_are_those_of_the_paper() -> None:
    qsm, r2prime, chi = (published(role) for role in ("qsmnet", "r2primenet", "chisepnet"))  # type: ignore[arg-type]
    assert (chi.epochs, qsm.epochs, r2prime.epochs) == (60, 50, 50)
    assert (chi.batch_size, chi.base_width, chi.patches.size_voxels, chi.patches.stride_voxels) == (12, 32, 64, 24)
    assert [one.optimiser.learning_rate for one in (qsm, r2prime, chi)] == [1e-3, 1e-3, 3e-4]
    assert (qsm.optimiser.decay, qsm.optimiser.decay_steps) == (0.9999, 1)
    assert (chi.optimiser.decay, chi.optimiser.decay_steps) == (0.98, 1000)
    assert (chi.loss.l1, chi.loss.gradient, chi.loss.model) == (1, 0.1, 1) and r2prime.loss.model == 0


@pytest.mark.parametrize(("frequency_hz", "field_strength_t"), [(None, 3.0), (123.2e6, 2.8935), (127.74e6, 3.0002)])
def test_field_strength_is_that_of_the_imaging_frequency(
    tmp_path: Path, frequency_hz: float | None, field_strength_t: float
) -> None:
    data = write_heads(tmp_path / "data", 3, (20, 19, 18))
    for path in data.glob("*/*.json"):
        write_json(path, {**read_json(path), "imaging_frequency_hz": frequency_hz})
    for one in read_subjects(data, find_subjects(data, "qsmnet", DataOptions()), "qsmnet", DataOptions(), Reporter()):
        assert one.field_strength_t == pytest.approx(field_strength_t, abs=1e-3)
