"""NextGen persons, insurances, chart and chart documents.

`/chart` and `/insurances` answer with a bare array, as recorded. The route that adds a document is recorded as a link
("Adds A Document"); its body is our assumption:
`{description, contentType, content (base64), docTypeId?, encounterId?}`.
"""

import base64
import binascii
import uuid
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from sandbox.answers import Refused, note
from sandbox.nextgen import API, bad, body_of, caller, found, guid, links, paged, refuse_locked, stamp
from sandbox.records import Json, Practice

router = APIRouter(prefix=f"/nextgen{API}")
DOCUMENT_LIMIT = 10 * 1024 * 1024
DOCUMENT_FIELDS = {"description", "contentType", "content", "docTypeId", "encounterId"}
CONTENT_TYPES = ("application/pdf", "image/tiff", "image/jpeg", "text/plain")
HIDDEN = ("content", "contentType")


@router.get("/persons/lookup")
async def lookup(request: Request) -> Response:
    """Persons by `firstName`, `lastName`, `dateOfBirth`, all given ones together."""
    practice = caller(request)
    wanted = {name: request.query_params[name] for name in ("firstName", "lastName") if name in request.query_params}
    born = request.query_params.get("dateOfBirth", "")
    if not wanted and not born:
        raise bad("Argument criteria cannot be null.\r\nParameter name: criteria")
    persons = [
        person
        for person in practice.ehr.persons.values()
        if all(str(person[name]).lower() == value.lower() for name, value in wanted.items())
        and str(person["dateOfBirth"]).startswith(born[:10])
    ]
    return paged(request, persons)


@router.get("/persons/{person_id}")
async def person(person_id: str, request: Request) -> Json:
    """Demographics."""
    practice = caller(request)
    item = found(practice.ehr.persons, guid(person_id))
    return {**item, "_links": links(self=f"/persons/{item['id']}", chart=f"/persons/{item['id']}/chart")}


@router.get("/persons/{person_id}/chart")
async def chart(person_id: str, request: Request) -> list[Json]:
    """The person's charts, a bare array."""
    practice = caller(request)
    item = found(practice.ehr.persons, guid(person_id))
    number = item.get("medicalRecordNumber")
    return [{"personId": item["id"], "enterpriseId": "00001", "practiceId": "0001", "medicalRecordNumber": number}]


@router.get("/persons/{person_id}/insurances")
async def insurances(person_id: str, request: Request) -> list[Json]:
    """The person's insurances, a bare array (item fields are our assumption)."""
    practice = caller(request)
    found(practice.ehr.persons, guid(person_id))
    return practice.ehr.insurances.get(guid(person_id), [])


@router.get("/persons/{person_id}/chart/documents")
async def documents(person_id: str, request: Request) -> Response:
    """The chart's documents, paged, without their content."""
    practice = caller(request)
    found(practice.ehr.persons, guid(person_id))
    mine = [item for item in practice.ehr.documents.values() if item["personId"] == guid(person_id)]
    return paged(request, [_shown(item) for item in mine])


@router.post("/persons/{person_id}/chart/documents")
async def add_document(person_id: str, request: Request) -> Response:
    """Add a document; 201 with an empty body, so a caller reads back. Not idempotent: a repeat makes a second one."""
    practice = caller(request)
    owner = found(practice.ehr.persons, guid(person_id))
    body = await body_of(request)
    unknown = sorted(set(body) - DOCUMENT_FIELDS)
    if unknown:
        raise bad(f"The property '{unknown[0]}' is not known.")
    if not isinstance(body.get("description"), str) or not body["description"]:
        raise bad("description is required.")
    if body.get("contentType") not in CONTENT_TYPES:
        raise bad("contentType is not accepted.")
    content = _content(body.get("content"))
    if len(content) > DOCUMENT_LIMIT:
        raise Refused(413, {"message": "The document is larger than 10 MB."})
    refuse_locked(practice, body.get("encounterId"))
    item = put_document(practice, owner["id"], body, stamp(request, practice))
    note(request, document=item["id"], description=item["description"])
    return Response(status_code=201)


def _content(value: Any) -> bytes:
    try:
        content = base64.b64decode(str(value or ""), validate=True)
    except binascii.Error:
        content = b""
    if not content:
        raise bad("content must be base64 and not empty.")
    return content


def put_document(practice: Practice, person_id: str, given: Json, at: str) -> Json:
    """Put a document into a chart."""
    item: Json = {
        "id": guid(given.get("id", uuid.uuid4())),
        "personId": person_id,
        "description": given["description"],
        "itemType": "ICS",
        "createTimestamp": at,
        "modifyTimestamp": at,
        "encounterId": given.get("encounterId"),
        "docTypeId": given.get("docTypeId"),
        "isSensitive": False,
        "loincCode": given.get("loincCode"),
        "fileType": given["contentType"],
        "content": given["content"],
        "contentType": given["contentType"],
    }
    practice.ehr.documents[item["id"]] = item
    return item


def _shown(item: Json) -> Json:
    """A document without its content."""
    base = f"/persons/{item['personId']}/chart/documents"
    shown = {name: value for name, value in item.items() if name not in HIDDEN}
    return {**shown, "_links": links(self=f"{base}/{item['id']}", documents=base)}


def _document(practice: Practice, person_id: str, document_id: str) -> Json:
    item = found(practice.ehr.documents, guid(document_id))
    if item["personId"] != guid(person_id):
        raise Refused(404, None)
    return item


@router.get("/persons/{person_id}/chart/documents/{document_id}")
async def document(person_id: str, document_id: str, request: Request) -> Json:
    """One document's details."""
    return _shown(_document(caller(request), person_id, document_id))


@router.get("/persons/{person_id}/chart/documents/{document_id}/pdf")
async def document_content(person_id: str, document_id: str, request: Request) -> Response:
    """One document's bytes."""
    item = _document(caller(request), person_id, document_id)
    return Response(base64.b64decode(item["content"]), media_type=item["contentType"])
