"""`vigil preview`: the messages that Vigil would send for an order. Decided by the same rules, and nothing is sent."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from activities.rules import line_keys
from connectors.documents import Documents
from connectors.errors import ConnectorError
from connectors.fhir_order import OrderUnreadable, order_from_fhir
from console.errors import CommandFailed
from console.files import is_fhir, read_bytes, read_json
from console.messages import Around, Message, Shown, show
from console.policies import policies_in
from domain.case import Case, begin, record
from domain.decision import Number, NumberType
from domain.facts import OrderReceived, PolicyPinned
from domain.order import DocumentRef, Order
from domain.plan import settle
from domain.policy import Policy, PolicyError, PolicySlice, slice_policy
from domain.policy_rules import Rail, in_effect
from domain.request import Request
from domain.rules.submission import request_of
from runtime.keys import load_keyring
from runtime.practices import Practice, load_practices
from runtime.settings import Settings

Json = dict[str, Any]

WORDS = {Rail.PAS: "PAS", Rail.X12: "X12"}
"""How rails are written in a sentence, where not by their own name."""
_KIND = "office_note"
_MEDIA = {
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".txt": "text/plain",
    ".xml": "application/xml",
}


@dataclass(frozen=True)
class Wanted:
    """What is to be shown, of which order.

    `payer` is asked in place of the order's own; `prior` is the file with the order as it was sent; `documents` are files,
    each with or without its kind before it (`imaging_report=ct.pdf`); `numbers` are the payer's, as `certification=A1`.
    """

    rail: Rail
    message: Message = "request"
    practice: str | None = None
    payer: str | None = None
    prior: str | None = None
    documents: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    source: str = "fhir"


def preview_file(settings: Settings, file: str, wanted: Wanted, now: datetime) -> list[Shown]:
    """The messages that an order in a file would cause, one for each track that must be asked for.

    Raises:
        CommandFailed: the order cannot be read, or nothing would be sent, with the reason.
    """
    content = read_json(file)
    desk = _Desk(settings, practice_of(settings, wanted.practice or content.get("practice")), wanted, now)
    order = desk.order(file, content)
    policy = policies_in(settings.policies_dir).get(order.primary.payer)
    if policy is None:
        raise CommandFailed(f"No policy of {order.primary.payer} in {settings.policies_dir}: nothing would be sent.")
    cut = desk.rules(policy, order)
    requests = desk.requests(order, cut)
    if wanted.message == "update":
        requests = desk.updates(requests, policy)
    given = dict(map(_document, wanted.documents))
    if given:
        requests = [request.model_copy(update={"documents": tuple(given)}) for request in requests]
    contents = {ref.id: held for ref, held in given.items()} or desk.kept(requests)
    around = Around(desk.practice, cut, desk.numbers, contents, now)
    return [show(request, wanted.message, around) for request in requests]


def practice_of(settings: Settings, wanted: str | None) -> Practice:
    """A practice by its id, by default the first; of the examples where there is no practices file. Raises `CommandFailed`."""
    path = settings.practices_path
    if settings.practices_file is None and not path.exists():
        path = settings.policies_dir.parent / "examples" / "practices.yaml"
    practices = load_practices(path, settings.resolve_url)
    if wanted is None:
        return next(iter(practices.values()))
    if wanted not in practices:
        raise CommandFailed(f"{path} has no practice {wanted}. It has: {', '.join(practices)}.")
    return practices[wanted]


@dataclass(frozen=True)
class _Desk:
    """Where an order becomes requests, as a case would make them."""

    settings: Settings
    practice: Practice
    wanted: Wanted
    now: datetime

    @property
    def numbers(self) -> tuple[Number, ...]:
        """The payer's numbers that were named."""
        return tuple(map(_number, self.wanted.numbers))

    def order(self, file: str, content: Json) -> Order:
        """The order in a file. Raises `CommandFailed` where it is none; names the fields, not their values."""
        order = self._read(file, content)
        if self.wanted.payer is None:
            return order
        first = order.primary.model_copy(update={"payer": self.wanted.payer})
        others = tuple(one for one in order.coverages if one.rank != first.rank)
        return order.model_copy(update={"coverages": (first, *others)})

    def rules(self, policy: Policy, order: Order) -> PolicySlice:
        """What decides an order. Raises `CommandFailed` where the payer is not asked on the rail, and says how it is."""
        first_day = min(line.service_from for line in order.lines)
        try:
            cut = slice_policy(policy, on=first_day, urgency=order.urgency, lines=line_keys(order))
        except PolicyError as error:
            raise CommandFailed(str(error)) from None
        if all(channel.rail is not self.wanted.rail for channel in cut.channels):
            self._no_such_way(policy, cut, order, first_day)
        return cut

    def requests(self, order: Order, cut: PolicySlice) -> list[Request]:
        """The requests of an order, one for each track. Raises `CommandFailed` where nothing has to be asked for."""
        # A preview asks nobody: what the payer's own rules (CRD) would say first is left out, and ours decide.
        silent = tuple(channel.model_copy(update={"crd_url": None}) for channel in cut.channels)
        alone = cut.model_copy(update={"channels": silent})
        pinned = PolicyPinned(occurred_at=self.now, by="vigil", source_id="preview", payer=cut.payer, policy=alone)
        case, _ = settle(record(self._case(order), pinned, self.now)[0], self.now)
        made = [
            request_of(case, case.tracks[key], 1, self.wanted.rail.value, self.now)
            for key in sorted(case.tracks)
            if case.tracks[key].lines_required
        ]
        if not made:
            said = "; ".join(
                f"lines {', '.join(map(str, found.lines))}: {found.authorization} ({found.rule})"
                for found in cut.requirements
            )
            raise CommandFailed(f"Nothing would be sent. {said}.")
        return made

    def updates(self, requests: Iterable[Request], policy: Policy) -> list[Request]:
        """The requests as updates of those that the prior order caused. Raises `CommandFailed` where nothing has changed."""
        if self.wanted.prior is None:
            raise CommandFailed("An update changes what was sent: name the order as it was with --prior FILE.", code=2)
        before = self.order(self.wanted.prior, read_json(self.wanted.prior))
        sent = {request.track: request for request in self.requests(before, self.rules(policy, before))}
        changed = [one for one in requests if one.track in sent and one != sent[one.track]]
        if not changed:
            raise CommandFailed("Nothing would be sent: the two orders ask for the same, or for nothing alike.")
        return [
            one.model_copy(
                update={
                    "attempt": 2,
                    "trace": f"{one.trace.removesuffix('-1')}-2",
                    "prior": sent[one.track],
                    "prior_numbers": self.numbers,
                }
            )
            for one in changed
        ]

    def kept(self, requests: Iterable[Request]) -> Mapping[str, bytes]:
        """The contents of the requests' documents, as far as this machine keeps them. Makes neither keys nor a folder."""
        wanted = [ref for one in requests for version in one.versions for ref in version.documents]
        folder = self.settings.home_path / "documents"
        if not wanted or not self._has_keys or not (self.settings.documents_url or folder.exists()):
            return {}
        documents = Documents.at(self.settings.documents_url, folder, load_keyring(self.settings))

        async def fetch() -> dict[str, bytes]:
            found: dict[str, bytes] = {}
            for ref in wanted:
                try:
                    found[ref.id] = await documents.get(self.practice.id, ref.id)
                except ConnectorError:
                    # What is not here is shown as missing; the message itself says what that means for it.
                    continue
            return found

        return asyncio.run(fetch())

    def _read(self, file: str, content: Json) -> Order:
        if is_fhir(content):
            try:
                return order_from_fhir(content, self.practice.id, self.wanted.source)
            except OrderUnreadable as error:
                lacking = "\n".join(f"  {one.field}: {one.why} ({one.who.replace('_', ' ')})" for one in error.missing)
                raise CommandFailed(f"{file} is not a whole order. It lacks:\n{lacking}") from None
        try:
            return Order.model_validate({**content, "practice": self.practice.id})
        except ValidationError as error:
            lines = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
            raise CommandFailed(f"{file} is not an order. Correct:\n" + "\n".join(lines)) from None

    def _no_such_way(self, policy: Policy, cut: PolicySlice, order: Order, on: date) -> NoReturn:
        rail = WORDS.get(self.wanted.rail, self.wanted.rail.value)
        by = ", ".join(dict.fromkeys(channel.rail.value for channel in cut.channels))
        if any(channel.rail is self.wanted.rail for channel in in_effect(policy.channels, on)):
            raise CommandFailed(
                f"{cut.name} takes no {order.urgency} orders by {rail}, but by {by}. Nothing would be sent."
            )
        people = "" if any(channel.is_automatic for channel in cut.channels) else ": people do it"
        raise CommandFailed(
            f"{cut.name} is not asked by {rail} but by {by}{people}, and nothing would be sent. "
            "Name one of these with --rail, or another payer with --payer."
        )

    def _case(self, order: Order) -> Case:
        # The case's id is in the message. Where there are keys it is the real one; a look at a message makes no keys.
        case_id = "case-preview"
        if self._has_keys:
            case_id = load_keyring(self.settings).case_id(self.practice.id, order.source, order.number)
        received = OrderReceived(
            occurred_at=order.ordered_at,
            by="vigil",
            source_id="preview-order",
            order=order,
            time_zone=self.practice.time_zone,
        )
        return begin(case_id, received, self.now)

    @property
    def _has_keys(self) -> bool:
        return self.settings.keys is not None or self.settings.keys_path.exists()


def _number(named: str) -> Number:
    kind, _, value = named.partition("=")
    try:
        return Number(type=NumberType(kind), value=value)
    except ValueError:
        kinds = ", ".join(NumberType)
        raise CommandFailed(f"A number is written TYPE=VALUE, the type one of {kinds}.", code=2) from None


def _document(named: str) -> tuple[DocumentRef, bytes]:
    """A document from a file, with its content."""
    kind, _, file = named.rpartition("=")
    content = read_bytes(file)
    media_type = _MEDIA.get(Path(file).suffix.lower())
    if media_type is None:
        raise CommandFailed(f"{file} is none of the documents that go to payers: {', '.join(_MEDIA)}.", code=2)
    try:
        ref = DocumentRef(
            id=hashlib.sha256(content).hexdigest(), kind=kind or _KIND, media_type=media_type, size=len(content)
        )
    except ValidationError:
        raise CommandFailed(f"{kind} is no kind of document. Write it like imaging_report=ct.pdf.", code=2) from None
    return ref, content
