"""Readings with known grades, the paper's among them."""

from __future__ import annotations

from collections.abc import Sequence

from ChiSeparationLib.lesions.grades import Grade
from ChiSeparationLib.lesions.reading import Judgement, Lesion, Question, Reading

GRADES = tuple(Grade)
TIME = "2026-03-04T05:06:07+00:00"

R2PRIME, R2STAR = "chi-sepnet-r2prime", "chi-sepnet-r2star"

#: Kim et al. 2025, χ-sepnet, Table 2 (χ_para) and Table 3 (χ_dia): 250 lesions of 12 patients, rows χ-sepnet-R2′,
#: columns χ-sepnet-R2*, from hyperintense to hypointense.
PAPER = {
    "chi_para": (
        (96, 0, 0, 0, 0),
        (0, 1, 0, 0, 0),
        (0, 0, 137, 0, 0),
        (0, 0, 0, 5, 1),
        (0, 0, 0, 0, 10),
    ),
    "chi_dia": (
        (0, 0, 0, 0, 0),
        (0, 0, 0, 0, 0),
        (0, 0, 43, 0, 0),
        (0, 0, 1, 44, 3),
        (0, 0, 0, 0, 159),
    ),
}


def judgement(
    lesion_id: str, grade: Grade | None, *, map_name: str = "chi_para", pipeline: str = "x", reader: str = "AB",
    repeat: int = 1, time: str = TIME,
) -> Judgement:  # fmt: skip
    asked = Question(lesion_id, map_name, pipeline, reader, repeat)
    return Judgement(question=asked, grade=grade, time=time)


def reading_of(*judgements: Judgement, patient: str = "P-01", lesions: Sequence[str] = ()) -> Reading:
    return Reading(
        patient=patient,
        lesions=tuple(Lesion(lesion_id=one) for one in lesions),
        judgements={one.question: one for one in judgements},
    )


def paper_readings() -> list[Reading]:
    """The paper's lesions, dealt out to 12 patients as the paper does not say whose they are."""
    pairs = {
        name: [
            (GRADES[i], GRADES[j]) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)
        ]
        for name, table in PAPER.items()
    }
    return [
        reading_of(
            *(
                judgement(f"Lesion_{number + 1}", grade, map_name=name, pipeline=pipeline)
                for number in range(patient, 250, 12) for name in PAPER
                for pipeline, grade in zip((R2PRIME, R2STAR), pairs[name][number], strict=True)
            ),
            patient=f"P-{patient + 1:02}",
            lesions=[f"Lesion_{number + 1}" for number in range(patient, 250, 12)],
        )
        for patient in range(12)
    ]  # fmt: skip
