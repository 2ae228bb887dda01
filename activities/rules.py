"""The slice of a payer's released rules that decides an order."""

from datetime import date

from domain.actions import PinPolicy
from domain.facts import Fact, HousePinned, PolicyMissing, PolicyPinned
from domain.order import Order, Patient
from domain.policy import LineKey, PolicyError, slice_policy
from runtime.logs import get_logger
from store.shelf import Shelf

log = get_logger(__name__)


def pin(shelf: Shelf, action: PinPolicy) -> tuple[Fact, ...]:
    """Take the slice that decides the order, with the house's rules beside the first payer's.

    A payer without rules in effect is a fact too.
    """
    pinned = _payers(shelf, action)
    if shelf.house is None or action.payer_id != action.order.primary.payer:
        return (pinned,)
    source = f"{action.key}/house"
    house = HousePinned(occurred_at=action.now, by="system:policies", source_id=source, house=shelf.house)
    return house, pinned


def _payers(shelf: Shelf, action: PinPolicy) -> PolicyPinned | PolicyMissing:
    order, policy = action.order, shelf.get(action.payer_id)
    missing = PolicyMissing(
        occurred_at=action.now, by="system:policies", source_id=f"{action.key}/missing", payer=action.payer_id
    )
    if policy is None:
        return missing
    first_day = min(line.service_from for line in order.lines)
    try:
        cut = slice_policy(policy, on=first_day, urgency=order.urgency, lines=line_keys(order))
    except PolicyError as error:
        log.warning("a policy has no slice for an order", payer=action.payer_id, count=len(error.problems))
        return missing
    return PolicyPinned(
        occurred_at=action.now,
        by="system:policies",
        source_id=f"{action.key}/pinned",
        payer=action.payer_id,
        policy=cut,
    )


def line_keys(order: Order) -> tuple[LineKey, ...]:
    """What of each line decides which rule speaks of it."""
    state = order.facility.address.state if order.facility else None
    return tuple(
        LineKey(
            number=line.number,
            code=line.code,
            category=None if line.category == "other" else line.category.value,
            place_of_service=line.place_of_service,
            diagnoses=order.diagnoses,
            patient_age=age_on(order.patient, line.service_from),
            state=state,
        )
        for line in order.lines
    )


def age_on(patient: Patient, day: date) -> int:
    """The patient's age on a day, in whole years."""
    born = patient.birth_date
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
