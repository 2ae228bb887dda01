"""What a payer's answer becomes that says more than a fact may hold."""

from datetime import date

from activities.told import Told
from connectors.pas.identity import ours
from connectors.raw import RawAnswer
from domain.decision import AnswerError, Decision, Result
from domain.facts import MAX_FACT_BYTES, RequestRejected, write_fact
from domain.order import DocumentRef
from tests.test_gate import inquiry


class NoDocuments:
    """Nothing is kept: the answers are empty."""

    async def put(
        self, practice: str, content: bytes, kind: str, media_type: str, dated: date | None = None
    ) -> DocumentRef:
        raise AssertionError("an empty answer is not kept")

    async def get(self, practice: str, ref_id: str) -> bytes:
        raise AssertionError("nothing is read")


async def test_a_rejection_with_more_words_than_a_fact_holds_keeps_its_codes_and_is_cut_short() -> None:
    action = inquiry("lakeside")
    long = tuple(AnswerError(code=str(n), text="ä" * 900, where="é" * 300, remedy="Correct it.") for n in range(10))
    told = Told(action, NoDocuments(), ours(action.request))
    (fact,) = await told.rejected(Decision(result=Result.REJECTED, errors=long), RawAnswer(status=422, body=b""))
    assert isinstance(fact, RequestRejected)
    assert [error.code for error in fact.errors] == ["0", "1", "2", "3", "4"]
    assert len(write_fact(fact)) <= MAX_FACT_BYTES
    assert all(error.remedy == "Correct it." for error in fact.errors)
