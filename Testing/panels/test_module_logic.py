"""The modules' logics on slicer-core: what they ask of the command line, and what comes back as nodes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer.util

from ChiSeparationLib.gui.logic import ChiSeparationLogic
from ChiSepPreprocessLib.errors import CancelledError, InputError, MissingDependencyError
from ChiSepPreprocessLib.files import write_map
from ChiSepPreprocessLib.gui.computation import path_options, value_options
from ChiSepPreprocessLib.gui.logic import ChiSepPreprocessLogic
from ChiSepPreprocessLib.gui.worker import ComputationError, Result
from ChiSepPreprocessLib.progress import Status
from ChiSepReconstructLib.gui.logic import REFINABLE, ChiSepReconstructLogic
from host.processes import wait_until_ended

Fake = Callable[[str], Callable[[Sequence[str]], list[str]]]


@pytest.fixture
def slicer_scene(scene: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    return scene


class Asked:
    """Keeps the command line's arguments and options file and hands the work to the fake child."""

    def __init__(self, command: Callable[[Sequence[str]], list[str]]) -> None:
        self.arguments: list[str] = []
        self.options_file: Path | None = None
        self.options: dict[str, Any] = {}
        self._command = command

    def __call__(self, arguments: Sequence[str]) -> list[str]:
        self.arguments = list(arguments)
        if "--options" in arguments:
            self.options_file = Path(arguments[arguments.index("--options") + 1])
            self.options = json.loads(self.options_file.read_text(encoding="utf-8"))
        return self._command(arguments)


def test_run_returns_volume_nodes(slicer_scene: Any, fake: Fake, tmp_path: Path) -> None:
    asked = Asked(fake("succeed"))
    seen: list[Status] = []
    nodes = ChiSeparationLogic(asked).run(
        gre=tmp_path / "gre", se=[tmp_path / "a", tmp_path / "b"], output=tmp_path / "out", progress=seen.append
    )
    assert list(nodes) == ["r2star", "chi_para"]
    assert nodes["chi_para"].GetScene() is slicer_scene
    assert slicer.util.arrayFromVolume(nodes["chi_para"]).shape == (5, 4, 3)
    assert float(slicer.util.arrayFromVolume(nodes["chi_para"]).max()) == 0.25
    assert [status.fraction for status in seen] == [0.25, 1.0]
    assert asked.arguments == [
        "run", "--gre", f"{tmp_path}/gre", "--se", f"{tmp_path}/a", "--se", f"{tmp_path}/b",
        "--method", "auto", "--r2prime-source", "maps", "--maps-only", "-o", f"{tmp_path}/out",
    ]  # fmt: skip


def test_preprocess_and_reconstruct_ask_for_their_step(slicer_scene: Any, fake: Fake, tmp_path: Path) -> None:
    asked = Asked(fake("succeed"))
    ChiSepPreprocessLogic(asked).run(
        tmp_path / "gre", gre_phase=tmp_path / "phase", mask=tmp_path / "mask.nii.gz", echo_times_s=(0.004, 0.01),
        field_strength_t=3.0, phase_unit="siemens", overwrite=True, output=tmp_path / "maps",
    )  # fmt: skip
    assert asked.arguments == [
        "preprocess", "--gre", f"{tmp_path}/gre", "--gre-phase", f"{tmp_path}/phase",
        "--mask", f"{tmp_path}/mask.nii.gz", "--echo-times", "0.004,0.01", "--field-strength", "3.0",
        "--phase-unit", "siemens", "--overwrite", "-o", f"{tmp_path}/maps",
    ]  # fmt: skip
    ChiSepReconstructLogic(asked).run(tmp_path / "maps", method="tkd", output=tmp_path / "chi")
    assert asked.arguments == [
        "reconstruct", f"{tmp_path}/maps", "--method", "tkd", "--r2prime-source", "maps", "-o", f"{tmp_path}/chi",
    ]  # fmt: skip


@pytest.mark.parametrize("logic_class", [ChiSeparationLogic, ChiSepReconstructLogic])
def test_source_of_r2prime_is_handed_over(slicer_scene: Any, fake: Fake, tmp_path: Path, logic_class: Any) -> None:
    asked = Asked(fake("succeed"))
    logic_class(asked).run(tmp_path, r2prime_source="r2primenet", output=tmp_path / "chi")
    at = asked.arguments.index("--method")
    assert asked.arguments[at : at + 4] == ["--method", "auto", "--r2prime-source", "r2primenet"]


@pytest.mark.parametrize("logic_class", [ChiSeparationLogic, ChiSepReconstructLogic])
@pytest.mark.parametrize(
    ("method", "refined"),
    [(name, (name,)) for name in REFINABLE] + [(f"closed-form, {REFINABLE[1]},{REFINABLE[0]}", REFINABLE[::-1])],
)
def test_refinement_is_handed_over_in_an_options_file(
    slicer_scene: Any, fake: Fake, tmp_path: Path, logic_class: Any, method: str, refined: tuple[str, ...]
) -> None:
    asked = Asked(fake("succeed"))
    logic_class(asked).run(tmp_path, method=method, refine=True, output=tmp_path / "chi")
    assert asked.options == {name: {"refine": True} for name in refined}
    assert asked.arguments[-2:] == ["-o", f"{tmp_path}/chi"]
    assert asked.options_file is not None
    assert not asked.options_file.parent.exists()


def test_networks_that_separate_can_refine() -> None:
    assert REFINABLE == ("chi-sepnet-r2prime", "chi-sepnet-r2star")


@pytest.mark.parametrize("logic_class", [ChiSeparationLogic, ChiSepReconstructLogic])
def test_refinement_of_a_method_without_networks_is_refused(fake: Fake, tmp_path: Path, logic_class: Any) -> None:
    asked = Asked(fake("succeed"))
    with pytest.raises(InputError, match="refine: got it with closed-form,qsmnet; expected a method of chi-sepnet-r2p"):
        logic_class(asked).run(tmp_path, method="closed-form,qsmnet", refine=True)
    assert asked.arguments == []


def test_real_command_line_refines_with_r2prime_of_the_network(
    slicer_scene: Any, data_folder: Path, tmp_path: Path
) -> None:
    """Both choices through the real child, with random weights."""
    import installed_weights  # it loads torch, and slicer-core imports this file when Testing is on the path

    installed_weights.install()
    rng, shape = np.random.default_rng(5), (20, 18, 16)
    rate = rng.uniform(2.0, 9.0, shape).astype(np.float32)
    maps = installed_weights.map_set(
        installed_weights.axial_grid(shape), local_field=rng.normal(0.0, 0.01, shape), r2prime=rate, r2star=rate + 14,
        magnitude=np.ones(shape, np.float32), brain_mask=np.pad(np.ones((14, 12, 10), bool), 3),
    )  # fmt: skip
    for one in maps.values():
        write_map(one, maps.scan, tmp_path / "maps")
    ChiSepReconstructLogic().run(
        tmp_path / "maps", method="chi-sepnet-r2prime", r2prime_source="r2primenet", refine=True,
        output=tmp_path / "chi",
    )  # fmt: skip
    sidecar = json.loads((tmp_path / "chi" / "chi-sepnet-r2prime" / "chi_para.json").read_text(encoding="utf-8"))
    assert sidecar["options"]["r2prime_source"]["method"] == "r2primenet"
    assert sidecar["options"]["refined"]["para_hz_per_ppm"] > 0


def test_nodes_lie_in_folders(slicer_scene: Any, fake: Fake, tmp_path: Path) -> None:
    nodes = ChiSeparationLogic(fake("succeed")).run(tmp_path, output=tmp_path / "out")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer_scene)
    names = {
        name: hierarchy.GetItemName(hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)))
        for name, node in nodes.items()
    }
    assert names == {"r2star": "χ-separation", "chi_para": "χ-separation: closed-form"}


def test_without_output_nothing_stays_on_disk(slicer_scene: Any, fake: Fake, tmp_path: Path) -> None:
    asked = Asked(fake("succeed"))
    ChiSeparationLogic(asked).run(tmp_path)
    temporary = Path(asked.arguments[-1]).parent
    assert temporary.name.startswith("chisep-")
    assert not temporary.exists()


@pytest.mark.parametrize("output", ["", "chi"])
def test_child_that_cannot_start_leaves_nothing_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    asked = Asked(lambda arguments: ["/no/such/python"])
    with pytest.raises(MissingDependencyError):
        ChiSepReconstructLogic(asked).run(
            tmp_path, method=REFINABLE[0], refine=True, output=output and tmp_path / output
        )
    assert asked.options
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(("mode", "error"), [("bad_input", ComputationError), ("crash", ComputationError)])
def test_failure_is_one_sentence_and_leaves_no_node(
    slicer_scene: Any, fake: Fake, tmp_path: Path, mode: str, error: type[Exception]
) -> None:
    before = slicer_scene.GetNumberOfNodes()
    asked = Asked(fake(mode))
    with pytest.raises(error) as caught:
        ChiSeparationLogic(asked).run(tmp_path)
    assert "\n" not in str(caught.value)
    assert slicer_scene.GetNumberOfNodes() == before
    assert not Path(asked.arguments[-1]).parent.exists()


def test_progress_can_cancel(slicer_scene: Any, fake: Fake, tmp_path: Path) -> None:
    grandchildren: list[int] = []

    def stop(status: Status) -> bool:
        grandchildren.append(int(status.detail))
        return False

    with pytest.raises(CancelledError):
        ChiSeparationLogic(fake("hang")).run(tmp_path, progress=stop)
    (pid,) = grandchildren
    wait_until_ended(pid)


def test_interrupt_ends_the_child(fake: Fake, tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupt(status: Status) -> None:
        pids.append(int(status.detail))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ChiSepPreprocessLogic(fake("hang")).run(tmp_path, progress=interrupt)
    wait_until_ended(pids[0])


def test_no_input_is_refused_before_a_child_starts(fake: Fake) -> None:
    empty: tuple[Any, ...] = ("", None, [])
    for given in empty:
        with pytest.raises(InputError, match="multi-echo GRE"):
            ChiSeparationLogic(fake("crash")).run(given)
    with pytest.raises(InputError, match="folder of maps"):
        ChiSepReconstructLogic(fake("crash")).run("")


def test_result_without_maps_is_an_error(tmp_path: Path) -> None:
    from ChiSepPreprocessLib.gui.computation import load_maps

    with pytest.raises(InputError, match="no map"):
        load_maps(Result(tmp_path, ()), "Maps")


def test_parameter_node_is_one_for_each_scene(slicer_scene: Any) -> None:
    logic = ChiSeparationLogic()
    node = logic.getParameterNode()
    assert node is logic.getParameterNode()
    assert node.GetAttribute("ModuleName") == node.GetSingletonTag() == "ChiSeparation"
    assert node is not ChiSepPreprocessLogic().getParameterNode()


def test_options_leave_out_what_is_not_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_options(gre="-odd name", se=None, flair="", mask=[]) == ["--gre", str(tmp_path / "-odd name")]
    assert value_options(echo_times=(0.1, 0.2), field_strength=None, phase_unit="") == ["--echo-times", "0.1,0.2"]


def test_command_line_knows_every_option_that_the_logics_use(fake: Fake, tmp_path: Path) -> None:
    typer_main = pytest.importorskip("typer.main", reason="typer is not installed")
    from ChiSeparationLib.arguments import read_options
    from ChiSeparationLib.cli import app

    commands = typer_main.get_command(app).commands
    everything: dict[str, Any] = {
        "gre": "g", "gre_phase": "p", "se": "s", "mask": "m", "echo_times_s": (0.1, 0.2), "field_strength_t": 3.0,
        "phase_unit": "rad", "overwrite": True,
    }  # fmt: skip
    choices = {"method": ",".join(REFINABLE), "r2prime_source": "r2primenet", "refine": True}
    asked = Asked(fake("silent"))
    for logic, given in (
        (ChiSepPreprocessLogic(asked), everything),
        (ChiSeparationLogic(asked), everything | {"flair": "f"} | choices),
        (ChiSepReconstructLogic(asked), {"maps_folder": "m"} | choices),
    ):
        with pytest.raises(ComputationError):
            logic.run(**given)  # type: ignore[arg-type]
        known = {option for one in commands[asked.arguments[0]].params for option in one.opts}
        used = {one for one in asked.arguments if one.startswith("-")} | {"--progress-json"}
        assert used <= known, used - known
    (tmp_path / "options.json").write_text(json.dumps(asked.options), encoding="utf-8")
    assert read_options(tmp_path / "options.json")[1] == {name: {"refine": True} for name in REFINABLE}


def test_real_command_line_reports_bad_input_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ComputationError, match="does not exist") as caught:
        ChiSeparationLogic().run(tmp_path / "missing")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
