"""An order that changes twice: the second update knows both requests that it takes the place of, as they were sent."""

from datetime import timedelta

from domain.actions import SubmitRequest
from domain.facts import OrderChanged
from domain.results import read_result
from domain.work import complete
from tests.builders import CASE_ID, MONDAY, Hands, answered, covered, order, pinned, said, task, with_facts
from tests.test_domain_saga import TRACK, changed, choose, sent_by

TUESDAY = MONDAY + timedelta(days=1)


def test_an_update_of_an_update_names_all_before_it_as_they_were_sent() -> None:
    case, opened, _ = changed()
    hands = Hands(choose(case, opened, "update"))
    hands.turn()
    (sent,) = (action for action in hands.begun if isinstance(action, SubmitRequest))
    second = f"{CASE_ID}-{TRACK}-2"
    proof = sent_by("pas", attempt=2, source_id="two", trace=second)
    hands.end("submit_request", proof, answered("pended", attempt=2))
    hands.turn(TUESDAY)
    other = order().model_copy(update={"diagnoses": ("M54.18",)})
    late = said(OrderChanged, "changed again", TUESDAY, order=other)
    again = pinned(other).model_copy(update={"source_id": "again 2"})
    hands = Hands(with_facts(hands.case, [late, again, covered().model_copy(update={"source_id": "c3"})], TUESDAY))
    hands.turn(TUESDAY)
    form = read_result({"result": "update", "reason": "The diagnosis changed again."})
    review = task(hands.case, "review").task
    facts = complete(hands.case, review, form, by="person:ines", now=TUESDAY, source_id="by-update-2")
    hands = Hands(with_facts(hands.case, facts, TUESDAY))
    hands.turn(TUESDAY)
    (action,) = (action for action in hands.begun if isinstance(action, SubmitRequest))
    third = action.request
    assert [one.trace for one in third.versions] == [f"{CASE_ID}-{TRACK}-{attempt}" for attempt in (3, 2, 1)]
    assert [one.order.diagnoses[0] for one in third.versions] == ["M54.18", "M54.17", order().diagnoses[0]]
    assert third.prior == sent.request
