"""Telling people, and writing down."""

from typing import Literal

from pydantic import Field

from domain.base import Key
from domain.facts.envelope import Fact, Reference
from domain.facts.request import Receipt


class PatientNotified(Fact):
    """The patient was told, and there is proof."""

    kind: Literal["patient_notified"] = "patient_notified"
    message: Key
    cause: Reference
    channel: Literal["message", "call", "letter"]
    receipt: Receipt


class ProviderNotified(Fact):
    """The ordering provider was told, and there is proof."""

    kind: Literal["provider_notified"] = "provider_notified"
    message: Key
    cause: Reference
    receipt: Receipt


class ChartDocumented(Fact):
    """An event of the case is in the chart, read back from it."""

    kind: Literal["chart_documented"] = "chart_documented"
    entry: Key
    cause: Reference
    receipt: Receipt


class ResponsibilityPosted(Fact):
    """What the patient will owe at check-in is there, read back. Cents."""

    kind: Literal["responsibility_posted"] = "responsibility_posted"
    cause: Reference
    total_cents: int = Field(ge=0)
    receipt: Receipt
