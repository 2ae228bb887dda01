"""What the watchman tells operators: each alert in words, with what to do first. The runbook has a page on each kind."""

from datetime import timedelta

from store.alerts import Alert

OVERDUE, STUCK, RESTORED, UNRESTORABLE, DATABASE_AWAY, ARCHIVE_LAG, ROUND_MISSING, ORDER_WITHOUT_CASE = (
    "overdue",
    "stuck",
    "restored",
    "unrestorable",
    "database_away",
    "archive_lag",
    "round_missing",
    "order_without_case",
)


def overdue(practice: str, case_id: str, round_: timedelta) -> Alert:
    """A case that did not look again although it was woken."""
    return Alert(
        key=f"{OVERDUE}/{case_id}",
        kind=OVERDUE,
        practice=practice,
        subject=case_id,
        sentence="A case should have looked again by now, was woken, and still has not.",
        remedy="See that a worker runs, then open the case in the Temporal Web UI and read its last failure.",
        # Only what the next round finds again: the first one wakes it.
        patience=round_ - timedelta(seconds=30),
    )


def stuck(practice: str | None, workflow_id: str, workflow_type: str) -> Alert:
    """A workflow whose tasks keep failing."""
    return Alert(
        key=f"{STUCK}/{workflow_id}",
        kind=STUCK,
        practice=practice,
        subject=workflow_id,
        sentence=f"A workflow of type {workflow_type} cannot go on: its tasks fail again and again.",
        remedy="Read the failure in the Temporal Web UI. Mend the code and start the workers anew; nothing is lost.",
    )


def restored(practice: str, case_id: str, n: int) -> Alert:
    """A case that Temporal had lost."""
    return Alert(
        key=f"{RESTORED}/{case_id}/{n}",
        kind=RESTORED,
        practice=practice,
        subject=case_id,
        sentence=f"Temporal had lost an open case. It was started anew from the {n} facts that were kept.",
        remedy="Find out why: a restore from an older copy, a lost database, a workflow that somebody ended. "
        "Compare the case with the payer where a request was under way.",
        lasting=True,
    )


def unrestorable(practice: str, case_id: str, error: str) -> Alert:
    """A lost case that could not be started anew."""
    return Alert(
        key=f"{UNRESTORABLE}/{case_id}",
        kind=UNRESTORABLE,
        practice=practice,
        subject=case_id,
        sentence=f"Temporal has lost an open case, and it could not be started anew from the archive ({error}).",
        remedy="Restore the missing key or the archive from its backup. Until then work the order by hand.",
    )


def database_away() -> Alert:
    """PostgreSQL cannot be reached."""
    return Alert(
        key=DATABASE_AWAY,
        kind=DATABASE_AWAY,
        sentence="PostgreSQL cannot be reached. Cases go on; worklists and search do not answer.",
        remedy="Start PostgreSQL, or mend the way to it.",
    )


def archive_lag() -> Alert:
    """Cases hold facts that the archive does not have for too long."""
    return Alert(
        key=ARCHIVE_LAG,
        kind=ARCHIVE_LAG,
        sentence="Facts of open cases have not reached the archive for more than a quarter of an hour.",
        remedy="Look for failing `publish` activities in the Temporal Web UI; the failure says what PostgreSQL refused.",
    )


def round_missing(practice: str, name: str, limit: timedelta, *, seen: bool) -> Alert:
    """A sweep or comparison that has not come to its end for too long."""
    return Alert(
        key=f"{ROUND_MISSING}/{name}",
        kind=ROUND_MISSING,
        practice=practice,
        subject=name,
        sentence=f"The {name} of the practice's orders has not come to its end for {limit}.",
        remedy="Read the failure of its latest run in the Temporal Web UI: credentials, grants, or the record is away.",
        patience=timedelta() if seen else limit,
    )


def order_without_case(practice: str, case_id: str, number: str, *, opened: bool) -> Alert:
    """An open order of the record that the nightly comparison found without a case."""
    return Alert(
        key=f"{ORDER_WITHOUT_CASE}/{case_id}",
        kind=ORDER_WITHOUT_CASE,
        practice=practice,
        subject=case_id,
        sentence=f"Order {number[:80]} had no case when orders and cases were compared."
        + (" A case was opened then." if opened else " None could be opened."),
        remedy="Find out why the sweep had missed it; check that the visit is not at risk."
        if opened
        else "Complete the order in the record, or enter it by hand.",
        lasting=True,
    )
