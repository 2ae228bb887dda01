"""The payer's desk: takes requests, updates and cancels, knows duplicates, and answers inquiries.

Stands between the wire (`payers.py`) and the decision (`pas_decide.py`); holds no state of its own.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sandbox import desk, pas_decide, pas_response
from sandbox.asked import Asked
from sandbox.pas_check import Issues, claim_key, is_cancel, member_id, requestor_npi
from sandbox.pas_read import read_bundle
from sandbox.pas_update import compare, same
from sandbox.pas_words import BundleIndex, codings, dicts, extension, extension_text, identifier_key, reference_of
from sandbox.payer_table import PayerProfile
from sandbox.records import Json, LineDecision, Notification, Practice, PriorRequest, Revision
from sandbox.world import World

NUMBER_NAMES = ("authorizationNumber", "administrationReferenceNumber")
SCENARIO_DIGITS = 3


@dataclass(frozen=True)
class Submission:
    """A checked request Bundle with what the desk reads off it."""

    bundle: Json
    claim: Json
    prior: Json
    """The Claim of the Bundle that it takes the place of; empty where there is none."""
    key: str
    bundle_key: str
    digest: str
    member: str
    npi: str
    asked: Asked

    @property
    def scenario(self) -> str:
        """The last three digits of the member id."""
        digits = "".join(letter for letter in self.member if letter.isdigit())
        return digits[-SCENARIO_DIGITS:]


@dataclass(frozen=True)
class Taken:
    """What the desk answers: a Bundle, or a refusal with a sentence."""

    effect: Literal["created", "duplicate", "duplicate_service", "updated", "cancelled", "refused"]
    bundle: Json | None
    refusal: str = ""


def read_submission(bundle: Json, *, inquiry: bool = False) -> Submission:
    """Read a Bundle that has passed `check_bundle`."""
    index = BundleIndex(bundle)
    url = str(index.entries[0]["fullUrl"])
    claim: Json = index.entries[0]["resource"]
    return Submission(
        bundle=bundle,
        claim=claim,
        prior=index.resource(reference_of(_related(claim)), url) or {},
        key=claim_key(claim),
        bundle_key=identifier_key(bundle["identifier"]),
        digest=hashlib.sha256(json.dumps(bundle, sort_keys=True).encode()).hexdigest(),
        member=member_id(index, claim, url),
        npi=requestor_npi(index, claim, url),
        asked=read_bundle(bundle, inquiry=inquiry),
    )


def submit(world: World, practice: Practice, payer: PayerProfile, submission: Submission) -> Taken:
    """Take a request, an update, a cancel or a resend."""
    now = world.now(practice)
    same = _held(practice, payer, submission.key)
    if same is not None and submission.digest == same.digest:
        same.duplicate_submits += 1
        practice.duplicate_submits += 1
        return Taken("duplicate", pas_response.response_bundle(same, same.revisions[0], payer))
    if is_cancel(submission.claim) or dicts(submission.claim.get("related")):
        return _change(world, practice, payer, submission, now)
    if same is not None:
        practice.duplicate_submits += 1
        return Taken("refused", None, "This Claim.identifier was used for another request.")
    if desk.on_file(practice, payer, submission.asked, now):
        practice.duplicate_submits += 1
        revision = pas_decide.duplicate(pas_decide.Request(submission.claim, "", now, payer))
        refused = _new(submission, payer, "", now, [revision])
        return Taken("duplicate_service", pas_response.response_bundle(refused, revision, payer))
    count = world.next_number()
    request = pas_decide.Request(submission.claim, payer.certification_number(count), now, payer)
    revisions = pas_decide.decide(submission.scenario, request)
    held = _new(submission, payer, payer.reference_number(count), now, revisions)
    practice.requests.append(held)
    announce(practice, held, held.revisions)
    return Taken("created", pas_response.response_bundle(held, held.revisions[0], payer))


def _new(
    submission: Submission, payer: PayerProfile, reference: str, now: datetime, revisions: list[Revision]
) -> PriorRequest:
    return PriorRequest(
        payer=payer.id,
        claim_identifier=submission.key,
        bundle_identifier=submission.bundle_key,
        digest=submission.digest,
        member_id=submission.member,
        requestor_npi=submission.npi,
        scenario=submission.scenario,
        service_key=submission.asked.service_key,
        received_at=now,
        administrative_number=reference,
        bundle=submission.bundle,
        revisions=revisions,
        versions=[submission.bundle_key],
    )


def _held(practice: Practice, payer: PayerProfile, key: str) -> PriorRequest | None:
    """The request of that trace number: the one that it was taken in under, or the one of its latest update."""
    for held in practice.requests:
        if held.payer == payer.id and key in (held.claim_identifier, claim_key(held.bundle["entry"][0]["resource"])):
            return held
    return None


def _change(world: World, practice: Practice, payer: PayerProfile, submission: Submission, now: datetime) -> Taken:
    """An update or a cancel of a request that the payer holds, found by the prior Claim, its numbers or the trace."""
    held = _prior(practice, payer, submission)
    if held is None:
        return Taken("refused", None, "The request that is to be changed is not known.")
    state = held.at(now)
    if state.errors or all(line.action == "A3" for line in state.lines):
        return Taken("refused", None, "A denied or rejected request cannot be changed: send a new one.")
    if submission.bundle_key in held.versions:
        held.duplicate_submits += 1
        practice.duplicate_submits += 1
        return Taken("duplicate", pas_response.response_bundle(held, state, payer))
    if submission.scenario == "420" and not is_cancel(submission.claim):
        revision = pas_decide.no_updates(pas_decide.Request(submission.claim, "", now, payer))
        refused = _new(submission, payer, "", now, [revision])
        return Taken("refused", pas_response.response_bundle(refused, revision, payer))
    known: Json = held.bundle["entry"][0]["resource"]
    if not same(submission.prior or known, known):
        return Taken("refused", None, "The prior Claim is not as it was sent.")
    issues = Issues()
    compare(issues, submission.claim, known)
    if issues.found:
        return Taken("refused", None, issues.found[0][1])
    held.versions.append(submission.bundle_key)
    if is_cancel(submission.claim):
        revision = pas_decide.cancelled(state, now)
        held.revisions = [*_until(held, now), revision]
        return Taken("cancelled", pas_response.response_bundle(held, revision, payer))
    held.bundle = submission.bundle
    held.service_key = submission.asked.service_key
    number = payer.certification_number(world.next_number())
    request = pas_decide.Request(pas_response.wanted(submission.claim), number, now, payer)
    informed = state.asks_for is not None and _brings_something(submission.claim)
    scenario = submission.scenario
    fresh = pas_decide.answer_information(request) if informed else pas_decide.decide(scenario, request)
    gone = pas_response.withdrawn(submission.claim)
    for revision in fresh:
        revision.lines += [LineDecision(sequence=sequence, action="C") for sequence in gone]
    held.revisions = [*_until(held, now), *fresh]
    announce(practice, held, fresh)
    return Taken("updated", pas_response.response_bundle(held, fresh[0], payer))


def _brings_something(claim: Json) -> bool:
    """Whether an update brings information that was not there before."""
    return any(
        (extension(info, "infoChanged") or {}).get("valueCode") == "added"
        for info in dicts(claim.get("supportingInfo"))
    )


def _until(held: PriorRequest, now: datetime) -> list[Revision]:
    """What has already happened; the planned rest is dropped."""
    return [revision for revision in held.revisions if revision.at <= now]


def _prior(practice: Practice, payer: PayerProfile, submission: Submission) -> PriorRequest | None:
    named = identifier_key(_related(submission.claim).get("identifier"))
    for key in (claim_key(submission.prior), named, submission.key):
        held = _held(practice, payer, key)
        if held is not None and held.member_id == submission.member:
            return held
    numbers = _numbers(submission.claim)
    return next((held for held in practice.requests if held.payer == payer.id and numbers & _given(held)), None)


def _related(claim: Json) -> Json:
    """How a Claim names the one that it takes the place of; empty where it names none."""
    named = next(iter(dicts(claim.get("related"))), {}).get("claim")
    return named if isinstance(named, dict) else {}


def _numbers(claim: Json) -> set[str]:
    """Authorization and administrative numbers that a Claim names, on itself or on its items."""
    elements = [claim, *dicts(claim.get("item"))]
    return {extension_text(element, name) for element in elements for name in NUMBER_NAMES} - {""}


def _given(held: PriorRequest) -> set[str]:
    """Numbers by which the payer knows a request."""
    numbers = {line.number for revision in held.revisions for line in revision.lines if line.number is not None}
    return numbers | {held.administrative_number}


def inform(world: World, practice: Practice, payer: PayerProfile, number: str, member: str) -> bool:
    """Attach documents to the member's pended request of that number. False when nothing waits for them."""
    now = world.now(practice)
    for held in practice.requests:
        state = held.at(now)
        names = {held.administrative_number, f"ACN-{held.administrative_number}"}
        mine = (held.payer, held.member_id) == (payer.id, member)
        if mine and number in names and state.asks_for is not None:
            claim = pas_response.wanted(held.bundle["entry"][0]["resource"])
            authorization = payer.certification_number(world.next_number())
            fresh = pas_decide.answer_information(pas_decide.Request(claim, authorization, now, payer))
            held.revisions = [*_until(held, now), *fresh]
            announce(practice, held, fresh)
            return True
    return False


def announce(practice: Practice, held: PriorRequest, revisions: list[Revision]) -> None:
    """Plan the notifications of what is to come; what was planned for this request before is dropped."""
    practice.notifications = [
        entry
        for entry in practice.notifications
        if entry.state != "due" or (entry.payer, entry.claim_identifier) != (held.payer, held.claim_identifier)
    ]
    due = [revision for revision in revisions if revision.notify]
    plan = [(revision.at, revision.at) for revision in due]
    if held.scenario == "800" and len(due) > 1:
        last = due[-1].at
        plan = [(last, last), (last, due[0].at), (last, last)]
    for when, as_of in plan:
        serial = len(practice.notifications) + 1
        practice.notifications.append(
            Notification(
                id=f"{held.administrative_number}-{serial}",
                payer=held.payer,
                claim_identifier=held.claim_identifier,
                due=when,
                as_of=as_of,
                state="lost" if held.scenario == "201" else "due",
            )
        )


def inquire(world: World, practice: Practice, payer: PayerProfile, inquiry: Submission) -> list[Json]:
    """The current answers to what the inquiry describes: same patient, same requestor, and its services or numbers.

    A rejected request is not found: the payer never took it in.
    """
    now = world.now(practice)
    lag = timedelta(seconds=practice.settings.index_lag_seconds)
    numbers = _numbers(inquiry.claim)
    services = _services(inquiry.claim)
    found: list[Json] = []
    for held in practice.requests:
        mine = (held.payer, held.member_id, held.requestor_npi) == (payer.id, inquiry.member, inquiry.npi)
        if not mine or held.at(now).errors or held.received_at + lag > now:
            continue
        if numbers and not numbers & _given(held):
            continue
        if services and not services & _services(held.bundle["entry"][0]["resource"]):
            continue
        found.append(pas_response.response_bundle(held, held.at(now), payer, inquiry=True))
    return found


def _services(claim: Json) -> set[str]:
    """The service codes of a Claim; none when it says that the service is not applicable."""
    codes = {
        str(coding.get("code", ""))
        for item in dicts(claim.get("item"))
        for coding in codings(item.get("productOrService"))
    }
    return codes - {"", "not-applicable"}
