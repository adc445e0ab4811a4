"""``chisep train`` from the command line, alone and under torchrun."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ChiSeparationLib.cli import main
from ChiSepReconstructLib.networks.weights.weight_set import read_set
from training_heads import write_heads

OPTIONS = {
    "base_width": 2, "epochs": 2, "batch_size": 2, "device": "cpu", "augmentation": {"angles_deg": [0]},
    "patches": {"size_voxels": 16, "sampling": "random", "per_epoch": 6}, "data": {"qsm_source": "truth"},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_heads(tmp_path / "data", 3, (20, 19, 18))
    (tmp_path / "options.json").write_text(json.dumps(OPTIONS))
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(one) for one in arguments])
    return int(caught.value.code or 0)


def test_train_resume_and_pack(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ("train", "qsmnet", "--data", folder / "data", "-o", folder / "run", "--options", folder / "options.json")
    assert run(*call) == 0
    assert "qsmnet, 2 epochs, best in epoch" in capsys.readouterr().out
    assert run(*call) == 2
    assert "--resume" in capsys.readouterr().err
    assert run(*call, "--resume", "--progress-json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["event"] == "result" and lines[-1]["epochs"] == 2
    assert run("train", "pack", "--name", "ours", "--qsmnet", folder / "run", "-o", folder / "sets") == 0
    assert "Licence: Apache-2.0" in capsys.readouterr().out
    assert list(read_set(folder / "sets" / "ours").networks) == ["qsmnet"]


def test_options_are_printed_and_read_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "options", "chisepnet") == 0
    published: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert published["optimiser"]["learning_rate"] == 3e-4 and published["patches"]["stride_voxels"] == 24
    (folder / "all.json").write_text(json.dumps({**published, "base_width": 12}))
    assert run("train", "options", "chisepnet", "--options", folder / "all.json") == 0
    assert json.loads(capsys.readouterr().out) == {**published, "base_width": 12}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"epoch": 3}, "epoch"), ({"loss": {"form": "mine"}}, "paper, official"), ({"epochs": 0}, "at least 1"),
     ({"patches": {"size_voxels": 50}}, "a multiple of 16"), ({"device": "tpu"}, "device")],
)  # fmt: skip
def test_wrong_options_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any], message: str
) -> None:
    (folder / "wrong.json").write_text(json.dumps({**OPTIONS, **options}))
    call = ("train", "qsmnet", "--data", folder / "data", "-o", folder / "run", "--options", folder / "wrong.json")
    assert run(*call) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "run").exists()


def test_two_processes_train_one_network(folder: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               "-m", "ChiSeparationLib", "train", "qsmnet", "--data", folder / "data", "-o", folder / "run",
               "--options", folder / "options.json"]  # fmt: skip
    (folder / "options.json").write_text(json.dumps({**OPTIONS, "batch_size": 4}))
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (folder / "run" / "log.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["steps"] for row in rows] == ["2", "4"]  # of two patches in each process
    assert len(list((folder / "run").glob("*.ckpt"))) == 1 and (folder / "run" / "best.safetensors").is_file()
