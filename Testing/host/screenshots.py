"""Pictures of every panel in the test host, with a simulated patient: the tutorial's.

python Testing/host/screenshots.py -o Resources/Screenshots [--results demo_output]

``demo_output`` is what ``chisep demo`` writes; without ``--results`` it is made first. No computation runs in the
panels: a stand-in for the command line hands the demonstration's results over, so that panels look as after a run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

TESTING = Path(__file__).resolve().parents[1]
CAPTION = "Test host, not 3D Slicer. The patient is simulated."
#: Width of a panel, height of the window that leaves it room, and the window with views beside a panel, in pixels.
PANEL_WIDTH, ROOM, WINDOW = 480, 1100, (1180, 840)
_CAPTION_HEIGHT, _CAPTION_SIZE, _PANEL_COLOURS, _WINDOW_COLOURS = 22, 12, 64, 112
#: Empty rows that stay below the last one that is not.
_MARGIN = 10
#: What the scrolled area of the window needs beside the panel.
_SCROLL_BAR = 36
_LIMIT_S, _ROUNDS = 300.0, 8


class Pictures:
    """Writes pictures with their caption.

    Parameters
    ----------
    folder : Path
        Where they go.
    host : Host
        The application.
    """

    def __init__(self, folder: Path, host: Any) -> None:
        self._folder, self._host = folder, host

    def panel(self, name: str, *widgets: Any) -> None:
        """Save a panel's widgets one below the other."""
        self._settle()
        self._write(name, [widget.grab() for widget in widgets], _PANEL_COLOURS)

    def arrange(self) -> None:
        """Put the views, which the host by itself puts into one row, two by two, and show all of the head."""
        self._host.window.window.resize(*WINDOW)
        manager = self._host.window.layout_manager
        shown = [one for one in manager.sliceViewNames() if not manager.sliceWidget(one).isHidden()]
        manager._arrange(shown, 2)
        self._host.process_events()
        for one in shown:
            manager.sliceWidget(one).sliceView().forceRender()  # it takes its new size over
        manager.resetSliceViews()
        self._host.process_events()

    def window(self, name: str) -> None:
        """Save the window with panel and views."""
        self._settle()
        self._write(name, [self._host.window.window.grab()], _WINDOW_COLOURS)

    def _settle(self) -> None:
        """Let layouts within layouts find their sizes, each of which takes a round."""
        for _round in range(_ROUNDS):
            self._host.process_events()

    def _write(self, name: str, grabs: Sequence[Any], colours: int) -> None:
        from PIL import Image

        parts = [_as_image(grab) for grab in grabs]
        size = (max(one.width for one in parts), sum(one.height for one in parts) + _CAPTION_HEIGHT)
        whole, top = Image.new("RGB", size, (255, 255, 200)), 0
        for one in parts:
            whole.paste(one, (0, top))
            top += one.height
        _write_caption(whole, top)
        path = self._folder / f"{name}.png"
        whole.quantize(colours, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
        sys.stdout.write(f"{path.name}: {size[0]} × {size[1]}, {path.stat().st_size // 1000} kB\n")


def _as_image(grab: Any) -> Any:
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grab.png"
        assert grab.save(str(path)), "the picture could not be written"
        return _trimmed(Image.open(path).convert("RGB"))


def _trimmed(picture: Any) -> Any:
    """Take off the empty rows below."""
    from PIL import Image, ImageChops

    empty = Image.new("RGB", picture.size, picture.getpixel((picture.width // 2, picture.height - 1)))
    box = ImageChops.difference(picture, empty).getbbox()
    return picture.crop((0, 0, picture.width, min(box[3] + _MARGIN, picture.height) if box else picture.height))


def _write_caption(picture: Any, top: int) -> None:
    import matplotlib
    from PIL import ImageDraw, ImageFont

    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", _CAPTION_SIZE)
    ImageDraw.Draw(picture).text((6, top + 4), CAPTION, fill=(0, 0, 0), font=font)


def use_known_font(host: Any) -> None:
    """Let texts have a font with all our letters, on machines without one too."""
    import matplotlib

    from host.raw_qt import QtGui

    QtGui.QFontDatabase.addApplicationFont(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf")
    host.app.setFont(QtGui.QFont("DejaVu Sans", 9))


def replay(results: Path) -> Callable[[Sequence[str]], list[str]]:
    """Make a stand-in for the command line: a computation ends at once, with results that are there already."""
    line = json.dumps({"event": "result", "output": str(results), "maps": []})

    def command(arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-c", f"print({line!r})"]

    return command


@contextmanager
def opened(host: Any, module: str, results: Path) -> Iterator[Any]:
    """Open a module's panel about as wide as in Slicer, and close it at the end."""
    from importlib import import_module

    logic = getattr(import_module(module), f"{module}Logic")(replay(results.absolute()))
    panel = host.open(module, logic)
    panel.parent.setFixedWidth(PANEL_WIDTH)
    host.window.panel.parentWidget().parentWidget().parentWidget().setMinimumWidth(PANEL_WIDTH + _SCROLL_BAR)
    host.window.window.resize(WINDOW[0], ROOM)
    try:
        yield panel
    finally:
        host.close(panel)


def run(host: Any, panel: Any) -> None:
    """Press Run and wait until the results are loaded."""
    host.wait_until(lambda: panel.ui.runButton.enabled, _LIMIT_S)
    panel.ui.runButton.click()
    host.wait_until(lambda: not panel.isBusy, _LIMIT_S)


def unfold(panel: Any, *names: str) -> None:
    """Unfold these parts of a panel, and fold all others."""
    for name, widget in vars(panel.ui).items():
        if widget.inherits("ctkCollapsibleButton"):
            widget.collapsed = name not in names


def home(host: Any, pictures: Pictures, results: Path) -> None:
    """Take the guided page: the study that was found, and the maps on the screen."""
    with opened(host, "ChiSeparation", results) as panel:
        panel.ui.grePathLineEdit.currentPath = str(results / "patient" / "dicom")
        host.wait_until(lambda: panel.ui.studyTable.rowCount > 0, _LIMIT_S)
        pictures.panel("home_load", panel.parent)
        host.show_views()
        run(host, panel)
        pictures.arrange()
        pictures.window("home_view")


def preprocess(host: Any, pictures: Pictures, results: Path) -> None:
    """Take the panel of the maps: input, options, quality."""
    with opened(host, "ChiSepPreprocess", results) as panel:
        ui = panel.ui
        ui.grePathLineEdit.currentPath = str(results / "patient" / "dicom")
        host.wait_until(lambda: ui.studyTable.rowCount > 0, _LIMIT_S)
        pictures.panel("preprocess_input", ui.inputsCollapsibleButton, ui.makeMaskCollapsibleButton)
        steps = ("noise", "mask", "field", "background", "r2star", "r2", "r2prime")
        unfold(panel, "optionsCollapsibleButton", *(f"{step}CollapsibleButton" for step in steps))
        pictures.panel("preprocess_options", ui.optionsCollapsibleButton)
        run(host, panel)
        unfold(panel, "outputsCollapsibleButton", "qualityButton")
        pictures.panel("preprocess_quality", panel.parent)


def reconstruct(host: Any, pictures: Pictures, results: Path) -> None:
    """Take the panel of the χ maps: methods, networks, options, results."""
    with opened(host, "ChiSepReconstruct", results) as panel:
        ui = panel.ui
        ui.mapsFolderPathLineEdit.currentPath = str(results)
        unfold(panel, "inputsCollapsibleButton", "methodsCollapsibleButton")
        pictures.panel("reconstruct_methods", ui.inputsCollapsibleButton, ui.methodsCollapsibleButton)
        unfold(panel, "networksCollapsibleButton", "optionsCollapsibleButton")
        pictures.panel("reconstruct_options", ui.networksCollapsibleButton, ui.optionsCollapsibleButton)
        run(host, panel)
        unfold(panel, "resultsCollapsibleButton")
        host.show_views()
        ui.compareButton.click()
        pictures.arrange()
        pictures.window("reconstruct_results")


def lesions(host: Any, pictures: Pictures, results: Path) -> None:
    """Take the tab "Lesions" with some lesions graded."""
    from ChiSeparationLib.scene.lesion_segments import add_lesion_segments
    from ChiSepPreprocessLib.files import read_map
    from ChiSepPreprocessLib.gui.logic import load_results

    with opened(host, "ChiSeparation", results) as panel:
        load_results(results)
        panel.ui.pageTabs.setCurrentIndex(1)
        ui = panel.review.ui
        host.wait_until(lambda: ui.segmentButton.enabled, _LIMIT_S)
        pictures.panel("lesions_find", ui.sourceButton)
        add_lesion_segments(host.scene, read_map(results / "lesions", "lesions")[0])
        ui.sourceButton.collapsed = True
        ui.readerLineEdit.text = "AB"
        host.wait_until(lambda: ui.lesionTable.rowCount > 0, _LIMIT_S)
        host.show_views()
        ui.gridButton.click()
        pictures.arrange()
        for button in (ui.para1Button, ui.dia5Button, ui.nextButton, ui.para2Button, ui.dia4Button):
            ui.lesionTable.setCurrentCell(max(ui.lesionTable.currentRow(), 0), 0)
            button.click()
        pictures.window("lesions_view")
        ui.suggestionCheckBox.click()
        host.wait_until(lambda: ":" in ui.suggestionLabel.text, _LIMIT_S)
        ui.exportButton.collapsed = False
        pictures.panel("lesions_panel", panel.parent)


SCENES = (home, preprocess, reconstruct, lesions)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description="Pictures of every panel in the test host, with a simulated patient.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--results", type=Path, help="what 'chisep demo' wrote; made first without this")
    parser.add_argument("--only", choices=[one.__name__ for one in SCENES], help="one panel's pictures alone")
    given = parser.parse_args()
    sys.path.insert(0, str(TESTING))
    output = given.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        results = given.results.absolute() if given.results else demonstrate(Path(folder))
        os.environ["CHISEP_DATA"] = folder  # the user's own sets and grades are none of the pictures' business
        with chdir(results.parent):  # so that no path of this machine is in a picture
            for scene in SCENES:
                if given.only in (None, scene.__name__):
                    take(scene, output, Path(results.name))


def take(scene: Callable[[Any, Pictures, Path], None], output: Path, results: Path) -> None:
    """Take one panel's pictures in an application of its own; what went wrong in it ends all."""
    from host.running import running_host

    with running_host() as host:
        use_known_font(host)
        scene(host, Pictures(output, host), results)
        assert not host.problems, host.problems


def demonstrate(folder: Path) -> Path:
    """Run the demonstration."""
    results = folder / "demo_output"
    subprocess.run([sys.executable, "-m", "ChiSeparationLib", "demo", "-o", str(results)], check=True)
    return results


if __name__ == "__main__":
    main()
