"""Where and how networks run: device, with its memory and expected time once tested, and resolution."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .child_task import ChildTask
from .choice_box import ChoiceBox
from .logic import AUTOMATIC
from .section import Section


class DeviceSection(Section):
    """Offers the devices that a child process found, and the resolution modes."""

    def build(self) -> None:
        """Fill and connect the widgets."""
        self._found: list[dict[str, Any]] = []
        self.task = ChildTask(self.logic.start_task, self._tell)
        self._device = ChoiceBox(self.ui.deviceComboBox, lambda value: self.keep("device", value))
        words = {"fast": _("Fast: interpolate the voxels"), "best": _("Best: keep the voxels (slow)")}
        self._resolution = ChoiceBox(self.ui.resolutionComboBox, lambda value: self.keep("resolution", value), words)
        self.say(self.ui.deviceLabel, "")
        self.ui.testDevicesButton.connect("clicked()", self.test)

    def update(self) -> None:
        """Show the parameters."""
        chosen = self.given.device
        names = {AUTOMATIC: _("Automatic: the fastest"), "cpu": _("Processor (CPU)")}
        names |= {one["name"]: str(one["words"]) for one in self._found}
        self._device.fill(names if chosen in names else {**names, chosen: chosen})
        self._device.show(chosen)
        self._resolution.show(self.given.resolution)

    def test(self) -> None:
        """Find and test the devices; takes some seconds, for which the window goes on."""
        self.task.run("devices", self._show_devices)
        self.ui.testDevicesButton.enabled = not self.task.running

    def _show_devices(self, answer: list[dict[str, Any]]) -> None:
        self._found = answer
        lines = [_in_words(one) for one in answer]
        self.say(
            self.ui.deviceLabel, _("For a brain at 1 mm and one network:\n{devices}").format(devices="\n".join(lines))
        )
        if self.given is not None:
            self.update()

    def _tell(self, text: str, share: float) -> None:
        self.say(self.ui.deviceLabel, text)
        self.ui.testDevicesButton.enabled = not self.task.running

    def close(self) -> None:
        """Stop what runs."""
        self.task.close()


def _in_words(one: dict[str, Any]) -> str:
    text = _("{device}; {memory} GiB of memory are free").format(device=one["words"], memory=one["free_gib"])
    return f"{text}; {one['problem']}" if one["problem"] else text
