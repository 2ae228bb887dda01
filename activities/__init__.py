"""What Vigil does in the world: one module for each outside system; here they are put together for a worker."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from temporalio.client import Client

from activities.access import AccessActivities
from activities.archive import Archive
from activities.chart import ChartActivities
from activities.check_in import CheckInActivities
from activities.coverage import CoverageActivities
from activities.crd import CrdActivities
from activities.dtr import DtrActivities
from activities.gate import Gate
from activities.intake import Intake
from activities.outside import Outside
from activities.packet import PacketActivities
from activities.patient import PatientActivities
from activities.payers import Payers
from activities.provider import ProviderActivities
from activities.schedule import ScheduleActivities
from activities.sweep import Sweeps
from activities.turns import Turns
from activities.watch import Watch
from activities.x12_eligibility import X12Eligibility
from connectors.documents import Documents
from runtime.embedded_postgres import database_url
from runtime.keys import KeyRing
from runtime.practices import Practice
from runtime.settings import Settings
from store.control_numbers import ControlNumbers
from store.database import Database
from store.shelf import Shelf

Activities = list[Callable[..., Any]]


@dataclass(frozen=True)
class Parts:
    """What a worker's activities are made of: opened once, closed when the worker has drained."""

    settings: Settings
    keyring: KeyRing
    client: Client
    outside: Outside
    database: Database
    shelf: Shelf

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, keyring: KeyRing, practices: Mapping[str, Practice], client: Client, shelf: Shelf
    ) -> AsyncIterator[Self]:
        """Open the database and the documents while in the block."""
        documents = Documents.at(settings.documents_url, settings.home_path / "documents", keyring)
        outside = Outside(settings, practices, documents)
        database = Database(database_url(settings), application_name="vigil-worker")
        try:
            yield cls(settings, keyring, client, outside, database, shelf)
        finally:
            await outside.aclose()
            await database.close()


def case_activities(parts: Parts) -> Activities:
    """What Vigil's own queue serves: everything but what goes to payers."""
    x12 = X12Eligibility(parts.outside, ControlNumbers(parts.database), parts.shelf.get)
    coverage, chart = CoverageActivities(parts.outside, x12), ChartActivities(parts.outside)
    access = AccessActivities(parts.database)
    practices, intake = parts.outside.practices, Intake(parts.outside, parts.shelf.names)
    sweeps = Sweeps(parts.client, parts.settings, parts.keyring, parts.database, parts.outside, intake)
    return [
        Turns(parts.shelf).settle,
        Archive(parts.database, parts.keyring).publish,
        coverage.verify_coverage,
        chart.gather_documents,
        chart.document_in_chart,
        PacketActivities(parts.outside, access).prepare_packet,
        access.ask_access,
        PatientActivities(parts.outside).notify_patient,
        ProviderActivities(parts.outside).notify_provider,
        CheckInActivities(parts.outside).post_responsibility,
        ScheduleActivities(parts.outside).read_appointment,
        sweeps.sweep_orders,
        sweeps.reconcile_orders,
        Watch(parts.client, parts.settings, parts.database, parts.keyring, practices).watch,
    ]


def payer_activities(parts: Parts) -> Activities:
    """What a payer's queue serves, at the rate that the payer bears."""
    payers = Payers(parts.outside, gate=Gate(parts.database), numbers=ControlNumbers(parts.database))
    return [
        payers.submit_request,
        payers.inquire_status,
        payers.withdraw_request,
        payers.send_information,
        CrdActivities(parts.outside).ask_requirement,
        DtrActivities(parts.outside).fetch_questionnaire,
    ]
