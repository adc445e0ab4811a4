"""The MRML scene to work in: Slicer's own, or a complete one of ``slicer-core`` without a screen."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependencyError

if TYPE_CHECKING:
    import slicer

#: Logics by module name. Each registers the node classes that scenes of that module hold; colour comes before all.
_LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Texts": "vtkSlicerTextsLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "Sequences": "vtkSlicerSequencesLogic",
}


@dataclass(frozen=True, eq=False)
class Session:
    """A scene with the logics that serve it; they live as long as this object.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    application_logic : vtkSlicerApplicationLogic
        Knows every module's logic.
    logics : dict
        Module name to logic, ``"Colors"`` and so on.
    """

    scene: slicer.vtkMRMLScene
    application_logic: slicer.vtkSlicerApplicationLogic
    logics: dict[str, Any]


_sessions: list[Session] = []
_shared: list[Session] = []
_folders: list[Path] = []


def load_slicer() -> Any:
    """Import ``slicer``, Slicer's own module or slicer-core's.

    Raises
    ------
    MissingDependencyError
        If neither is there.
    """
    try:
        import slicer
    except ImportError as error:
        raise MissingDependencyError(
            f"Scenes need Slicer or slicer-core ({error}). Install it with: pip install 'slicer-core>=5.12.4'."
        ) from error
    return slicer


def in_slicer() -> bool:
    """Whether this runs inside the Slicer application."""
    return hasattr(load_slicer(), "app")


def current_scene() -> slicer.vtkMRMLScene:
    """Slicer's scene inside Slicer, else the one headless scene of this process.

    Raises
    ------
    MissingDependencyError
        If neither Slicer nor slicer-core is there.
    """
    scene = getattr(load_slicer(), "mrmlScene", None)
    return scene if scene is not None else headless_scene()


def headless_scene() -> slicer.vtkMRMLScene:
    """The scene of slicer-core, made at the first call and the same at later ones.

    Raises
    ------
    MissingDependencyError
        If slicer-core is not there.
    """
    if not _shared:
        _shared.append(open_session())
    return _shared[0].scene


def open_session() -> Session:
    """Make a fresh scene with its logics, in the order in which they depend on each other.

    The session stays known to :func:`logic` until :func:`close_session`.

    Raises
    ------
    MissingDependencyError
        If slicer-core is not there.
    """
    slicer = load_slicer()
    scene = slicer.vtkMRMLScene()
    _say_version(scene)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    application = _application_logic(slicer)
    application.SetMRMLScene(scene)
    logics = {name: getattr(slicer, class_name)() for name, class_name in _LOGICS.items()}
    for name, one in logics.items():
        # The color logic looks for its files through the application logic as soon as it gets the scene.
        one.SetMRMLApplicationLogic(application)
        one.SetMRMLScene(scene)
        application.SetModuleLogic(name, one)
    application.SetColorLogic(logics["Colors"])
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    _let_scene_read(slicer, scene)
    session = Session(scene, application, logics)
    _sessions.append(session)
    return session


def close_session(scene: slicer.vtkMRMLScene) -> None:
    """Empty a scene of :func:`open_session` and let its logics go; other scenes are left alone."""
    for session in [one for one in _sessions if one.scene is scene]:
        _sessions.remove(session)
        _shared[:] = [one for one in _shared if one is not session]
        scene.Clear(1)


def application_logic(scene: slicer.vtkMRMLScene) -> Any:
    """Application logic of a scene, Slicer's own for Slicer's scene."""
    slicer = load_slicer()
    for session in _sessions:
        if session.scene is scene:
            return session.application_logic
    if in_slicer():
        return slicer.app.applicationLogic()
    raise MissingDependencyError("This scene has no logics; make it with open_session() or headless_scene().")


def logic(scene: slicer.vtkMRMLScene, module: str) -> Any:
    """Logic of a module, such as ``"Segmentations"``, for a scene."""
    return application_logic(scene).GetModuleLogic(module)


def _say_version(scene: Any) -> None:
    """Have scene files name the true version; slicer-core calls itself 4.0.0, for which Slicer would convert nodes."""
    try:
        numbers = version("slicer-core").split(".")
    except PackageNotFoundError:
        return
    scene.SetVersion(f"slicer-core {'.'.join(numbers[:3])} 0")


def _application_logic(slicer: Any) -> Any:
    from vtkmodules.vtkCommonCore import vtkCollection

    home = _home_folder()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetHomeDirectory(str(home))
    application.SetShareDirectory("share")
    application.SetTemporaryPath(str(home))
    application.SetSliceLogics(vtkCollection())
    application.SetViewLogics(vtkCollection())
    return application


def _let_scene_read(slicer: Any, scene: Any) -> None:
    """Give the scene a cache, without which it reads no ``.mrb``; what would fetch web addresses is left out."""
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(str(_home_folder() / "cache"))
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


def _home_folder() -> Path:
    """Stand-in for Slicer's folder, where the color logic looks for a folder of colour files; gone at exit."""
    if not _folders:
        home = Path(tempfile.mkdtemp(prefix="chisep-scene-"))
        (home / "cache").mkdir()
        (home / "share" / "ColorFiles").mkdir(parents=True)
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        _folders.append(home)
    return _folders[0]
