"""What edits of a segmentation do to lesions and judgements: split, merge, add, delete, undo. No scene is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..lesions.identities import Edits
from ..lesions.reading import Judgement, Lesion, Question, Reading


@dataclass(frozen=True, kw_only=True)
class Followed:
    """Lesions and reading after an edit.

    Parameters
    ----------
    lesions : mapping of int to Lesion
        By label after the edit.
    reading : Reading
        Judgements of the lesions that are there; its own lesions are still those before.
    revived : tuple of str
        Identities that had ended and are back, as after an undo.
    """

    lesions: Mapping[int, Lesion]
    reading: Reading
    revived: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """What is known of identities that had ended.

    Parameters
    ----------
    lesions : mapping of str to Lesion
        As they were.
    judgements : mapping of Question to Judgement
        What was said of them.
    """

    lesions: Mapping[str, Lesion] = field(default_factory=dict)
    judgements: Mapping[Question, Judgement] = field(default_factory=dict)

    @property
    def ids(self) -> set[str]:
        """Identities that had ended; one of another segmentation, from which a segment was copied, is none of them."""
        return {*self.lesions, *(one.lesion_id for one in self.judgements)}


def followed(edits: Edits, reading: Reading, claims: Mapping[int, str], ended: Ended) -> Followed:
    """Carry identities and judgements over an edit.

    Parameters
    ----------
    edits : Edits
        Of :func:`..lesions.identities.follow_edits`.
    reading : Reading
        Before the edit.
    claims : mapping of int to str
        Identity that each label's segment still carries from before, by label after the edit. A new lesion whose
        segment carries an identity that had ended is that lesion again: its deletion or merge was undone.
    ended : Ended
        For those that are back.
    """
    back = _revived(edits, claims, ended)
    lesions = {label: _as_before(one, back, ended) for label, one in edits.lesions.items()}
    returned = {one: said for one, said in ended.judgements.items() if one.lesion_id in back.values()}
    judgements = {
        question: one
        for question, one in reading.judgements.items()
        if question.lesion_id in {lesion.lesion_id for lesion in lesions.values()}
        and not _was_lent(one, back.values(), returned)
    } | returned
    inherited = {child: parent for child, parent in edits.inherits_from.items() if child not in back}
    for giver, taker in (*((parent, child) for child, parent in inherited.items()), *edits.merged.items()):
        for one in _handed_on(reading, giver, taker):
            judgements.setdefault(one.question, one)
    return Followed(lesions=lesions, reading=replace(reading, judgements=judgements), revived=tuple(back.values()))


def _revived(edits: Edits, claims: Mapping[int, str], ended: Ended) -> dict[str, str]:
    """Identity that had ended, by the new one that it takes the place of."""
    absent = ended.ids - {one.lesion_id for one in edits.lesions.values()}
    new = {*edits.added, *edits.inherits_from}
    return {
        one.lesion_id: claims[label]
        for label, one in edits.lesions.items()
        if one.lesion_id in new and claims.get(label) in absent
    }


def _as_before(lesion: Lesion, back: Mapping[str, str], ended: Ended) -> Lesion:
    """A lesion that is back, as it was; any other without what it had taken in and gave back."""
    if lesion.lesion_id not in back:
        origins = tuple(one for one in lesion.came_from if one not in back.values())
        return replace(lesion, came_from=origins)
    identity = back[lesion.lesion_id]
    earlier = ended.lesions.get(identity, Lesion(lesion_id=identity))
    return replace(earlier, volume_mm3=lesion.volume_mm3, centroid_ras_mm=lesion.centroid_ras_mm)


def _was_lent(one: Judgement, back: Iterable[str], returned: Mapping[Question, Judgement]) -> bool:
    """Whether a judgement came by a merge from a lesion that is back and has it itself again."""
    owners = (returned.get(one.question._replace(lesion_id=owner)) for owner in back)
    return any(own is not None and replace(own, question=one.question) == one for own in owners)


def _handed_on(reading: Reading, giver: str, taker: str) -> list[Judgement]:
    """Judgements of one lesion as another's, until that is read anew."""
    return [
        replace(one, question=question._replace(lesion_id=taker))
        for question, one in reading.judgements.items()
        if question.lesion_id == giver
    ]


def changed_lesions(before: Reading, after: Reading) -> set[str]:
    """Identities whose judgements differ."""
    questions: set[Question] = {*before.judgements, *after.judgements}
    return {one.lesion_id for one in questions if before.judgements.get(one) != after.judgements.get(one)}
