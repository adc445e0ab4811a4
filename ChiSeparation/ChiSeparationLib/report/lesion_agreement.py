"""Agreement of the raters of one patient's lesions, as a report says it."""

from __future__ import annotations

from collections.abc import Iterator

from ..lesions.agreement import Agreement, agree
from ..lesions.agreement_statistics import Estimate
from ..lesions.raters import Rater
from .lesion_study import LesionStudy, Source, graded_maps

#: More comparisons than these are for a study's statistics, not for a patient's page.
_MOST = 6

#: One patient alone has no spread over patients; the fewest draws are enough.
_RESAMPLES = 100


def agreements(study: LesionStudy) -> tuple[Agreement, ...]:
    """Compare readings that differ in one thing: the reader, the pipeline or the repeat; for each graded map."""
    pairs = list(_pairs(study.sources))[:_MOST]
    return tuple(
        found for first, second in pairs for name in graded_maps(study)
        if (found := _compared(study, first, second, name)) is not None
    )  # fmt: skip


def _pairs(sources: tuple[Source, ...]) -> Iterator[tuple[Source, Source]]:
    for number, first in enumerate(sources):
        for second in sources[number + 1 :]:
            if sum(one != other for one, other in zip(first, second, strict=True)) == 1:
                yield first, second


def _compared(study: LesionStudy, first: Source, second: Source, map_name: str) -> Agreement | None:
    """``None`` where one of the two has not judged that map, or no lesion was graded by both."""
    judged = {Source(*one.question[2:]) for one in study.reading if one.question.map_name == map_name}
    if not {first, second} <= judged:
        return None
    one, other = (Rater(reader=by.reader, pipeline=by.pipeline, repeat=by.repeat) for by in (first, second))
    found = agree([study.reading], one, other, map_name, resamples=_RESAMPLES)
    return found if found.statistics.pairs else None


def in_words(found: Agreement) -> str:
    """One sentence: share with its interval, and weighted κ."""
    told = found.statistics
    share = f"{told.agreed} of {told.pairs} lesions ({_percent(told.share)})"
    kappa = _kappa(told.kappa["linear"])
    return f"{found.map_name}, {found.first} against {found.second}: the same grade in {share}; {kappa}."


def _percent(share: Estimate) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "–"
    value, low, high = (f"{100 * number:.1f} %" for number in (share.value, share.low, share.high))
    return f"{value}, 95 % interval {low} to {high}"


def _kappa(linear: Estimate) -> str:
    return "κ is not defined" if linear.value is None else f"linearly weighted κ {linear.value:.2f}".replace("-", "−")
