"""`vigil preview`: the message that Vigil would send for an order. Decided by the same rules, and nothing is sent."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from activities.pas import pas_payer, requester
from activities.rules import line_keys
from connectors.fhir_order import OrderUnreadable, order_from_fhir
from connectors.pas.write import Message, Version
from connectors.pas.write import preview as written
from console.answers import require_pas
from console.errors import CommandFailed
from console.files import is_fhir, read_json
from console.policies import policies_in
from domain.case import Case, begin, record
from domain.facts import OrderReceived, PolicyPinned
from domain.order import Order
from domain.plan import settle
from domain.policy import PolicyError, slice_policy
from domain.policy_rules import Rail
from domain.rules.submission import request_of
from runtime.keys import load_keyring
from runtime.practices import Practice, load_practices
from runtime.settings import Settings

Json = dict[str, Any]


def preview_file(
    settings: Settings, file: str, *, rail: str, practice_id: str | None, message: Message, source: str, now: datetime
) -> list[Json]:
    """The messages that an order in a file would cause, one for each track that must be asked for by PAS.

    Raises:
        CommandFailed: the order cannot be read, or nothing would be sent, with the reason.
    """
    require_pas(rail)
    content = read_json(file)
    practice = _practice(settings, practice_id or content.get("practice"))
    order = _order(file, content, practice, source)
    policy = policies_in(settings.policies_dir).get(order.primary.payer)
    if policy is None:
        raise CommandFailed(f"No policy of {order.primary.payer} in {settings.policies_dir}: nothing would be sent.")
    first_day = min(line.service_from for line in order.lines)
    try:
        cut = slice_policy(policy, on=first_day, urgency=order.urgency, lines=line_keys(order))
    except PolicyError as error:
        raise CommandFailed(str(error)) from None
    channel = next((channel for channel in cut.channels if channel.rail is Rail.PAS), None)
    if channel is None:
        by = ", ".join(dict.fromkeys(channel.rail.value for channel in cut.channels))
        raise CommandFailed(f"{cut.name} is not asked by PAS but by {by}: people do it, and nothing would be sent.")
    version: Version = "2.0.1" if channel.version == "2.0.1" else "2.2.1"
    case = _case(settings, order, practice, now)
    pinned = PolicyPinned(occurred_at=now, by="vigil", source_id="preview", payer=cut.payer, policy=cut)
    case, _ = settle(record(case, pinned, now)[0], now)
    made = [
        written(
            request_of(case, case.tracks[key], 1, Rail.PAS.value, now),
            requester(practice),
            pas_payer(cut),
            version,
            message,
        )
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


def _order(file: str, content: Json, practice: Practice, source: str) -> Order:
    """The order in a file. Raises `CommandFailed` where it is none; names the fields, not their values."""
    if is_fhir(content):
        try:
            return order_from_fhir(content, practice.id, source)
        except OrderUnreadable as error:
            lacking = "\n".join(f"  {one.field}: {one.why} ({one.who.replace('_', ' ')})" for one in error.missing)
            raise CommandFailed(f"{file} is not a whole order. It lacks:\n{lacking}") from None
    try:
        return Order.model_validate({**content, "practice": practice.id})
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)]
        raise CommandFailed(f"{file} is not an order. Correct:\n" + "\n".join(lines)) from None


def _practice(settings: Settings, wanted: str | None) -> Practice:
    path = settings.practices_path
    if settings.practices_file is None and not path.exists():
        path = settings.policies_dir.parent / "examples" / "practices.yaml"
    practices = load_practices(path, settings.resolve_url)
    if wanted is None:
        return next(iter(practices.values()))
    if wanted not in practices:
        raise CommandFailed(f"{path} has no practice {wanted}. It has: {', '.join(practices)}.")
    return practices[wanted]


def _case(settings: Settings, order: Order, practice: Practice, now: datetime) -> Case:
    # The case's id is in the message. Where there are keys it is the real one; a look at a message makes no keys.
    keys_there = settings.keys is not None or settings.keys_path.exists()
    case_id = load_keyring(settings).case_id(practice.id, order.source, order.number) if keys_there else "case-preview"
    received = OrderReceived(
        occurred_at=order.ordered_at, by="vigil", source_id="preview-order", order=order, time_zone=practice.time_zone
    )
    return begin(case_id, received, now)
