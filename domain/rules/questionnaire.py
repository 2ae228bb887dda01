"""Duty: have the payer's forms (DTR questionnaires) filled in by a person: with the request, or when the payer asks for one.

A form is wanted where the payer's own word names a questionnaire or says that documentation is needed with the request
(CRD), and where an answer asks for one (LOINC 102089-0). It is fetched, a person fills it in, and the response goes along
with the request or with what is sent. Answers to a former form are never used again: each word and each ask fetches anew.
Source: Da Vinci DTR 2.0.1 and 2.1, CRD 2.2.1 (`doc-needed`, `doc-purpose`, `questionnaire`), PAS 2.2.1 (additional information).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.actions import FetchQuestionnaire
from domain.base import Stage, Turn
from domain.case import Case
from domain.decision import InformationAsk
from domain.facts import DecisionReceived, QuestionnaireAnswered, QuestionnaireReceived, TaskKind
from domain.order import DocumentRef
from domain.policy_rules import WorkKind
from domain.rules.asking import Asks, Person, Waiting, allow, awaits_rules, common, effort, pursue
from domain.rules.hooks import word_in_force
from domain.track import Track

RESPONSE = "questionnaire_response"
"""The kind of document that a completed QuestionnaireResponse is."""
FORM_ASKED = "102089-0"
"""LOINC: what is asked for is no document but a questionnaire, whose context the ask names (PAS 2.2.1)."""

_NOW = frozenset({"clinical", "admin", "both", "patient"})
"""`doc-needed` codes that say plainly that something is wanted."""
_LATER = frozenset({"withclaim", "retain-doc"})
"""`doc-purpose` codes of what is not wanted with the request."""


@dataclass(frozen=True)
class Wanted:
    """A form that a track needs, until it is there."""

    key: str
    """Its own among the forms of a case, made from what made it necessary."""
    cause: str
    questionnaire: str | None
    """Its canonical URL, where the payer named it."""
    context: str | None
    lines: tuple[int, ...]
    with_request: bool

    @property
    def fetching(self) -> str:
        """The cause under which it is fetched."""
        return f"fetch_questionnaire/{self.key}"


def questionnaire(case: Case, now: datetime) -> Asks:
    """Fetch what is wanted, and ask a person to fill it in; what cannot be fetched a person fills in at the payer's."""
    for key in sorted(case.tracks):
        track = case.tracks[key]
        if awaits_rules(case, now, track.requirement.payer):
            continue
        for wanted in open_forms(case, track):
            received = _received(case, wanted)
            if received:
                for form in received:
                    if not _is_done(case, form):
                        yield _fill(case, now, track, wanted, form)
            else:
                yield from _fetch(case, now, track, wanted)


def open_forms(case: Case, track: Track) -> tuple[Wanted, ...]:
    """The forms that a track wants and that are not there yet; nothing goes to the payer without them."""
    sent = track.attempt.reached_payer
    return tuple(
        wanted for wanted in _wanted(case, track) if not (wanted.with_request and sent) and not _is_there(case, wanted)
    )


def waits_for_form(case: Case, track: Track) -> bool:
    """Whether the request of a track waits for a form."""
    return any(wanted.with_request for wanted in open_forms(case, track))


def responses(case: Case, track: Track) -> tuple[DocumentRef, ...]:
    """The completed responses that go along with a track's request: the latest of each form, and what people attached."""
    mine = list(_with_request(case, track))
    ours = {answer.response.id for answer in case.filled}
    attached = [d for key, d in sorted(case.documents.items()) if d.kind == RESPONSE and key not in ours]
    return (*_answers(case, mine), *(attached if mine else ()))


def responses_to(case: Case, track: Track, answer: DecisionReceived) -> tuple[DocumentRef, ...]:
    """The completed responses to the forms that an answer asked for; empty until all of them are there."""
    mine = [wanted for wanted in _wanted(case, track) if wanted.cause == answer.ref]
    return _answers(case, mine) if all(_is_there(case, wanted) for wanted in mine) else ()


def asks_for_form(ask: InformationAsk) -> bool:
    """Whether what a payer asks for is a questionnaire."""
    return ask.context is not None or any(what.code == FORM_ASKED for what in ask.what)


def answer_in_force(case: Case, form: QuestionnaireReceived) -> QuestionnaireAnswered | None:
    """The latest answers to a form, complete or saved for later."""
    return next((answer for answer in reversed(case.filled) if answer.form == form.ref), None)


def _wanted(case: Case, track: Track) -> Iterator[Wanted]:
    yield from _with_request(case, track)
    asking = next((answer for answer in reversed(track.attempt.answers) if answer.decision.asks), None)
    if asking is None or any(sent.n > asking.n for sent in track.attempt.sent):
        return
    for place, ask in enumerate(asking.decision.asks):
        if asks_for_form(ask):
            yield Wanted(
                key=f"{track.key}/{asking.ref}/{place}",
                cause=asking.ref,
                questionnaire=None,
                context=ask.context or ask.control_number,
                lines=(ask.line,) if ask.line is not None else track.lines_required,
                with_request=False,
            )


def _with_request(case: Case, track: Track) -> Iterator[Wanted]:
    """The forms that the payer's own word on the lines names, each once."""
    found: dict[tuple[str, str | None, str | None], tuple[int, ...]] = {}
    for number in track.lines_required:
        said = word_in_force(case, number)
        if said is None or (said.line.purposes and set(said.line.purposes) <= _LATER):
            continue
        named: tuple[str | None, ...] = said.line.questionnaires
        if not named and _NOW & set(said.line.documents):
            named = (None,)
        for canonical in named:
            form = (said.fact.ref, canonical, said.line.assertion)
            found[form] = (*found.get(form, ()), number)
    for place, ((cause, canonical, assertion), lines) in enumerate(found.items()):
        yield Wanted(
            key=f"{track.key}/{cause}/{place}",
            cause=cause,
            questionnaire=canonical,
            context=assertion,
            lines=lines,
            with_request=True,
        )


def _received(case: Case, wanted: Wanted) -> tuple[QuestionnaireReceived, ...]:
    return tuple(form for form in case.forms if form.source_id.startswith(f"{wanted.fetching}/"))


def _is_there(case: Case, wanted: Wanted) -> bool:
    received = _received(case, wanted)
    if received:
        return all(_is_done(case, form) for form in received)
    if _finished(case, wanted.key):
        return True
    tries = case.actions.get(wanted.fetching, ())
    # The payer has no form for it: what documents it wants goes along with the request by themselves.
    none_exists = bool(tries) and tries[-1].ended is not None and tries[-1].ended.failure is None
    return none_exists and wanted.with_request and wanted.questionnaire is None


def _is_done(case: Case, form: QuestionnaireReceived) -> bool:
    return any(answer.form == form.ref and answer.complete for answer in case.filled) or _finished(case, form.ref)


def _finished(case: Case, subject: str) -> bool:
    """Whether a person has settled it another way: the task is done."""
    return any(
        task.completed is not None and name.partition("~")[0] == _task(subject) for name, task in case.tasks.items()
    )


def _answers(case: Case, wanted: Sequence[Wanted]) -> tuple[DocumentRef, ...]:
    latest: dict[str, DocumentRef] = {}
    for one in wanted:
        for form in _received(case, one):
            complete = [a.response for a in case.filled if a.form == form.ref and a.complete]
            if complete:
                latest[form.ref] = complete[-1]
    return tuple(latest.values())


def _task(subject: str) -> str:
    return f"fill_questionnaire/{subject}"


def _fetch(case: Case, now: datetime, track: Track, wanted: Wanted) -> Asks:
    policy = case.policies.get(track.requirement.payer)
    served = policy is not None and any(channel.dtr_url for channel in policy.channels)
    if policy is not None and served and not effort(case, now, wanted.fetching).failed:
        yield from pursue(
            case,
            now,
            wanted.fetching,
            lambda key: FetchQuestionnaire(
                **common(case, now, key),
                track=track.key,
                order=case.order,
                rank=track.requirement.rank,
                policy=policy,
                questionnaire=wanted.questionnaire,
                context=wanted.context,
                lines=wanted.lines,
            ),
        )
        yield Waiting(Stage.DOCUMENTS, Turn.VIGIL, f"Vigil is fetching the form that {policy.name} wants filled in.")
        return
    yield _person(
        case,
        now,
        track,
        wanted.key,
        cause=wanted.cause,
        title="The payer wants a form filled in, and Vigil could not fetch it. Fill it in at the payer's, and attach it.",
        checklist=(
            *((f"The form: {wanted.questionnaire}",) if wanted.questionnaire else ()),
            *((f"Its context: {wanted.context}",) if wanted.context else ()),
            f"Attach what you filled in as a document of the kind {RESPONSE}, or send without it, knowingly.",
        ),
    )


def _fill(case: Case, now: datetime, track: Track, wanted: Wanted, form: QuestionnaireReceived) -> Person:
    if form.adaptive:
        title = "The payer asks one question after another. Answer at the payer's, and attach the response."
        steps = (f"The form: {form.questionnaire}", f"Attach the response as a document of the kind {RESPONSE}.")
    else:
        saved = answer_in_force(case, form)
        title = "Fill in the payer's form" + (": it is begun and saved." if saved else ".")
        steps = (
            f"Open the form: questionnaires/{form.ref} of this case.",
            "Compare what is filled in already with the chart; answer the rest; save, or submit it.",
        )
    goes = "with the request" if wanted.with_request else "to the payer, which waits for it"
    return _person(
        case, now, track, form.ref, cause=form.ref, title=title, checklist=(*steps, f"It goes {goes}."), raw=form.form
    )


def _person(
    case: Case,
    now: datetime,
    track: Track,
    subject: str,
    *,
    cause: str,
    title: str,
    checklist: tuple[str, ...],
    raw: DocumentRef | None = None,
) -> Person:
    return Person(
        key=_task(subject),
        kind=TaskKind.FILL_QUESTIONNAIRE,
        stage=Stage.DOCUMENTS,
        turn=Turn.PROVIDER,
        title=title,
        checklist=checklist,
        time=allow(case, now, case.policies.get(track.requirement.payer), WorkKind.DOCUMENTS),
        track=track.key,
        cause=cause,
        raw=raw,
        again=None,
    )
