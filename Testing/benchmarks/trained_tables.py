"""What was found about trained networks, as Markdown, beside the figures of the χ-sepnet paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lesion_classes import GRADED
from patients import table as patients_table

from ChiSeparationLib.lesions.grades import Grade
from ChiSepReconstructLib.evaluation.regions import Line, fit_line
from ChiSepReconstructLib.networks.weights.weight_set import WeightSet

Row = dict[str, Any]

R2PRIME, R2STAR = "chi-sepnet-r2prime", "chi-sepnet-r2star"
QSMNET, R2PRIMENET, MEDI = "qsmnet", "r2primenet", "chi-sep-medi"
CONSTANT_MAP = "constant: mean of the truth's brain"
_METRICS = {"psnr_db": ("pSNR, dB", 1), "nrmse_percent": ("NRMSE, %", 1),
            "nrmse_centred_percent": ("NRMSE centred, %", 1), "hfen_percent": ("HFEN, %", 1),
            "ssim": ("SSIM", 3), "nrmse_detrended_percent": ("NRMSE after a linear fit, %", 1)}  # fmt: skip

#: Table 1 and the text of Kim et al. 2025, in vivo: pSNR (dB), NRMSE (%), HFEN (%), SSIM.
_PAPER = {
    ("chi_para", R2PRIME): (39.1, 38.1, 47.2, 0.940), ("chi_dia", R2PRIME): (39.5, 35.7, 48.4, 0.937),
    ("chi_para", R2STAR): (38.4, 41.6, 55.3, 0.927), ("chi_dia", R2STAR): (38.6, 39.4, 57.7, 0.922),
    ("chi_para", MEDI): (35.2, 60.0, 74.2, 0.868), ("chi_dia", MEDI): (35.2, 60.0, 78.0, 0.854),
    ("chi_para", "chi-sep-ilsqr"): (35.8, 55.8, 63.9, 0.877), ("chi_dia", "chi-sep-ilsqr"): (35.9, 54.2, 67.1, 0.864),
    ("chi_total", QSMNET): (33.3, 48.0, 36.8, 0.950), ("r2prime", R2PRIMENET): (42.7, 25.3, 44.9, 0.949),
}  # fmt: skip
#: Supplementary Table 1: NRMSE (%) of χ_para and χ_dia by the inputs of χ-sepnet.
_PAPER_ABLATION = {"local_field, r2prime": (38.6, 36.3), "chi_total, r2prime": (38.2, 35.8),
                   "chi_total, local_field, r2prime": (38.1, 35.7)}  # fmt: skip
#: Figure 5: slope and R² of χ_para, then of χ_dia.
_PAPER_REGIONS = {
    R2PRIME: ((1.043, 0.994), (0.939, 0.974)), R2STAR: ((1.051, 0.993), (0.923, 0.966)),
    MEDI: ((0.938, 0.989), (0.934, 0.955)), "chi-sep-ilsqr": ((0.835, 0.984), (0.813, 0.914)),
}  # fmt: skip
#: To be reached: NRMSE (%), NRMSE over that of chi-sep-medi, R² over regions.
_TARGETS = {
    R2PRIME: {"chi_para": (38.1, 0.65, 0.994), "chi_dia": (35.7, 0.65, 0.974)},
    R2STAR: {"chi_para": (41.6, 0.70, 0.993), "chi_dia": (39.4, 0.70, 0.966)},
}
_TARGET_QSM, _TARGET_SLOPE, _TARGET_RIGHT, _TARGET_AGREE = 0.8, 0.05, 95.0, 98.0
_TITLES = {"chi_para": "χ_para", "chi_dia": "χ_dia", "chi_total": "QSM", "r2prime": "R2′"}
_SIZES_MM3 = ((20, 100), (100, 500), (500, float("inf")))


_SHARED = (
    "These patients share no code with this project's simulated training, but the mean susceptibilities of nine "
    "tissues, nilearn's MNI template and 114 Hz/ppm at 2.893 T: they are no independent judge of it. "
)
_CONSTANT = (
    "A constant map, with the mean of the true one in the evaluated voxels, stands in every table of errors: what it "
    "reaches says nothing. Centred: each map without its own mean."
)


@dataclass(frozen=True)
class Found:
    """Figures by patient and title of the case."""

    patients: Mapping[str, Mapping[str, Row]]

    @property
    def titles(self) -> list[str]:
        """Of the cases."""
        return list(next(iter(self.patients.values())))

    def with_map(self, key: str) -> list[str]:
        """Cases that make a map."""
        return [one for one in self.titles if key in next(iter(self.patients.values()))[one]["maps"]]

    def without_networks(self, key: str) -> list[str]:
        """Those of them that run none, and make nothing else if they are to make QSM."""
        first = next(iter(self.patients.values()))
        others = ("chi-sepnet", QSMNET, R2PRIMENET, CONSTANT_MAP)
        plain = [one for one in self.with_map(key) if not one.startswith(others)]
        return [one for one in plain if key != "chi_total" or first[one]["gives"] == [key]]

    def values(self, title: str, key: str, metric: str = "nrmse_percent") -> list[float]:
        """One metric in every patient."""
        return [rows[title]["maps"][key][metric] for rows in self.patients.values()]

    def nrmse(self, title: str, key: str) -> float:
        """Mean over the patients, %."""
        return float(np.mean(self.values(title, key)))

    def over(self, title: str, other: str, key: str) -> float | None:
        """Ratio of two cases' mean NRMSE; none if one of them was not run."""
        known = set(self.with_map(key))
        return self.nrmse(title, key) / self.nrmse(other, key) if {title, other} <= known else None

    def line(self, title: str, key: str) -> Line:
        """Regression of the estimated on the true means of all regions of all patients."""
        pairs = [pair for rows in self.patients.values() for pair in rows[title]["regions"][key].values()]
        return fit_line(*zip(*pairs, strict=True))

    def lesions(self, title: str) -> list[Row]:
        """Of all patients, those that can be graded."""
        every = [one for rows in self.patients.values() for one in rows[title]["lesions"]]
        return [one for one in every if all(one[key]["true_class"] for key in GRADED)]


def reports(
    patients: Mapping[str, Mapping[str, Row]], planted: Mapping[float, Sequence[Mapping[str, Row]]],
    weights: WeightSet, *, training_maxima_ppm: tuple[float, float] | None = None,
) -> Iterator[str]:  # fmt: skip
    """Every table with its heading."""
    found = Found(patients)
    widths = ", ".join(f"{role} of width {one.base_width}" for role, one in weights.networks.items())
    shared = _SHARED if weights.training_domain == "simulated" else ""
    yield (f"Weights '{weights.name}' ({weights.title}), trained on {weights.training_domain} data: {widths}. "
           f"{len(patients)} held-out simulated patients; mean ± standard deviation over them.\n\n"
           f"{shared}{_CONSTANT}")  # fmt: skip
    for key, title in _TITLES.items():
        if found.with_map(key):
            yield f"## {title}\n\n{quality_table(found, key)}"
    by_patient = {name: {"measured": rows} for name, rows in patients.items()}
    yield f"## NRMSE in each patient, %: χ_para / χ_dia\n\n{patients_table(by_patient, 'measured', GRADED)}"
    yield f"## Region means: regression on the true ones (Figure 5)\n\n{region_table(found)}"
    yield f"## Inputs of χ-sepnet: NRMSE, %\n\n{ablation_table(found, weights)}"
    yield from _lesion_reports(found)
    if any(planted.values()):
        yield from planted_reports(planted, training_maxima_ppm)
    yield f"## To be reached\n\n{target_table(found)}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(one)} |" for one in lines)


def _spread(values: Sequence[float], digits: int = 1) -> str:
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else mean


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def quality_table(found: Found, key: str) -> str:
    """Table 1 for one map; the ratio is to χ-sep-MEDI, for other maps to the best without networks."""
    metrics = [one for one in _METRICS if key == "chi_total" or one != "nrmse_detrended_percent"]
    others = found.without_networks(key)
    best = min(others, key=lambda one: found.nrmse(one, key)) if others else ""
    base = MEDI if key in GRADED else best
    heads = ["method", *(_METRICS[one][0] for one in metrics), f"NRMSE over {base}'s", "s", "in vivo, Kim et al. 2025"]
    rows = []
    for title in found.with_map(key):
        cells = [_spread(found.values(title, key, one), _METRICS[one][1]) for one in metrics]
        seconds = np.mean([one[title]["seconds"] for one in found.patients.values()])
        paper = " / ".join(f"{one:g}" for one in _PAPER.get((key, title), ()))
        rows.append([title, *cells, _number(found.over(title, base, key)), f"{seconds:.1f}", paper])
    return _markdown(heads, rows)


def region_table(found: Found) -> str:
    """Slope and R² of every separation."""
    heads = ["method", "points", "χ_para: slope", "R²", "in vivo", "χ_dia: slope", "R²", "in vivo"]
    rows = []
    for title in (one for one in found.with_map("chi_para") if one != CONSTANT_MAP):
        lines = [found.line(title, key) for key in GRADED]
        paper = [" / ".join(map(str, one)) for one in _PAPER_REGIONS.get(title, ((), ()))]
        cells = [[f"{one.slope:.3f}", _number(one.r_squared, 3), said] for one, said in zip(lines, paper, strict=True)]
        rows.append([title, str(lines[0].points), *cells[0], *cells[1]])
    return _markdown(heads, rows)


def ablation_table(found: Found, weights: WeightSet) -> str:
    """χ-sepnet-R2′ by its inputs."""
    if R2PRIME not in found.titles:
        return "The set has no χ-sepnet."
    named = {", ".join(weights.file("chisepnet").inputs): R2PRIME}
    prefix = f"{R2PRIME} from "
    named |= {one.removeprefix(prefix): one for one in found.titles if one.startswith(prefix)}
    rows = []
    for inputs, title in named.items():
        cells = [_spread(found.values(title, key)) for key in GRADED]
        rows.append([inputs, *cells, " / ".join(map(str, _PAPER_ABLATION.get(inputs, ())))])
    said = "" if len(rows) > 1 else "\n\nNo set with fewer inputs was given."
    return _markdown(["inputs", "χ_para", "χ_dia", "in vivo: χ_para / χ_dia"], rows) + said


def _lesion_reports(found: Found) -> Iterator[str]:
    separated = found.with_map("chi_para")
    lesions = found.lesions(separated[0]) if separated else []
    if not lesions:
        return
    as_designed = [one[key]["designed_class"] == one[key]["true_class"] for one in lesions for key in GRADED]
    yield (f"## Lesions larger than 20 mm³: {len(lesions)}\n\nThe true class is that of the true maps by the same rule "
           f"and in the same voxels; {_percent(as_designed)} are those that the lesions were designed for.\n\n"
           f"{class_table(found)}")  # fmt: skip
    shown = [one for one in (R2PRIME, R2STAR, MEDI) if one in separated] or separated[:1]
    yield f"## Lesions by class and size: error of the contrast, ppb (right class)\n\n{contrast_table(found, shown)}"


def _percent(values: Sequence[bool]) -> str:
    return f"{100 * np.mean(values):.1f} %" if values else ""


def _share(lesions: Sequence[Row], right: Callable[[Row, str], bool], keys: Sequence[str]) -> float:
    return 100 * float(np.mean([all(right(one, key) for key in keys) for one in lesions])) if lesions else float("nan")


def right_share(found: Found, title: str, keys: Sequence[str] = GRADED) -> float:
    """Lesions of the true class in all these maps, %."""
    return _share(found.lesions(title), lambda one, key: one[key]["class"] == one[key]["true_class"], keys)


def agreeing_share(found: Found, keys: Sequence[str] = GRADED) -> float:
    """Lesions to which both pipelines give the same class in all these maps, %."""
    pairs = zip(found.lesions(R2PRIME), found.lesions(R2STAR), strict=True)
    both = [{key: (one[key]["class"], other[key]["class"]) for key in GRADED} for one, other in pairs]
    return _share(both, lambda one, key: one[key][0] == one[key][1], keys)


def _key_sets() -> list[tuple[str, ...]]:
    return [(GRADED[0],), (GRADED[1],), GRADED]


def class_table(found: Found) -> str:
    """Lesions with the true class by method, and those in which the two pipelines agree."""
    heads = ["true class, %", "χ_para", "χ_dia", "both", "contrast error, rms ppb: χ_para", "χ_dia"]
    rows = []
    for title in found.with_map("chi_para"):
        errors = [np.sqrt(np.mean(np.square(_errors(found.lesions(title), key)))) for key in GRADED]
        shares = [f"{right_share(found, title, keys):.1f}" for keys in _key_sets()]
        rows.append([title, *shares, *(f"{one:.1f}" for one in errors)])
    if {R2PRIME, R2STAR} <= set(found.titles):
        rows.append(
            ["the two pipelines agree", *(f"{agreeing_share(found, keys):.1f}" for keys in _key_sets()), "", ""]
        )
    return _markdown(heads, rows)


def _errors(lesions: Sequence[Row], key: str) -> list[float]:
    return [one[key]["contrast_ppb"] - one[key]["true_contrast_ppb"] for one in lesions]


def contrast_table(found: Found, titles: Sequence[str]) -> str:
    """Errors of the contrast by map, true class and size."""
    rows = []
    for key in GRADED:
        for grade in (one.value for one in Grade):
            for low, high in _SIZES_MM3:
                cells = [_contrast_cell(_selected(found.lesions(one), key, grade, low, high), key) for one in titles]
                count = len(_selected(found.lesions(titles[0]), key, grade, low, high))
                size = f"{low} to {high}" if np.isfinite(high) else f"over {low}"
                rows += [[_TITLES[key], grade, size, str(count), *cells]] if count else []
    return _markdown(["map", "true class", "mm³", "lesions", *titles], rows)


def _selected(lesions: Sequence[Row], key: str, grade: str, low: float, high: float) -> list[Row]:
    return [one for one in lesions if one[key]["true_class"] == grade and low < one["volume_mm3"] <= high]


def _contrast_cell(lesions: Sequence[Row], key: str) -> str:
    if not lesions:
        return ""
    right = [one[key]["class"] == one[key]["true_class"] for one in lesions]
    return f"{_spread(_errors(lesions, key))} ({100 * np.mean(right):.0f} %)"


def planted_reports(
    planted: Mapping[float, Sequence[Mapping[str, Row]]], maxima_ppm: tuple[float, float] | None
) -> Iterator[str]:
    known = f"{maxima_ppm[0]:.2f} ppm χ_para, {maxima_ppm[1]:.2f} ppm χ_dia" if maxima_ppm else "unknown"
    said = f"Mean of the map over that of the truth, in the sphere. The training's maxima: {known}."
    table = planted_table(planted, "recovered_percent")
    yield f"## Strong spheres: recovered, %\n\n{said}\n\n{table}"
    yield f"## The same: rms error 2 to 8 mm around them, ppb\n\n{planted_table(planted, 'error_around_ppb')}"
    lost = planted_table(planted, "lost_percent", methods=1)
    yield f"## The same: voxels that preprocessing left out of its field mask, %\n\n{lost}"


def planted_table(planted: Mapping[float, Sequence[Mapping[str, Row]]], value: str, methods: int | None = None) -> str:
    """One figure of the spheres: a row for each sphere and (of the first few) method, a column for each χ."""
    first = next(iter(planted.values()))[0]
    rows = []
    for number, sphere in enumerate(next(iter(first.values()))["spheres"]):
        for title in list(first)[:methods]:
            found = [[one[title]["spheres"][number][value] for one in patients] for patients in planted.values()]
            cells = [_mean_of_known(one) for one in found]
            rows.append([_TITLES[f"chi_{sphere['kind']}"], f"{sphere['radius_mm']:g}", title, *cells])
    return _markdown(["sphere", "radius, mm", "method", *(f"{one:g} ppm" for one in planted)], rows)


def _mean_of_known(values: Sequence[float | None]) -> str:
    known = [one for one in values if one is not None]
    return f"{np.mean(known):.1f}" if known else "none left"


def target_table(found: Found) -> str:
    """What was to be reached, and whether it was; what a constant map reaches too says nothing."""
    rows = [*_network_targets(found), *_qsm_target(found), *_lesion_targets(found)]
    return _markdown(["figure", "to be reached", "a constant map", "measured", ""], rows)


def _target(
    name: str, goal: str, measured: float | None, constant: float | None, reached: Callable[[float], bool], digits: int
) -> list[str]:
    constant_reaches = constant is not None and reached(constant)
    beside = _number(constant, digits) + (" (reached)" if constant_reaches else "")
    if measured is None or np.isnan(measured):
        return [name, goal, beside, "not measured", ""]
    verdict = "MISSED" if not reached(measured) else "says nothing" if constant_reaches else "reached"
    return [name, goal, beside, f"{measured:.{digits}f}", verdict]


def _network_targets(found: Found) -> Iterator[list[str]]:
    for title, maps in _TARGETS.items():
        for key, (error, ratio, r2) in maps.items() if title in found.titles else ():
            name, line, has = f"{title}, {_TITLES[key]}", found.line(title, key), CONSTANT_MAP in found.titles
            yield _target(f"{name}: NRMSE, %", f"≤ {error}", found.nrmse(title, key),
                          found.nrmse(CONSTANT_MAP, key) if has else None, error.__ge__, 1)  # fmt: skip
            yield _target(f"{name}: NRMSE over {MEDI}'s", f"≤ {ratio}", found.over(title, MEDI, key),
                          found.over(CONSTANT_MAP, MEDI, key), ratio.__ge__, 2)  # fmt: skip
            yield _target(f"{name}: slope over regions", f"1 ± {_TARGET_SLOPE}", line.slope, 0.0 if has else None,
                          lambda slope: abs(slope - 1) <= _TARGET_SLOPE, 3)  # fmt: skip
            yield _target(f"{name}: R² over regions", f"≥ {r2}", line.r_squared, 0.0 if has else None, r2.__le__, 3)


def _qsm_target(found: Found) -> Iterator[list[str]]:
    others = found.without_networks("chi_total")
    if QSMNET in found.titles and others:
        best = min(others, key=lambda one: found.nrmse(one, "chi_total"))
        yield _target(f"{QSMNET}: NRMSE over that of {best}, the best without networks", f"≤ {_TARGET_QSM}",
                      found.over(QSMNET, best, "chi_total"), found.over(CONSTANT_MAP, best, "chi_total"),
                      _TARGET_QSM.__ge__, 2)  # fmt: skip


def _lesion_targets(found: Found) -> Iterator[list[str]]:
    has = CONSTANT_MAP in found.titles
    for title in (one for one in (R2PRIME, R2STAR) if one in found.titles):
        for key in GRADED:
            yield _target(f"{title}, {_TITLES[key]}: lesions with the true class, %", f"≥ {_TARGET_RIGHT:g}",
                          right_share(found, title, [key]), right_share(found, CONSTANT_MAP, [key]) if has else None,
                          _TARGET_RIGHT.__le__, 1)  # fmt: skip
    if {R2PRIME, R2STAR} <= set(found.titles):
        for key in GRADED:
            yield _target(f"both pipelines, {_TITLES[key]}: lesions with the same class, %", f"≥ {_TARGET_AGREE:g}",
                          agreeing_share(found, [key]), 100.0 if has else None, _TARGET_AGREE.__le__, 1)  # fmt: skip
