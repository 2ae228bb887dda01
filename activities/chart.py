"""Searches the chart for what a payer wants to see, and files the events of a case in it."""

from zoneinfo import ZoneInfo

from temporalio import activity

from activities.counterparts import Counterparts, marker
from activities.outside import Outside, guarded
from connectors.documents import DocumentEmpty, DocumentTooLarge, DocumentTypeRefused
from connectors.errors import OutcomeUnknown
from connectors.nextgen_fhir import ChartFile, NextGenFhir
from connectors.paper import text_pdf
from domain.actions import DocumentInChart, GatherDocuments
from domain.facts import AnyFact, ChartDocumented, DocumentsGathered, Receipt
from domain.order import DocumentRef

_A_KIND = 2
"""How many documents of one kind are taken: the newest ones, signed before unsigned."""


class ChartActivities:
    """Activities on the patient's chart in NextGen."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._counterparts = Counterparts(outside)

    @activity.defn(name="gather_documents")
    @guarded
    async def gather_documents(self, action: GatherDocuments) -> list[AnyFact]:
        """Take the newest documents of the wanted kinds into the store. What the chart does not have, it does not have."""
        practice = self._outside.practice(action.practice)
        fhir = self._counterparts.nextgen_fhir(practice)
        files = sorted(await fhir.files(action.patient_id), key=lambda file: not file.signed)
        taken: list[DocumentRef] = []
        for kind in action.wanted:
            of_kind: list[DocumentRef] = []
            for file in (file for file in files if file.kind == kind):
                if len(of_kind) == _A_KIND:
                    break
                kept = await self._take(practice.id, fhir, file)
                if kept is not None and kept not in of_kind:
                    of_kind.append(kept)
            taken += of_kind
        return [
            DocumentsGathered(
                occurred_at=action.now,
                by="system:nextgen",
                source_id=f"{action.key}/gathered",
                searched=action.wanted,
                documents=tuple(taken),
            )
        ]

    async def _take(self, practice_id: str, fhir: NextGenFhir, file: ChartFile) -> DocumentRef | None:
        content = await fhir.content(file)
        if content is None:
            return None
        try:
            kept = await self._outside.documents.put(practice_id, content, file.kind, file.media_type, file.dated)
        except (DocumentEmpty, DocumentTooLarge, DocumentTypeRefused) as error:
            # A payer could not be sent it either: as if the chart did not have it, and a person looks.
            activity.logger.warning("a chart document was left out: %s", error.code)
            return None
        return kept.model_copy(update={"signed": file.signed, "dated": file.dated})

    @activity.defn(name="document_in_chart")
    @guarded
    async def document_in_chart(self, action: DocumentInChart) -> list[AnyFact]:
        """File an event once, as a PDF, and read it back."""
        practice = self._outside.practice(action.practice)
        nextgen = self._counterparts.nextgen(practice)
        local = action.now.astimezone(ZoneInfo(practice.time_zone))
        footer = f"Filed by Vigil for {practice.name} on {local:%Y-%m-%d at %H:%M %Z}; case {action.case_id}."
        key = marker(action.case_id, "chart", action.entry, action.cause)
        content = text_pdf(action.title, (*action.lines, footer))
        filed = await nextgen.file_document(action.patient_id, key, action.title, content)
        if not await nextgen.document_content(action.patient_id, filed.id):
            raise OutcomeUnknown("documents.write:empty")
        return [
            ChartDocumented(
                occurred_at=action.now,
                by="system:nextgen",
                source_id=f"{action.key}/documented",
                entry=action.entry,
                cause=action.cause,
                receipt=Receipt(kind="read_back", reference=filed.id),
            )
        ]
