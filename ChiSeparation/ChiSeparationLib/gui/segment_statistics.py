"""Susceptibility in Slicer's own Segment Statistics module: one more plugin there, in ppb."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ChiSepPreprocessLib.artifacts import Array
from ChiSepPreprocessLib.quantities import ppm_to_ppb
from ChiSepPreprocessLib.scene.nodes import ARTIFACT
from ChiSepPreprocessLib.scene.volumes import array_from_node, grid_from_node

from ..lesions.measures import MAP_MEASURES, SUSCEPTIBILITY_CODE, Code, measure_map
from ..lesions.regions import RegionOptions, find_region

_CHI = ("chi_para", "chi_dia", "chi_total")
_INSIDE = ("mean_ppb", "sd_ppb", "median_ppb", "p10_ppb", "p90_ppb")
_CONTRASTS = ("contrast_ppb", "contrast_sd")

#: Name of the segment that holds normal-appearing white matter, in small letters.
_WHITE_MATTER = ("nawm", "normal-appearing white matter", "normal appearing white matter", "white matter")

_OWN, _OTHER = 1, 2


def register() -> bool:
    """Offer the plugin to the Segment Statistics module, once; ``False`` where there is no such module."""
    try:
        from SegmentStatistics import SegmentStatisticsLogic
        from SegmentStatisticsPlugins import SegmentStatisticsPluginBase
    except ImportError:
        return False
    plugin = plugin_class(SegmentStatisticsPluginBase)
    if plugin.__name__ not in [one.__name__ for one in SegmentStatisticsLogic.registeredPlugins]:
        SegmentStatisticsLogic.registerPlugin(plugin())
    return True


@cache
def plugin_class(base: type) -> type:
    """Make the plugin a subclass of Slicer's base class, which exists in Slicer alone."""

    class ChiSegmentStatisticsPlugin(base):  # type: ignore[misc]
        """Mean, spread and percentiles of a χ map in a segment, and its contrast to white matter, in ppb."""

        def __init__(self) -> None:
            super().__init__()
            self.name = "Chi Maps"
            self.title = _("Susceptibility (chi maps)")
            self.keys = [*_INSIDE, *_CONTRASTS]
            self.defaultKeys = list(self.keys)

        def computeStatistics(self, segmentID: str) -> dict[str, float]:
            """Measures of the requested keys; nothing if the volume is no χ map or the segment is empty in it."""
            wanted = self.getRequestedKeys()
            node = self.getParameterNode()
            segmentation, volume = (
                slicer.mrmlScene.GetNodeByID(node.GetParameter(role)) for role in ("Segmentation", "ScalarVolume")
            )
            if not wanted or segmentation is None or volume is None or volume.GetAttribute(ARTIFACT) not in _CHI:
                return {}
            found = _measures(segmentation, segmentID, volume, contrast=bool(set(wanted) & set(_CONTRASTS)))
            return {key: value for key in wanted if (value := found.get(key)) is not None}

        def getMeasurementInfo(self, key: str) -> dict[str, str] | None:
            """Name, title, unit, description and DICOM codes of a measure."""
            if key not in self.keys:
                return None
            spec, (title, description) = MAP_MEASURES[key], _texts()[key]
            return {
                "name": spec.key, "title": title, "description": description, "units": spec.unit,
                "DICOM.QuantityCode": self._coded(SUSCEPTIBILITY_CODE),
                "DICOM.UnitsCode": self._coded(spec.unit_code),
                "DICOM.DerivationCode": self._coded(spec.code),
            }  # fmt: skip

        def _coded(self, code: Code) -> str:
            return str(self.createCodedEntry(*code, True))

    return ChiSegmentStatisticsPlugin


def _measures(segmentation: Any, segment_id: str, volume: Any, *, contrast: bool) -> Mapping[str, float | None]:
    chi_ppb = np.asarray(ppm_to_ppb(array_from_node(volume).astype(np.float64)))
    own = _segment(segmentation, segment_id, volume)
    if not own.any():
        return {}
    labels = np.where(own, _OWN, 0)
    white = np.zeros(own.shape, dtype=bool)
    if contrast:
        others, white = _surroundings(segmentation, segment_id, volume)
        labels[others & ~own] = _OTHER
    options = RegionOptions()
    region = find_region(labels, _OWN, grid_from_node(volume), options)
    if region is None:
        return {}
    everywhere = np.ones(region.lesion.shape, dtype=bool)
    return measure_map(chi_ppb[region.box], region, everywhere, white[region.box], options).values


def _surroundings(segmentation: Any, segment_id: str, volume: Any) -> tuple[Array, Array]:
    """Voxels of the other segments, and of the one that holds white matter."""
    core = segmentation.GetSegmentation()
    others = white = np.zeros(array_from_node(volume).shape, dtype=bool)
    for number in range(core.GetNumberOfSegments()):
        other = core.GetNthSegmentID(number)
        if other == segment_id:
            continue
        if core.GetSegment(other).GetName().strip().lower() in _WHITE_MATTER:
            white = white | _segment(segmentation, other, volume)
        else:
            others = others | _segment(segmentation, other, volume)
    return others, white


def _segment(segmentation: Any, segment_id: str, volume: Any) -> Array:
    """Voxels of a segment on the volume's grid; Slicer's arrays run k, j, i."""
    return np.transpose(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume), (2, 1, 0)) != 0


def _texts() -> dict[str, tuple[str, str]]:
    """Title and description of each measure, in the user's language."""
    against = _("The reference is the segment named NAWM (normal-appearing white matter), from 2 to 5 mm around.")
    return {
        "mean_ppb": (_("Mean susceptibility"), _("Mean of the chi map in the segment.")),
        "sd_ppb": (_("SD of susceptibility"), _("Standard deviation of the chi map in the segment.")),
        "median_ppb": (_("Median susceptibility"), _("Median of the chi map in the segment.")),
        "p10_ppb": (_("10th percentile of susceptibility"), _("10th percentile of the chi map in the segment.")),
        "p90_ppb": (_("90th percentile of susceptibility"), _("90th percentile of the chi map in the segment.")),
        "contrast_ppb": (_("Contrast to white matter"), _("Mean of the segment minus mean around it.") + " " + against),
        "contrast_sd": (
            _("Contrast to white matter in SD"),
            _("The same in standard deviations of the white matter.") + " " + against,
        ),
    }
