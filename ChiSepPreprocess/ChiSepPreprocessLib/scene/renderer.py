"""Off-screen render windows, and whether this machine can make one.

Without a working OpenGL library VTK ends the whole process, so a child process tries first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from ..errors import MissingDependencyError
from .session import in_slicer

#: Environment variable by which VTK picks its window class.
WINDOW_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"

#: Longest time that the trial may take, s; loading OpenGL from a slow disk takes a few.
TRIAL_LIMIT_S = 60.0

#: Window classes for Linux without a display, best first: EGL also reaches a GPU.
_WINDOWS_WITHOUT_DISPLAY = ("vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow")

_TRIAL = """
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow, vtkWindowToImageFilter
window, renderer, reader = vtkRenderWindow(), vtkRenderer(), vtkWindowToImageFilter()
window.SetOffScreenRendering(1)
window.SetSize(8, 8)
renderer.SetBackground(1.0, 0.0, 0.0)
window.AddRenderer(renderer)
window.Render()
reader.SetInput(window)
reader.Update()
image = reader.GetOutput()
red = [image.GetScalarComponentAsDouble(4, 4, 0, part) for part in range(3)]
raise SystemExit(0 if red == [255.0, 0.0, 0.0] else 1)
"""


def check_renderer() -> None:
    """Check that pictures can be drawn here, in a child process at the first call.

    Raises
    ------
    MissingDependencyError
        If no off-screen OpenGL is there.
    """
    if not in_slicer() and _window_class() is None:
        raise MissingDependencyError(
            "Pictures need off-screen OpenGL, which is not installed. On Debian and Ubuntu install it with: "
            "apt-get install libegl1 libegl-mesa0 (or libosmesa6)."
        )


def offscreen_window(size_px: tuple[int, int]) -> Any:
    """Make an empty off-screen render window, width × height.

    Raises
    ------
    MissingDependencyError
        If no off-screen OpenGL is there.
    """
    check_renderer()
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  registers the window classes
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    with _variable("" if in_slicer() else _window_class() or ""):
        window = vtkRenderWindow()
    window.ShowWindowOff()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(*size_px)
    return window


def _candidates() -> tuple[str, ...]:
    """Window classes to try; the empty one is VTK's own choice."""
    chosen = os.environ.get(WINDOW_VARIABLE)
    if chosen:
        return (chosen,)
    if not sys.platform.startswith("linux"):
        return ("",)
    return (*_WINDOWS_WITHOUT_DISPLAY, *([""] if os.environ.get("DISPLAY") else []))


@cache
def _window_class() -> str | None:
    """First window class that draws 8 × 8 red pixels in a child process; None if none does."""
    return next((name for name in _candidates() if _draws(name)), None)


def _draws(window_class: str) -> bool:
    environment = {**os.environ, **({WINDOW_VARIABLE: window_class} if window_class else {})}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRIAL], env=environment, capture_output=True, timeout=TRIAL_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextmanager
def _variable(window_class: str) -> Iterator[None]:
    """Set VTK's window class for the block, for VTK reads it when it makes a window."""
    before = os.environ.get(WINDOW_VARIABLE)
    if window_class:
        os.environ[WINDOW_VARIABLE] = window_class
    try:
        yield
    finally:
        if window_class and before is None:
            del os.environ[WINDOW_VARIABLE]
