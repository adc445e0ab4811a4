"""Maps of the head turned in the scanner, from folders to COSMOS."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ChiSeparationLib.cli import main
from ChiSeparationLib.orientations import read_orientations
from ChiSeparationLib.run_folder import read_run
from ChiSepPreprocessLib.artifacts import Array, Grid, Map, MapSet
from ChiSepPreprocessLib.errors import InputError
from ChiSepPreprocessLib.files import write_map
from oriented_heads import SHAPE, brain, directions, oriented, own_fields, random_sources, relative_error

#: So much room that periodic images hardly matter, as the command line crops to the brain.
_PADDING = 2.0


@pytest.fixture(scope="module")
def chi() -> Array:
    para, dia = random_sources()
    return para - dia


@pytest.fixture
def folders(chi: Array, tmp_path: Path) -> list[Path]:
    """Three orientations on the first one's grid, as maps with sidecars."""
    maps = oriented(own_fields(chi, _PADDING), directions())
    found = [tmp_path / str(number) for number in range(3)]
    for one, folder in zip((maps, *maps.others), found, strict=True):
        for made in one.values():
            write_map(made, one.scan, folder)
    return found


def exit_code(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_cosmos_of_registered_maps_by_the_command_line(folders: list[Path], chi: Array, tmp_path: Path) -> None:
    options, (first, *others) = tmp_path / "options.json", map(str, folders)
    options.write_text(json.dumps({"cosmos": {"padding": _PADDING}}))
    turned = [word for other in others for word in ("--orientation", other)]
    assert exit_code("reconstruct", first, *turned, "--method", "cosmos", "--options", str(options),
                     "-o", str(tmp_path / "out")) == 0  # fmt: skip
    result = read_run(tmp_path / "out", "cosmos")["chi_total"]
    assert relative_error(result.data, chi, brain(), offset_free=True) < 2.2e-3
    assert result.options["orientations"]["least_angle_deg"] == pytest.approx(28.0, abs=0.01)


def test_one_orientation_is_refused(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("reconstruct", str(folders[0]), "--method", "cosmos", "-o", str(tmp_path / "out")) == 2
    assert "orientations: got 1 for cosmos; expected at least 2" in capsys.readouterr().err.replace("\n", " ")


def test_maps_on_another_grid_need_a_magnitude(folders: list[Path], tmp_path: Path) -> None:
    first = read_run(folders[0])
    affine = first.grid.affine.copy()
    affine[0, 3] += 3.0
    grid = Grid(SHAPE, affine)
    for one in first.values():
        write_map(replace(one, grid=grid), first.scan, tmp_path / "moved")
    with pytest.raises(InputError, match="the first orientation: got no magnitude"):
        read_orientations([tmp_path / "moved"], first)


def test_turned_maps_are_registered_and_their_b0_turns_with_them(tmp_path: Path) -> None:
    """The same head 10 degrees turned, at 2 mm: what lies in the brain comes back, and B0 is where it was."""
    grid = Grid((90, 100, 80), np.diag((2.0, 2.0, 2.0, 1.0)))
    first = MapSet(grid, replace(oriented(own_fields(np.zeros(SHAPE), 0.5), directions()).scan,
                                 b0_direction_ijk=(0.0, 0.0, 1.0)))  # fmt: skip
    angle = np.deg2rad(10.0)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    first, turned = (first.including(*_head(grid, rotation)) for rotation in (np.eye(3), turn))
    for one in turned.values():
        write_map(one, turned.scan, tmp_path / "turned")
    (found,) = read_orientations([tmp_path / "turned"], first)
    assert found.scan.b0_direction_ijk == pytest.approx(tuple(turn.T[:, 2]), abs=0.005)
    inside = first.array("brain_mask")
    assert relative_error(found.array("local_field"), first.array("local_field"), inside) < 0.1
    assert "magnitude" not in found


def _head(grid: Grid, rotation: Array) -> list[Map]:
    """A head of Gaussians about its middle, turned."""
    indices = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in grid.shape), indexing="ij"), -1)
    place = indices * grid.voxel_size_mm @ rotation  # of what is seen, in the head's own axes
    inside = np.square(place / (75.0, 85.0, 65.0)).sum(-1) < 1
    rng = np.random.default_rng(3)
    magnitude, field = inside.astype(float), np.zeros(grid.shape)
    for centre, width, height in zip(rng.uniform(-50, 50, (40, 3)), rng.uniform(5, 14, 40), rng.uniform(-0.6, 0.6, 40),
                                     strict=True):  # fmt: skip
        blob = np.exp(-np.square((place - centre) / width).sum(-1) / 2)
        magnitude, field = magnitude * (1 + height * blob), field + height * blob
    data = {"magnitude": (100 * magnitude).astype(np.float32), "brain_mask": inside,
            "local_field": (field * inside * 0.01).astype(np.float32)}  # fmt: skip
    return [Map(name=name, data=value, grid=grid) for name, value in data.items()]
