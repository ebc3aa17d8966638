"""Notes in the payer's own words: one per unmet or unknown criterion, then every other reason."""

from __future__ import annotations

from collections.abc import Iterable

from service.form.questionnaire import Form
from service.policy.decision import Obstacle
from service.policy.finding import Evidence, Finding, Status


def notes(
    findings: Iterable[Finding], obstacles: Iterable[Obstacle], remarks: Iterable[str], form: Form
) -> tuple[str, ...]:
    """The processNotes of a line in order, each said once."""
    criteria = [criterion_note(finding, form) for finding in findings if finding.status is not Status.MET]
    return tuple(dict.fromkeys([*criteria, *(obstacle.text for obstacle in obstacles), *remarks]))


def criterion_note(finding: Finding, form: Form) -> str:
    """One criterion that was not met or is not known: the policy's words, where they stand, and what to send."""
    criterion = finding.criterion
    words = f"\u201c{criterion.text}\u201d ({criterion.citation})"
    if finding.status is Status.UNMET:
        note = f"Not met: {words}. Found: {_shown(finding.evidence)}."
        return f"{note} The policy says: {criterion.unmet_quote}." if criterion.unmet_quote else note
    note = f"Not known: {words}."
    if finding.conflicts:
        note += f" In conflict: {_shown((*finding.evidence, *finding.conflicts))}."
    for link_id in finding.missing:
        question = form.questions.get(link_id)
        note += f" Please answer: \u201c{question.text if question else link_id}\u201d"
    return note


def _shown(evidence: Iterable[Evidence]) -> str:
    return "; ".join(dict.fromkeys(f"{item.source} {item.path}: {item.shown}" for item in evidence))
