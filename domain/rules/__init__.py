"""The duties of the job, one file each. A new rule is one file and one line here."""

from domain.rules.access import access
from domain.rules.asking import Rule
from domain.rules.cancellation import cancellation, superseded
from domain.rules.chart import chart
from domain.rules.coverage import coverage
from domain.rules.decision import decision
from domain.rules.documents import documents
from domain.rules.follow_up import follow_up
from domain.rules.patient import patient
from domain.rules.payer_says import payer_says
from domain.rules.questionnaire import questionnaire
from domain.rules.requirement import requirement
from domain.rules.responsibility import responsibility
from domain.rules.stewardship import stewardship
from domain.rules.submission import submission
from domain.rules.visit import visit

RULES: tuple[Rule, ...] = (
    stewardship,
    payer_says,
    requirement,
    coverage,
    documents,
    access,
    questionnaire,
    superseded,
    submission,
    follow_up,
    decision,
    patient,
    chart,
    responsibility,
    visit,
)
"""What is asked of an open case."""

WHEN_CANCELLED: tuple[Rule, ...] = (cancellation, chart)
"""What is left to do once the order is cancelled."""

__all__ = ["RULES", "WHEN_CANCELLED"]
