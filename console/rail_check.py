"""`vigil rail check`: every way to a payer looked at, and what the payer's rules say of it held against what is found.

Nothing is sent about anybody, and nothing is made anywhere. The looks themselves are the rails' (`check` in `connectors/`).
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import uuid4
from zoneinfo import ZoneInfo

from pydantic import Field

from activities.crd import access_of
from activities.direct import DirectRail
from activities.fax import FaxRail
from activities.gateway import GatewayRail
from activities.outside import Outside
from activities.pas import PasRail, requester
from activities.x12_exchange import Carriers, payer_of
from connectors import delivery
from connectors.crd import check as crd
from connectors.crd.client import CrdClient
from connectors.dtr import check as dtr
from connectors.errors import ConnectorError, Refused
from connectors.gateway import check as gateway
from connectors.offer import Checked, LetIn, Offer, checked
from connectors.pas import capability as pas
from connectors.pas.client import PasClient
from connectors.pas.subscription import status_of
from connectors.x12 import connectivity as x12
from connectors.x12.envelope import Controls
from console.policies import find_policy
from console.preview import practice_of
from console.upkeep import database
from domain.base import Frozen, Instant
from domain.order import DocumentRef
from domain.policy import Policy
from domain.policy_rules import Ability, Channel, Rail, in_effect
from runtime.errors import MissingSecret, VigilRuntimeError
from runtime.practices import Practice
from runtime.settings import Settings
from store import channels as breakers
from store import subscriptions
from store.channels import ChannelState
from store.control_numbers import LAST_IN_TURN
from store.database import Database
from store.errors import StoreError

WITHIN = timedelta(seconds=15)
"""How long one look may take."""
_ABOVE = 99_999_999
"""Control numbers above those that are given in turn: what is only a look takes none of them."""


class Proof(StrEnum):
    """How well something is known that the payer's rules say."""

    PROVEN = "proven"
    ASSUMED = "assumed"
    OFF = "off"
    DENIED = "denied"


class Way(Frozen):
    """One way to the payer, or a service beside it, as it was found."""

    channel: str
    rail: Literal["pas", "x12", "gateway", "portal", "fax", "direct", "phone", "crd", "dtr"]
    carrier: str | None = None
    address: str | None = None
    automatic: bool
    reachable: bool | None = None
    milliseconds: int | None = None
    credentials: Literal["accepted", "refused", "unknown", "missing", "a person's own"] = "unknown"
    says: tuple[str, ...] = ()
    abilities: dict[str, Proof] = Field(default_factory=dict)
    differs: tuple[str, ...] = ()
    """Where the payer's rules and the other side disagree."""
    breaker: str | None = None
    subscription: str | None = None
    problem: str | None = None
    needs: tuple[str, ...] = ()
    """Of people's ways: what a person needs."""

    @property
    def ok(self) -> bool:
        """Whether nothing keeps it from being used."""
        return self.problem is None


class Found(Frozen):
    """All ways to a payer."""

    payer: str
    name: str
    practice: str
    at: Instant
    channels: tuple[Way, ...]

    @property
    def ok(self) -> bool:
        """Whether every automatic way works."""
        return all(way.ok for way in self.channels if way.automatic)


async def check_payer(settings: Settings, payer: str, practice_id: str | None, now: datetime) -> Found:
    """Look at every way to a payer that is in effect, all at once.

    Raises:
        CommandFailed: there is no such payer or practice.
    """
    policy, practice = find_policy(settings, payer), practice_of(settings, practice_id)
    async with AsyncExitStack() as held:
        outside = Outside(settings, {practice.id: practice}, _NoDocuments())
        held.push_async_callback(outside.aclose)
        db: Database | None = None
        try:
            db = await held.enter_async_context(database(settings))
            states: list[ChannelState] | None = await breakers.out_of_order(db, practice.id)
        except (VigilRuntimeError, StoreError):
            db, states = None, None  # shown as not known
        looks = _Looks(outside, policy, practice, now, db, states)
        ways = await asyncio.gather(*looks.all())
    return Found(payer=policy.payer, name=policy.name, practice=practice.id, at=now, channels=tuple(ways))


class _NoDocuments:
    """A look neither reads nor keeps documents."""

    async def put(
        self,
        practice: str,  # noqa: ARG002 - the port of a store
        content: bytes,  # noqa: ARG002
        kind: str,  # noqa: ARG002
        media_type: str,  # noqa: ARG002
        dated: date | None = None,  # noqa: ARG002
    ) -> DocumentRef:
        """Refuse."""
        raise Refused("a_look_keeps_nothing")

    async def get(self, practice: str, ref_id: str) -> bytes:  # noqa: ARG002 - the port of a store
        """Refuse."""
        raise Refused("a_look_reads_nothing")


class _Looks:
    """The looks at one payer for one practice."""

    def __init__(
        self,
        outside: Outside,
        policy: Policy,
        practice: Practice,
        now: datetime,
        db: Database | None,
        states: list[ChannelState] | None,
    ) -> None:
        self._outside, self._policy, self._practice, self._now = outside, policy, practice, now
        self._db, self._states = db, states

    def all(self) -> list[Coroutine[Any, Any, Way]]:
        """One look at each way, and at the services beside it."""
        looks: list[Coroutine[Any, Any, Way]] = []
        for channel in in_effect(self._policy.channels, self._now.date()):
            looks.append(self._automatic(channel) if channel.is_automatic else self._by_people(channel))
            looks += [self._service("crd", channel)] if channel.crd_url else []
            looks += [self._service("dtr", channel)] if channel.dtr_url else []
        return looks

    async def _automatic(self, channel: Channel) -> Way:
        seen = await self._seen(lambda: self._check(channel))
        version = seen.offer.version if seen.offer else None
        differs = [
            f"{each}: the rules use it, the other side does not take it" for each in _denied(channel, seen.offer)
        ]
        if channel.rail is Rail.PAS and version and channel.version and version != channel.version:
            differs.append(f"version: the rules say {channel.version}, the other side {version}")
        return Way(
            **self._head(channel, channel.base_url, seen),
            rail=channel.rail.value,
            abilities=_proofs(channel, seen.offer),
            differs=tuple(differs),
            breaker=self._breaker(channel),
            subscription=await self._subscription(channel) if channel.notification and seen.offer else None,
        )

    async def _service(self, rail: Literal["crd", "dtr"], channel: Channel) -> Way:
        url = (channel.crd_url if rail == "crd" else channel.dtr_url) or ""
        return Way(
            **self._head(channel, url, await self._seen(lambda: self._check_service(rail, channel, url))), rail=rail
        )

    async def _by_people(self, channel: Channel) -> Way:
        contacts = self._policy.contacts
        match channel.rail:
            case Rail.PORTAL:
                address = f"portal {contacts.portal}" if contacts.portal else None
                needs = [
                    "a user name of the portal, and its second factor; trouble with them is reported with the task"
                ]
            case Rail.FAX:
                address, needs = channel.receiver or contacts.fax, ["a fax machine that prints a report"]
            case _:
                address, needs = contacts.provider_services, [f"a call: {contacts.hours}"]
        if channel.packet:
            needs.append("a packet with " + ", ".join(kind.replace("_", " ") for kind in channel.packet))
        return Way(
            channel=channel.id,
            rail=channel.rail.value,
            carrier=channel.via,
            address=address,
            automatic=False,
            credentials="a person's own",
            needs=tuple(needs),
            problem=None if address else "The payer's rules do not say where to.",
        )

    def _check(self, channel: Channel) -> Awaitable[Offer]:
        outside, practice = self._outside, self._practice
        match channel.rail:
            case Rail.PAS:
                return pas.check(self._pas(channel))
            case Rail.GATEWAY:
                return gateway.check(GatewayRail(outside).client(practice.id, channel), channel.payer_code or "")
            case Rail.FAX:
                return delivery.check(FaxRail(outside).carrier(practice, channel), _reference())
            case Rail.DIRECT:
                return delivery.check(DirectRail(outside).carrier(practice, channel), _reference())
        number = LAST_IN_TURN + 1 + secrets.randbelow(_ABOVE)
        return x12.check(
            Carriers(outside).client(practice, channel, channel.base_url or ""),
            requester(practice),
            payer_of(self._policy.name, channel),
            Controls(interchange=number, group=number, transaction=number),
            self._now,
        )

    def _check_service(self, rail: Literal["crd", "dtr"], channel: Channel, url: str) -> Awaitable[Offer]:
        access = access_of(self._outside, self._practice.id, self._policy.payer, channel)
        at = self._outside.settings.resolve_url(url)
        return crd.check(CrdClient(access, at)) if rail == "crd" else dtr.check(access, at, WITHIN)

    def _pas(self, channel: Channel) -> PasClient:
        return PasRail(self._outside).client(self._practice.id, self._policy.payer, channel)

    async def _seen(self, check: Callable[[], Awaitable[Offer]]) -> "_Seen":
        try:
            return _Seen(await checked(check, WITHIN))
        except MissingSecret as error:
            return _Seen(None, str(error), "missing")
        except VigilRuntimeError as error:
            return _Seen(None, str(error))

    def _head(self, channel: Channel, url: str | None, seen: "_Seen") -> dict[str, Any]:
        address = url or ""
        with suppress(VigilRuntimeError):  # the look itself says what is wrong with it
            address = self._outside.settings.resolve_url(address)
        resting = channel.down_until(self._now, ZoneInfo(self._policy.time_zone))
        says = seen.offer.says if seen.offer else ()
        return {
            "channel": channel.id,
            "carrier": channel.via,
            "address": address,
            "automatic": True,
            "reachable": seen.checked.reachable if seen.checked else None,
            "milliseconds": seen.checked.milliseconds if seen.checked else None,
            "credentials": seen.credentials,
            "says": (*says, *((f"in maintenance until {resting:%Y-%m-%d %H:%M} UTC",) if resting else ())),
            "problem": seen.problem,
        }

    def _breaker(self, channel: Channel) -> str:
        if channel.breaker is None:
            return "none"
        if self._states is None:
            return "not known: PostgreSQL is away"
        key = (self._policy.payer, channel.rail.value)
        state = next((one for one in self._states if (one.payer, one.rail) == key), None)
        if state is None:
            return "closed"
        if state.open_until is not None and state.open_until > self._now:
            return f"open until {state.open_until:%Y-%m-%d %H:%M} UTC ({state.failures} failures, {state.error})"
        return f"{'half open' if state.open_until else 'closed'} ({state.failures} failures, {state.error})"

    async def _subscription(self, channel: Channel) -> str:
        """How the practice's subscription stands: by what is known here, and then by the payer's word."""
        try:
            held = await subscriptions.known(self._db, self._practice.id, self._policy.payer) if self._db else None
        except StoreError:
            held = None
        if self._db is None:
            return "not known: PostgreSQL is away"
        if held is None or held.reference is None:
            return (
                "none yet" if self._outside.settings.public_url else "none: VIGIL_PUBLIC_URL is not set, so Vigil asks"
            )
        try:
            said = await status_of(self._pas(channel), held.reference)
        except ConnectorError as error:
            return f"not known: {error.code}"
        return said or "gone at the payer; it is made anew at the next look"


class _Seen:
    """How a look ended, also where it could not begin."""

    def __init__(
        self, checked_: Checked | None, why: str | None = None, credentials: Literal["missing", "unknown"] = "unknown"
    ) -> None:
        self.checked = checked_
        self.offer = checked_.offer if checked_ else None
        self.credentials = checked_.credentials.value if checked_ else credentials
        self.problem = why if checked_ is None else _problem(checked_)


def _problem(seen: Checked) -> str | None:
    if seen.offer is not None:
        return None
    if not seen.reachable:
        return f"It is out of reach ({seen.error})."
    if seen.credentials is LetIn.REFUSED:
        return f"It does not let the practice in ({seen.error}). Correct the secret, or ask for access."
    return f"It answers, and cannot be used ({seen.error})."


def _proofs(channel: Channel, offer: Offer | None) -> dict[str, Proof]:
    denied = _denied(channel, offer)
    offered = offer.offers if offer else frozenset()
    return {
        ability.value: Proof.OFF
        if ability not in channel.can
        else Proof.DENIED
        if ability in denied
        else Proof.PROVEN
        if ability in offered
        else Proof.ASSUMED
        for ability in Ability
    }


def _denied(channel: Channel, offer: Offer | None) -> list[Ability]:
    return [ability for ability in channel.can if offer is not None and ability in offer.lacks]


def _reference() -> str:
    """A reference that nothing has."""
    return f"look-{uuid4()}"
