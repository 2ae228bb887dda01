"""The slice of a payer's released rules that decides an order."""

from datetime import date

from temporalio import activity

from activities.outside import guarded
from domain.actions import PinPolicy
from domain.facts import AnyFact, PolicyMissing, PolicyPinned
from domain.order import Order, Patient
from domain.policy import LineKey, PolicyError, slice_policy
from store.shelf import Shelf


class Rules:
    """Activities that look into the released rules."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    @activity.defn(name="pin_policy")
    @guarded
    async def pin_policy(self, action: PinPolicy) -> list[AnyFact]:
        """Take the slice that decides the order; a payer without rules in effect is a fact too."""
        order = action.order
        about = {"occurred_at": action.now, "by": "system:policies", "payer": action.payer_id}
        policy = self._shelf.get(action.payer_id)
        missing = PolicyMissing(**about, source_id=f"{action.key}/missing")
        if policy is None:
            return [missing]
        first_day = min(line.service_from for line in order.lines)
        try:
            cut = slice_policy(policy, on=first_day, urgency=order.urgency, lines=line_keys(order))
        except PolicyError as error:
            activity.logger.warning("policy of %s has no slice: %s", action.payer_id, len(error.problems))
            return [missing]
        return [PolicyPinned(**about, source_id=f"{action.key}/pinned", policy=cut)]


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
