"""Write what a practice asks of a payer: request, update, cancel and inquiry Bundles, and documents sent afterwards.

Deterministic: ids are made from the request's trace and times are the request's, so the same request is the same bytes
however often it is sent. Everything that the practice knows of the must-support elements goes along.
Source: PAS 2.2.1 and 2.0.1, `profile-pas-request-bundle`, `-inquiry-request-bundle`, `profile-claim`, `-claim-update`,
`-claim-inquiry`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors.lenient import Json
from connectors.pas.claim import Version, Writer
from connectors.pas.elements import extension, numbered, service
from connectors.pas.identity import cancel_trace, entry_id, full_url, line_trace
from connectors.pas.parties import PasPayer, concept, resource
from connectors.pas.update import cancelled, related, revised
from connectors.pas.words import HL7
from connectors.requester import Requester
from domain.decision import Number
from domain.request import Request

_REQUEST = "profile-pas-request-bundle"


def submit_bundle(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    version: Version,
    contents: Mapping[str, bytes] | None = None,
) -> Json:
    """Return the Bundle that asks for a request's lines, whatever was asked before.

    `contents` are its documents by id. Without them (None) it is written without documents.

    Raises:
        Refused: the content of one of the documents is not there, or an answered form is none.
    """
    writer = Writer(request, practice, payer, version, contents)
    return _bundle(writer, {full_url(request.trace, "claim"): writer.claim()}, request.trace)


def update_bundle(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    version: Version,
    contents: Mapping[str, bytes] | None = None,
) -> Json:
    """Return the Bundle by which a request takes the place of its `prior`; `contents` hold the documents of all versions.

    Raises:
        ValueError: the request has no `prior`.
        Refused: the content of one of the documents is not there, or an answered form is none.
    """
    prior = request.prior
    if prior is None:
        raise ValueError("an update needs the request that it takes the place of")
    sent = _sent(request, practice, payer, version, contents)
    return _changing(sent.writer, {full_url(request.trace, "claim"): sent.claim}, prior, sent.before, request.trace)


def cancel_bundle(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    version: Version,
    numbers: tuple[Number, ...] = (),
    contents: Mapping[str, bytes] | None = None,
) -> Json:
    """Return the Bundle that cancels a whole request: an update of it, with the prior Claim, every item cancelled.

    With the `contents` that it and those before it were sent with, the prior Claim is what was sent.
    """
    sent = _sent(request, practice, payer, version, contents)
    writer, trace = sent.writer, cancel_trace(request.trace)
    claim = cancelled(sent.claim, numbers, is_2_2=writer.is_2_2)
    claim |= {"identifier": [writer.identifier(trace)], "related": related({"identifier": sent.claim["identifier"][0]})}
    return _changing(writer, {full_url(request.trace, "cancel"): claim}, request, sent.claim, trace)


def inquiry_bundle(
    request: Request,
    practice: Requester,
    payer: PasPayer,
    version: Version,
    numbers: tuple[Number, ...] = (),
) -> Json:
    """Return the Bundle that asks how a request stands: by the payer's numbers where there are any, else by services.

    PAS has no query by our trace: what comes back is matched to it afterwards. Dates, units and providers are left out:
    a query by example would miss what was asked for before they changed.
    """
    writer = Writer(request, practice, payer, version, None)
    named = numbered(numbers)
    # The identifier is the inquiry's own; made from what it asks, so that asking the same again is the same message.
    asked = entry_id(request.trace, "inquiry " + " ".join(e["valueString"] for e in named))
    items: list[Json] = []
    if named and not writer.is_2_2:
        nothing = concept(f"{HL7}data-absent-reason", "not-applicable")
        items = [{"extension": [*writer.kind("I"), *named], "sequence": 1, "productOrService": nothing}]
    elif not named:
        for line in request.service_lines:
            trace = extension("itemTraceNumber", valueIdentifier=writer.identifier(line_trace(request, line.number)))
            kind = [*writer.kind("I"), trace]
            items.append({"extension": kind, "sequence": line.number, "productOrService": service(line)})
    claim = resource(
        "Claim",
        "profile-claim-inquiry",
        extension=named if writer.is_2_2 else None,
        identifier=[writer.identifier(asked)],
        **writer.head(),
        insurance=writer.insurance(),
        item=items,
    )
    return _bundle(writer, {full_url(request.trace, "inquiry"): claim}, asked, "profile-pas-inquiry-request-bundle")


@dataclass(frozen=True)
class _Sent:
    """The Claim of a request as it is sent, with the one that it takes the place of (empty where there is none)."""

    writer: Writer
    claim: Json
    before: Json
    documents: dict[str, int]
    """The sequences of its documents by id."""


def _sent(
    request: Request, practice: Requester, payer: PasPayer, version: Version, contents: Mapping[str, bytes] | None
) -> _Sent:
    now = [ref.id for ref in request.documents] if contents is not None else []
    if request.prior is None:
        writer = Writer(request, practice, payer, version, contents)
        return _Sent(writer, writer.claim(), {}, {document: place for place, document in enumerate(now, start=1)})
    earlier = _sent(request.prior, practice, payer, version, contents)
    writer = Writer(request, practice, payer, version, contents, earlier.writer)
    claim, documents = revised(
        writer.claim(), earlier.claim, now, earlier.documents, request.prior_numbers, is_2_2=writer.is_2_2
    )
    writer.entries = {**earlier.writer.entries, **writer.entries}
    # By its identifier: what the prior Claim took the place of must not stand in the Bundle (spec-66).
    claim |= {"related": related({"identifier": writer.identifier(request.prior.trace)})}
    return _Sent(writer, claim, earlier.claim, documents)


def _changing(writer: Writer, claims: dict[str, Json], prior: Request, before: Json, identifier: str) -> Json:
    """The Bundle of a Claim that changes another, which stands in it as it was sent (`before`).

    PAS 2.0.1 has one Claim in a Bundle: there the prior one is only named.
    """
    if writer.is_2_2:
        prior_url = full_url(prior.trace, "claim")
        named = related({"reference": prior_url})
        claims = {url: claim | {"related": named} for url, claim in claims.items()} | {prior_url: before}
    return _bundle(writer, claims, identifier)


def _bundle(writer: Writer, claims: dict[str, Json], identifier: str, profile: str = _REQUEST) -> Json:
    """The Bundle of Claims, the new one first, with all that they refer to and nothing else."""
    first, *others = claims
    entries = {first: claims[first], **writer.entries, **{url: claims[url] for url in others}}
    needed: set[str] = set()
    waiting = list(claims)
    while waiting:
        url = waiting.pop()
        if url not in needed:
            needed.add(url)
            waiting += [named for named in _references(entries[url]) if named in entries]
    writer.entries = {url: made for url, made in entries.items() if url in needed}
    return writer.bundle(profile, identifier)


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        literal = value.get("reference")
        if isinstance(literal, str):
            yield literal
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
