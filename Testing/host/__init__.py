"""Test host: opens the scripted modules, unmodified, in a real Qt over a real MRML scene. It is not 3D Slicer.

PySide6 behaves like PythonQt here (properties are attributes, signals are connected by signature, lists come back as
tuples), ``slicer.util`` is slicer-core's own, the scene and the views are real MRML and VTK. What is emulated are the
``ctk`` and ``qMRML`` widgets, ``parameterNodeWrapper`` and the application around them. Never call a module that passes
here "tested in Slicer".

Fixtures (of ``Testing/panels``)
--------------------------------
``scene``
    Fresh scene with its logics. Enough for tests without a panel.
``host``
    The application around that scene, a :class:`host.running.Host`. When the test ends it fails it if anything went
    wrong that Slicer would only print: exception in a slot, unknown name, VTK or Qt error, modal dialog.
``open_panel``
    ``open_panel(module, command=None, **logic)`` opens a module's panel (set up, entered, shown) with a logic that
    starts ``command`` instead of the command line, and gives the module's widget; it is closed when the test ends.
    ``open_panel(module, logic=mine)`` hands over a ready logic.
``fake``
    ``fake("succeed")`` is a command that runs ``fake_chisep.py`` in that mode.

What a ``Host`` offers
----------------------
``host.wait_until(condition, limit_s=20.0)``
    Lets the event loop run, real timers included, until ``condition()`` is true; fails after ``limit_s``.
``host.process_events()``
    Lets the event loop run once.
``host.errors``
    List of (text, details) that ``slicer.util.errorDisplay`` was asked to show; the test looks at it itself.
``host.messages``
    The same for every kind: list of (kind, text, details), kind among "error", "warning", "info", "question",
    "status".
``host.answers``
    List to which a test appends what the user will answer, in order: ``True`` or ``False`` to
    ``slicer.util.confirm…Display``, a path to ``qt.QFileDialog.get…`` (a list of paths for ``getOpenFileNames``).
    A question without an answer is a problem.
``host.problems``
    What went wrong so far, as sentences. ``host.expect_problem(part)`` removes the one problem that contains ``part``,
    and fails when there is none.
``host.enter(panel)``, ``host.exit(panel)``, ``host.close(panel)``
    As when the user opens a module, leaves it, and when the module is unloaded. ``host.reload(module)`` is Slicer's
    Reload button: closes the module's panels and opens one from freshly imported files.
``host.press(key, widget)``
    Presses a key or shortcut such as ``"Alt+1"`` (the panel must be entered).
``host.show_views()``
    Draws the slice and 3D views from now on, in the layout that the layout node names; until then they are only nodes
    and logics.
``host.grab(path, widget=None)``
    Saves a picture of the main window (or of one widget) with the caption "test host, not 3D Slicer".
``host.scene``, ``slicer.mrmlScene``, ``slicer.app``
    ``slicer.app.layoutManager()`` has the slice views "Red", "Yellow", "Green" and one 3D view in the FourUp layout;
    they are drawn only when they are looked at. Other layouts can be chosen, but are arranged as a row of slice views.

Rules for tests
---------------
- Use widgets as a user does: ``ui.runButton.click()``, ``ui.pathLineEdit.currentPath = "/data"``,
  ``ui.comboBox.currentIndex = 1``, ``ui.table.item(0, 1).text()``. Nothing of the host but the fixtures.
- PythonQt's names only: anything else raises ``AttributeError`` here as it would in Slicer. A Qt class or name that the
  host does not know is added to ``class_names.json``, after a look
  at the header of the class.
- ``isinstance(button, qt.QWidget)`` is false, as in PythonQt; use ``button.inherits("QWidget")``.

Widgets that a ``.ui`` file may use: every Qt widget of ``class_names.json``; ``ctkCollapsibleButton``,
``ctkCollapsibleGroupBox``, ``ctkPathLineEdit``, ``ctkDirectoryButton``, ``ctkSliderWidget``, ``ctkDoubleSpinBox``;
``qMRMLWidget`` and ``qSlicerWidget`` (root), ``qMRMLNodeComboBox``, ``qMRMLSegmentsTableView``,
``qMRMLSegmentEditorWidget`` (its effects only keep their parameters; its keys are the digits, 0 for no effect).

``parameterNodeWrapper`` knows ``str``, ``bool``, ``int``, ``float``, ``pathlib.Path``, node classes, and
``Annotated`` with ``Choice``, ``Default``, ``Minimum``, ``Maximum``, ``WithinRange``. Connected widgets, by their very
class as in Slicer: ``QCheckBox``, ``QPushButton``, spin boxes, ``QSlider``, ``ctkSliderWidget``, ``QLineEdit``,
``QTextEdit``, ``QLabel`` (shown only), ``QComboBox``
(with ``Choice``), ``ctkPathLineEdit`` and ``ctkDirectoryButton`` (``Path``), ``qMRMLNodeComboBox``, and connectors that
a module registers.
"""
