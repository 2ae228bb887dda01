"""What proves that a request which a person sent reached the payer: evidence by the way it went, who said it, and when."""

from domain.facts import Receipt
from domain.policy_rules import Rail
from domain.results import Submitted

_MOST = 200


def lacking(form: Submitted, rail: str) -> str | None:
    """What a form still has to show, as a sentence; None where it proves the submission.

    A portal shows its reference number or a screenshot that is kept; a fax machine its report; a call its reference and
    who said it.
    """
    kind = form.receipt.kind
    match rail:
        case Rail.PORTAL if kind == "screenshot" and receipt_of(form).evidence is None:
            return "Attach the screenshot: send it to the case's documents and name it as evidence."
        case Rail.PORTAL if kind not in {"reference_number", "screenshot"}:
            return "A portal is proven by its reference number or a screenshot of its confirmation."
        case Rail.FAX if kind != "fax_report":
            return "A fax is proven by its report: number, pages and time."
        case Rail.PHONE if kind != "reference_number" or form.representative is None:
            return "A call is proven by its reference number and the representative's name."
    return None


def receipt_of(form: Submitted) -> Receipt:
    """The receipt of a form, with its first piece of evidence and who said it."""
    who = f"; said by {form.representative}" if form.representative else ""
    return form.receipt.model_copy(
        update={
            "reference": form.receipt.reference[: _MOST - len(who)] + who,
            "evidence": form.receipt.evidence or next(iter(form.evidence), None),
        }
    )
