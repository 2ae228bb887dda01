"""The packet: what is on its pages, what is left out and said so, the same bytes every time, and nothing that harms."""

import hashlib
import json
import struct
import uuid
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    StreamObject,
    TextStringObject,
)
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

import connectors.packet
from activities.packet import PacketActivities
from connectors.packet import Cover, Packet, PacketTooLarge, Purpose, make_packet
from connectors.packet_documents import CannotShow, printed
from connectors.packet_sheets import CONFIDENTIALITY
from connectors.paper import printable, text_pdf
from connectors.requester import Requester
from domain.actions import PreparePacket
from domain.decision import Number, NumberType
from domain.facts import PacketPrepared
from domain.order import Address, DocumentRef
from runtime.keys import KeyRing
from tests.builders import cut
from tests.builders import order as keystone_order
from tests.pas_requests import full_order, order, request
from tests.vendor_world import NOW, World, world

WHO = Requester(
    name="Lakeside Orthopedics",
    npi="1234567893",
    tax_id="37-1234567",
    address=Address(line="100 Example Shore Drive", city="Springfield", state="IL", postal_code="62701"),
    phone="217-555-0100",
    contact="Ines Example",
    contact_phone="217-555-0101",
)
COVER = Cover(payer="Meridian PPO", way="fax to +18005550131", fax="217-555-0109", time_zone="America/Chicago")


def ref(content: bytes, kind: str = "office_note", media_type: str = "application/pdf") -> DocumentRef:
    return DocumentRef(
        id=hashlib.sha256(content).hexdigest(), kind=kind, media_type=media_type, size=len(content), dated=None
    )


def packet(*documents: tuple[bytes, str], cover: Cover = COVER, **changes: Any) -> Packet:
    refs = tuple(ref(content, media_type=media_type) for content, media_type in documents)
    contents = {reference.id: content for reference, (content, _) in zip(refs, documents, strict=True)}
    return make_packet(cover, WHO, request(full_order(documents=refs), **changes), contents)


def texts(content: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(BytesIO(content)).pages]


def written(pdf: PdfWriter) -> bytes:
    out = BytesIO()
    pdf.write(out)
    return out.getvalue()


def picture(form: str, *more: Image.Image, size: tuple[int, int] = (1200, 1600), **how: Any) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, "white").save(
        out, form, **({"save_all": True, "append_images": more} if more else {}), **how
    )
    return out.getvalue()


def locked(user: str) -> bytes:
    pdf = PdfWriter(clone_from=BytesIO(text_pdf("Locked note", ["Inside."])))
    pdf.encrypt(user, "owner")
    return written(pdf)


def bomb() -> bytes:
    """A PNG that says to be 9,000 by 9,000 pixels."""
    head = struct.pack(">4sIIBBBBB", b"IHDR", 9000, 9000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    parts = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, data))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# --- what is on it -----------------------------------------------------------------------------------------------------


def test_the_cover_says_from_whom_to_whom_and_how_many_pages_and_nothing_of_the_patient() -> None:
    made = packet((text_pdf("Note", ["Line."] * 80), "application/pdf"))
    cover, form, *rest = texts(made.content)
    assert made.pages == 2 + len(rest)
    for said in (
        "Meridian PPO", "fax to +18005550131", "Lakeside Orthopedics", "1234567893", "217-555-0109", "March 2, 2026",
        "case-4f1b-1-ordering-1", f"Pages with this one\n{made.pages}", "Office note\npages 3 to", "Expedited",
    ):  # fmt: skip
        assert said in cover, said
    assert CONFIDENTIALITY.split(".")[1] in cover.replace("\n", " ")
    for hidden in ("Testperson", "MER000", "1970", "M54.16", "95910", "weakness"):
        assert hidden not in cover
    assert "Testperson, Robin" in form


def test_the_form_says_all_that_a_payer_asks_for() -> None:
    form = texts(packet().content)[1].replace("\n", " ")
    asked = request(full_order())
    coverage = asked.coverage
    for said in (
        "Grant prior authorization", "Progressive weakness of the right hand.", "Testperson, Robin", "1970-05-17",
        coverage.member_id, "child of the subscriber: Testperson, Alex, born 1945-01-02", "NPI 1999000015",
        "NPI 1999000023", "M54.16", "G56.01", "95910 (CPT)", "RT 59", "2 unit", "6 visit", "2026-03-20 to 2026-04-20",
        "37-1234567",
    ):  # fmt: skip
        assert said in form, said


def test_every_page_says_its_number_and_our_trace() -> None:
    made = packet((text_pdf("Note", ["Line."] * 200), "application/pdf"), (picture("PNG"), "image/png"))
    for number, text in enumerate(texts(made.content), start=1):
        assert f"Page {number} of {made.pages}" in text
        assert "case-4f1b-1-ordering-1" in text
    assert {tuple(map(float, page.mediabox)) for page in PdfReader(BytesIO(made.content)).pages} == {(0, 0, 612, 792)}


def test_what_is_asked_for_depends_on_the_purpose() -> None:
    number = Number(type=NumberType.ADMINISTRATIVE, value="REF-1")
    prior = request(full_order())
    changed = texts(packet(prior=prior, prior_numbers=(number,)).content)
    assert "it now reads as below" in changed[1].replace("\n", " ")
    assert "REF-1" in changed[1]
    for purpose, word in ((Purpose.CANCELLATION, "Cancel our request"), (Purpose.INFORMATION, "Take the attached")):
        cover, form = texts(packet(cover=COVER.model_copy(update={"purpose": purpose, "notes": ("CN-77",)})).content)
        assert word in form
        assert "CN-77" in cover


def test_pictures_text_and_pdfs_become_pages() -> None:
    scan = picture("TIFF", Image.new("RGB", (800, 1000), "white"), compression="tiff_lzw")
    made = packet(
        (picture("PNG"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (scan, "image/tiff"),
        ("A line.\n\tAnother — with “signs”.\n".encode(), "text/plain"),
        (text_pdf("A note", ["Inside."]), "application/pdf"),
        (locked(""), "application/pdf"),
    )
    assert made.left_out == ()
    assert made.pages == 2 + 1 + 1 + 2 + 1 + 1 + 1
    read = "\n".join(texts(made.content))
    assert "Another — with “signs”." in read
    assert "Locked note" in read


@pytest.mark.parametrize(
    ("content", "media_type", "why"),
    [
        (locked("secret"), "application/pdf", "it is locked by a password"),
        (b"%PDF-1.7 broken", "application/pdf", "it is damaged"),
        (b"", "application/pdf", "it is damaged"),
        (b'{"resourceType":"Bundle"}', "application/fhir+json", "application/fhir+json cannot be printed"),
        (b"\x89PNG broken", "image/png", "the picture is damaged"),
        (picture("PNG")[:200], "image/png", "the picture is damaged"),
        (bomb(), "image/png", "the picture is too large"),
        (text_pdf("Long", ["x"] * 6000), "application/pdf", "it has too many pages"),
        (written(PdfWriter()), "application/pdf", "it has no pages"),
    ],
    ids=["locked", "broken", "empty", "json", "no png", "cut png", "bomb", "long", "no pages"],
)
def test_what_cannot_be_shown_is_listed_on_the_cover(content: bytes, media_type: str, why: str) -> None:
    made = packet((content, media_type))
    assert [each.why.startswith(why) for each in made.left_out] == [True]
    assert made.pages == 2
    assert "Not in this packet; ask us for it" in texts(made.content)[0]
    assert why in texts(made.content)[0]


def test_documents_beyond_what_may_be_sent_are_left_out_and_the_rest_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = text_pdf("Small", ["x"]), text_pdf("Large", ["y " * 90] * 900)
    monkeypatch.setattr(connectors.packet, "MOST_BYTES", len(large))
    made = packet((small, "application/pdf"), (large, "application/pdf"))
    assert [each.why for each in made.left_out] == ["the packet would be too large"]
    monkeypatch.setattr(connectors.packet, "MOST_BYTES", 2000)
    with pytest.raises(PacketTooLarge, match="send the documents in parts"):
        packet()


def test_a_cover_that_needs_a_second_sheet_still_counts_right() -> None:
    notes = tuple(f"Note {n} " + "x" * 200 for n in range(20))
    made = packet((text_pdf("Note", ["x"]), "application/pdf"), cover=COVER.model_copy(update={"notes": notes}))
    read = texts(made.content)
    assert made.pages == len(read) == 4
    assert "Pages with this one\n4" in read[0]
    assert "Office note\npage 4" in "".join(read[:2])


def test_a_filled_in_form_is_printed_with_its_questions() -> None:
    item = {
        "linkId": "1",
        "text": "History",
        "item": [
            {"linkId": "1.1", "text": "Weeks of therapy", "answer": [{"valueInteger": 8}]},
            {"linkId": "1.2", "text": "Red flags", "answer": [{"valueBoolean": False}]},
            {"linkId": "1.3", "text": "Side", "answer": [{"valueCoding": {"code": "R", "display": "Right"}}]},
            {"linkId": "1.4", "answer": [{"valueQuantity": {"value": 3, "unit": "cm"}, "item": [{"linkId": "1.4.1"}]}]},
            {"linkId": "1.5", "text": "Unanswered", "answer": []},
        ],
    }
    form = {"resourceType": "QuestionnaireResponse", "questionnaire": "http://payer.example/q", "item": [item]}
    read = texts(packet((json.dumps(form).encode(), "application/fhir+json")).content)[2]
    for said in ("History", "Weeks of therapy: 8", "Red flags: no", "Side: Right", "1.4: 3 cm", "1.4.1", "Unanswered"):
        assert said in read
    deep: dict[str, Any] = {"linkId": "x"}
    for _ in range(300):
        deep = {"linkId": "x", "item": [deep]}
    for hostile_form in ({**form, "item": [deep]}, {**form, "item": "none"}, {**form, "item": [7, None]}):
        assert packet((json.dumps(hostile_form).encode(), "application/fhir+json")).left_out == ()
    many = {**form, "item": [item] * 1000}
    for left in (json.dumps(many).encode(), b"[" * 100_000, b"{", b"[]"):
        made = packet((left, "application/fhir+json"))
        assert [each.why for each in made.left_out] == ["application/fhir+json cannot be printed"]


# --- safe --------------------------------------------------------------------------------------------------------------


def under(holder: DictionaryObject, name: str) -> DictionaryObject:
    found = holder[name]
    assert isinstance(found, DictionaryObject)
    return found


def hostile() -> bytes:
    """A filled-in form that runs a script, carries a file, links out, and names its patient in its properties."""
    pdf = PdfWriter(clone_from=BytesIO(text_pdf("Form", ["Field:"])))
    pdf.add_metadata({"/Title": "Testperson Robin", "/Author": "Testperson"})
    script = {NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("gotcha")}
    pdf.root_object[NameObject("/OpenAction")] = DictionaryObject(script)
    pdf.add_attachment("secret.txt", b"attached-secret")
    page = pdf.pages[0]
    page[NameObject("/Metadata")] = pdf._add_object(TextStringObject("Testperson"))
    look = DecodedStreamObject()
    look.set_data(b"BT /F1 10 Tf 2 2 Td (Filled in) Tj ET")
    fonts = under(under(page, "/Resources"), "/Font")
    look.update(
        {
            NameObject("/Subtype"): NameObject("/Form"),
            NameObject("/BBox"): ArrayObject(map(FloatObject, (0, 0, 100, 20))),
            NameObject("/Resources"): DictionaryObject({NameObject("/Font"): fonts}),
        }
    )
    rect = ArrayObject(map(FloatObject, (100, 600, 200, 620)))
    field = DictionaryObject(
        {
            NameObject("/Subtype"): NameObject("/Widget"),
            NameObject("/Rect"): rect,
            NameObject("/AP"): DictionaryObject({NameObject("/N"): pdf._add_object(look)}),
            NameObject("/A"): DictionaryObject(script),
        }
    )
    link = DictionaryObject(
        {
            NameObject("/Subtype"): NameObject("/Link"),
            NameObject("/Rect"): rect,
            NameObject("/A"): DictionaryObject({NameObject("/URI"): TextStringObject("http://evil.example/")}),
        }
    )
    page[NameObject("/Annots")] = ArrayObject([pdf._add_object(field), pdf._add_object(link)])
    return written(pdf)


def test_what_a_form_shows_is_printed_and_what_it_does_or_hides_stays_behind() -> None:
    made = packet((hostile(), "application/pdf"))
    assert "Filled in" in texts(made.content)[2]
    reader = PdfReader(BytesIO(made.content))
    assert {name: str(value) for name, value in (reader.metadata or {}).items()} == {"/Producer": "pypdf"}
    assert reader.xmp_metadata is None
    assert set(reader.root_object) <= {"/Type", "/Pages"}
    assert not any("/Annots" in page or "/AA" in page or "/Metadata" in page for page in reader.pages)
    numbers = range(1, len(reader.xref[0]) + 1)
    unpacked = [found.get_object() for number in numbers if (found := reader.get_object(number)) is not None]
    assert len(unpacked) == len(numbers)
    whole = made.content + b"".join(part.get_data() for part in unpacked if isinstance(part, StreamObject))
    for bad in (b"gotcha", b"attached-secret", b"evil.example", b"JavaScript"):
        assert bad not in whole


def test_every_stream_is_an_object_of_its_own_as_readers_demand() -> None:
    reader = PdfReader(BytesIO(packet((picture("PNG"), "image/png")).content))
    for page in reader.pages:
        contents = page["/Contents"]
        assert isinstance(contents, ArrayObject)
        assert all(hasattr(part, "idnum") for part in contents)
        resources = under(page, "/Resources")
        for name in resources.get("/XObject", {}):
            assert hasattr(under(resources, "/XObject").raw_get(name), "idnum")


def test_the_same_request_makes_the_same_bytes() -> None:
    documents = (
        (text_pdf("Note", ["A paragraph."]), "application/pdf"),
        (picture("JPEG"), "image/jpeg"),
        (hostile(), "application/pdf"),
    )
    assert packet(*documents).content == packet(*documents).content
    assert packet(*documents).content != packet(*documents[:2]).content


BASES = (hostile(), picture("PNG", size=(200, 300)), picture("JPEG", size=(200, 300)), locked(""))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_document_however_mangled_breaks_the_packet(data: st.DataObject) -> None:
    base = data.draw(st.sampled_from(BASES))
    mangled = bytearray(base)
    for _ in range(data.draw(st.integers(1, 12))):
        mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    media_type = data.draw(
        st.sampled_from(["application/pdf", "application/pdf", "image/png", "image/jpeg", "image/tiff", "text/plain"])
    )
    with suppress(CannotShow):
        assert 1 <= len(printed(bytes(mangled), media_type, "A document", 5)) <= 5


# --- short texts for the chart -----------------------------------------------------------------------------------------


def test_a_text_as_pdf_is_readable_and_the_same_for_the_same_text() -> None:
    said = ["A paragraph with \\ and ().", "é " * 80, *["Line."] * 60]
    made = text_pdf("Decision (final)", said)
    assert made == text_pdf("Decision (final)", said)
    read = texts(made)
    assert len(read) == 3
    assert "Decision (final)" in read[0]
    assert "A paragraph with \\ and ()." in read[0]
    assert "Decision (final) (2)" in read[1]
    assert len(texts(text_pdf("Nothing", []))) == 1


def test_what_the_typefaces_lack_is_written_plainly_or_marked() -> None:
    assert printable("Łucja Nováková ﬁne 漢") == "Lucja Nováková fine ?"
    assert printable("a\x00b\u200b") == "ab?"


# --- the activity ------------------------------------------------------------------------------------------------------


async def prepared(here: World, **changes: Any) -> list[Any]:
    ordered = keystone_order(payer="keystone-sf", practice=here.practice.id, documents=())
    kept = await here.outside.documents.put(here.practice.id, b"A note.", "office_note", "text/plain")
    what = {"payer": "keystone-sf", "rail": "portal", "trace": f"{uuid.uuid4()}", "documents": (kept,), **changes}
    action = PreparePacket(
        key="packet/1-ordering/1/portal/x/1",
        practice=here.practice.id,
        case_id="case-1",
        now=NOW,
        track="1-ordering",
        request=request(ordered, **what),
        policy=cut(ordered),
    )
    return await ActivityEnvironment().run(PacketActivities(here.outside).prepare_packet, action)


async def test_the_packet_is_kept_sealed_and_named_by_a_fact(
    sandbox_url: str, keyring: KeyRing, tmp_path: Path
) -> None:
    async with world(sandbox_url, keyring, tmp_path) as here:
        (fact,) = await prepared(here)
        assert isinstance(fact, PacketPrepared)
        assert (fact.track, fact.attempt, fact.packet.kind, fact.packet.media_type) == (
            "1-ordering", 1, "packet", "application/pdf",
        )  # fmt: skip
        assert fact.source_id == "packet/1-ordering/1/portal/x/1:packet"
        cover, *_ = texts(await here.outside.documents.get(here.practice.id, fact.packet.id))
        assert fact.pages == 3
        assert "portal Keystone Benefits Portal" in cover
        assert here.practice.fax in cover


async def test_a_document_that_is_not_kept_is_not_sent_around(
    sandbox_url: str, keyring: KeyRing, tmp_path: Path
) -> None:
    async with world(sandbox_url, keyring, tmp_path) as here:
        with pytest.raises(ApplicationError, match="document_missing"):
            await prepared(here, documents=(ref(b"never kept"),))


def test_an_order_of_many_lines_fits() -> None:
    lines = tuple(order().lines[0].model_copy(update={"number": n, "label": "A label " * 8}) for n in range(1, 26))
    read = texts(make_packet(COVER, WHO, request(order(lines=lines)), {}).content)
    assert any("\n25\n" in page for page in read)
