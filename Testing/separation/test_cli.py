"""The command line: exit codes, one line for an error, JSON where it was asked for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ChiSeparationLib import cli
from ChiSepReconstructLib.methods import METHODS


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command; return exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as left:
        cli.main([str(one) for one in arguments])
    captured = capsys.readouterr()
    return int(left.value.code or 0), captured.out, captured.err


def test_methods_as_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "methods", "--json")
    assert code == 0
    assert [one["name"] for one in json.loads(out)["methods"]] == list(METHODS)


def test_info_lists_the_series_as_json(capsys: pytest.CaptureFixture[str], patient_folder: Path) -> None:
    code, out, _ = call(capsys, "info", patient_folder / "dicom", "--json")
    assert code == 0
    assert "0.0077" in out
    assert "SIMULATED" not in out.upper()


def test_info_for_people_is_a_table_and_an_answer(capsys: pytest.CaptureFixture[str], patient_folder: Path) -> None:
    code, out, _ = call(capsys, "info", patient_folder / "dicom")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert [row[1:4] for row in rows if row and row[0] == "1"] == [["gre", "magnitude", "6"], ["gre", "phase", "6"]]
    assert "Susceptibility maps can be reconstructed." in out
    assert "{" not in out
    code, out, _ = call(capsys, "info", next(iter((patient_folder / "dicom").glob("*mag"))))
    assert code == 0
    assert "cannot be reconstructed:\n  – gradient echo scan: got magnitude without phase" in out


def test_methods_for_people_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "methods")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.startswith((" tkd", " closed-form"))] == [
        "tkd",
        "closed-form",
    ]
    assert "Shin et al." in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--gre", "{empty}", "-o", "{out}"), "chisep:"),
        (("run", "--gre", "{empty}/absent", "-o", "{out}"), "absent"),
        (("run", "-o", "{out}"), "--gre"),
        (("run", "--gre", "{data}", "-o", "{out}", "--method", "magic"), "one of tkd, "),
        (("run", "--gre", "{data}", "-o", "{out}", "--echo-times", "four"), "seconds separated by commas"),
        (("run", "--gre", "{data}", "-o", "{out}", "--map", "r2star"), "NAME=FILE"),
        (("run", "--gre", "{data}", "-o", "{out}", "--map", "chi=x.nii.gz"), "one of brain_mask, field_mask"),
        (("run", "--gre", "{data}", "-o", "{out}", "--map", "chi_para={truth}/chi_para.nii.gz"), "Only these"),
        (("run", "--gre", "{data}", "-o", "{out}", "--map", "r2=a.nii", "--map", "r2=b.nii"), "'r2' twice"),
        (("run", "--gre", "{data}", "-o", "{out}", "--map", "r2="), "NAME=FILE"),
        (("run", "--gre", "{data}", "-o", "{out}", "--method", " ,"), "one or several of tkd, "),
        (
            ("run", "--gre", "{data}", "-o", "{out}", "--lesions", "{empty}/no.nii.gz"),
            "'no.nii.gz', which does not exist",
        ),
        (("run", "--gre", "{data}", "-o", "{out}", "--lesions", "{truth}/r2.nii.gz"), "Give a lesion mask"),
        (("run", "--gre", "{data}", "-o", "{out}", "--r2prime-source", "net"), "one of maps, r2primenet"),
        (("run", "--gre", "{data}", "-o", "{out}", "--method", "tv", "--r2prime-source", "r2primenet"), "with tv"),
        (("reconstruct", "{truth}", "-o", "{out}", "--r2prime-source", "r2primenet"), "chisep weights import"),
        (("reconstruct", "{empty}", "-o", "{out}"), "without a complete map"),
        (("reconstruct", "{empty}/absent", "-o", "{out}"), "an existing folder"),
        (("evaluate", "--estimate", "{empty}", "--truth", "{empty}"), "without a complete map"),
        (("phantom", "-o", "{out}", "--voxel-size-mm", "1,1"), "three numbers"),
        (("nonsense",), "nonsense"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, patient_folder: Path, data_folder: Path,
    arguments: tuple[str, ...], words: str,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    places = {
        "empty": tmp_path / "empty",
        "out": tmp_path / "out",
        "data": patient_folder / "dicom",
        "truth": patient_folder / "truth",
    }
    code, out, err = call(capsys, *(one.format(**places) for one in arguments))
    assert code == 2
    assert err.count("\n") == 1
    assert words in err
    assert out == ""
    assert not (tmp_path / "out").exists()


def test_progress_lines_are_json_and_end_with_the_result(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, patient_folder: Path
) -> None:
    code, out, _ = call(
        capsys, "run", "--gre", patient_folder / "dicom", "-o", tmp_path / "out", "--maps-only", "--progress-json"
    )
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    fractions = [line["fraction"] for line in lines if line["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert lines[-1]["event"] == "result"
    assert {"chi_para", "chi_dia"} <= set(lines[-1]["maps"])
    # The patient has a spin echo, and weights are shipped.
    note = json.loads((tmp_path / "out" / "chi-sepnet-r2prime" / "chi_para.json").read_text())
    assert note["options"]["network_weights"]["training_domain"] == "simulated"
    assert not list((tmp_path / "out").glob("*.mrb"))


def test_error_as_json_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = call(capsys, "run", "--gre", tmp_path, "-o", tmp_path / "out", "--progress-json")
    last = json.loads(out.splitlines()[-1])
    assert (code, last["event"], last["exit_code"]) == (2, "error", 2)


def test_fault_of_ours_has_exit_code_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("ChiSepReconstructLib.methods.describe", fail)
    code, _, err = call(capsys, "methods")
    assert code == 1
    assert "please report it: ZeroDivisionError" in err


def test_evaluate_compares_a_run_with_its_truth(capsys: pytest.CaptureFixture[str], patient_folder: Path) -> None:
    truth = patient_folder / "truth"
    code, out, _ = call(capsys, "evaluate", "--estimate", truth, "--truth", truth, "--json")
    found = json.loads(out)["maps"]
    assert code == 0
    assert found["chi_para"]["nrmse_percent"] == 0.0
    code, out, _ = call(capsys, "evaluate", "--estimate", truth, "--truth", truth)
    assert code == 0
    assert "nrmse percent" in out


def test_missing_library_is_one_clear_line(tmp_path: Path) -> None:
    """A Slicer without our requirements: the child says which library it needs."""
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')\n")
    done = subprocess.run(
        [sys.executable, "-m", "ChiSeparationLib", "methods", "--progress-json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "library 'typer' is not installed" in json.loads(done.stdout)["message"]
    assert done.stderr.count("\n") == 1


def test_terminated_run_leaves_no_part_of_a_file(tmp_path: Path, patient_folder: Path) -> None:
    command = [sys.executable, "-m", "ChiSeparationLib", "run", "--gre", str(patient_folder / "dicom"),
               "-o", str(tmp_path / "out"), "--progress-json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("step") == "r2":
                process.terminate()
                break
        assert process.wait(20) == 130
    assert (tmp_path / "out" / "maps" / "brain_mask.json").is_file()
    assert not list((tmp_path / "out").rglob(".part-*"))


def test_options_file_reaches_the_steps_and_is_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, patient_folder: Path
) -> None:
    options = tmp_path / "options.json"
    options.write_text('{"closed-form": {"qsm": {"method": "tkd", "tkd": {"threshold": 0.125}}}}')
    truth, method = patient_folder / "truth", ("--method", "closed-form")
    code, _, _ = call(capsys, "reconstruct", truth, "-o", tmp_path / "out", "--options", options, *method)
    assert code == 0
    note = json.loads((tmp_path / "out" / "closed-form" / "chi_para.json").read_text())
    assert note["options"]["qsm"]["tkd"]["threshold"] == 0.125
    options.write_text('{"preprocess": {"background": {"radius": 3}}}')
    code, _, err = call(capsys, "reconstruct", patient_folder / "truth", "-o", tmp_path / "new", "--options", options)
    assert code == 2
    assert "options of preprocess, background: got radius" in err
    assert not (tmp_path / "new").exists()


def test_demo_keeps_a_folder_that_is_not_its_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kept = tmp_path / "patient" / "IM0001.dcm"
    kept.parent.mkdir()
    kept.write_text("a real one")
    code, _, err = call(capsys, "demo", "-o", tmp_path)
    assert code == 2
    assert "which no demonstration made" in err
    assert kept.read_text() == "a real one"


def test_devices_for_people_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "methods", "--device")
    assert code == 0
    assert re.search(
        r"^Networks on .*CPU, .*, about \d+ (s|min) for each network of a brain at 1 mm$", out, re.MULTILINE
    )
    code, out, _ = call(capsys, "methods", "--device", "--json")
    (*_, processor) = json.loads(out)["devices"]
    assert (processor["name"], processor["problem"]) == ("cpu", None)
    assert processor["seconds"] > 0
    code, out, _ = call(capsys, "methods", "--json")
    assert "devices" not in json.loads(out)  # they are not tested without being asked for
