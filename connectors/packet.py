"""The packet: what a payer is sent on paper, by fax, by Direct or through a portal, as one PDF.

A cover sheet, the request form and the documents of the chart; every page is US Letter and says its number, how many
there are, and our trace number. The same request makes the same bytes. What cannot be shown is listed on the cover.
The file's own properties hold nothing but the name of the library.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from pypdf import PageObject, PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject

from connectors.errors import Refused
from connectors.packet_documents import CannotShow, dictionary, printed, read_pdf, shared
from connectors.packet_sheets import Cover, Purpose, cover_sheet, request_form
from connectors.paper import MARGIN, WIDTH
from connectors.requester import Requester
from domain.order import DocumentRef
from domain.request import Request

MEDIA_TYPE = "application/pdf"
KIND = "packet"
"""The kind of document that a packet is kept as."""
MOST_PAGES = 200
MOST_BYTES = 14 * 1024 * 1024
"""The largest packet: in base64, with its envelope, it stays below the 20 MB that Direct carries (360X)."""


@dataclass(frozen=True)
class LeftOut:
    """A document that is not in the packet, and why."""

    document: DocumentRef
    why: str


@dataclass(frozen=True)
class Packet:
    """A packet that is made."""

    content: bytes
    pages: int
    left_out: tuple[LeftOut, ...] = ()


class PacketTooLarge(Refused):
    """The packet is larger than may be sent at once."""

    def __str__(self) -> str:
        return f"{self.code}: a packet may have {MOST_BYTES // 1024 // 1024} MB; send the documents in parts."


def make_packet(
    cover: Cover,
    requester: Requester,
    request: Request,
    contents: Mapping[str, bytes],
    documents: Sequence[DocumentRef] | None = None,
) -> Packet:
    """Return the packet of a request, with its own documents unless others are named.

    `contents` holds the documents' contents by id. Takes a while (seconds, for hundreds of pages): call it in a thread.

    Raises:
        PacketTooLarge: it has more than `MOST_BYTES` even though documents that would be too much were left out.
    """
    wanted = request.documents if documents is None else tuple(documents)
    own = read_pdf(request_form(cover, requester, request), MOST_PAGES)
    room = MOST_PAGES - len(own) - 2  # the cover may need a second sheet
    parts: list[tuple[str, list[PageObject]]] = [("Request form", own)]
    left_out: list[LeftOut] = []
    size = 0
    for document in wanted:
        content, title = contents.get(document.id, b""), _title(document)
        if size + len(content) > MOST_BYTES:
            left_out.append(LeftOut(document, "the packet would be too large"))
            continue
        try:
            pages = printed(content, document.media_type, title, room)
        except CannotShow as cannot:
            left_out.append(LeftOut(document, cannot.why))
            continue
        parts.append((title, pages))
        size += len(content)
        room -= len(pages)
    first = _cover_pages(cover, requester, request, parts, left_out)
    made = _bound([*first, *(page for _, pages in parts for page in pages)], request.trace)
    if len(made.content) > MOST_BYTES:
        raise PacketTooLarge("packet_too_large")
    return Packet(made.content, made.pages, tuple(left_out))


def _title(document: DocumentRef) -> str:
    dated = f", {document.dated:%Y-%m-%d}" if document.dated else ""
    return document.kind.replace("_", " ").capitalize() + dated + ("" if document.signed else ", not signed")


def _cover_pages(
    cover: Cover,
    requester: Requester,
    request: Request,
    parts: Sequence[tuple[str, list[PageObject]]],
    left_out: Sequence[LeftOut],
) -> list[PageObject]:
    """The cover, which says how many pages there are with itself: written until that is so."""
    behind = sum(len(pages) for _, pages in parts)
    missing = [(_title(each.document), each.why) for each in left_out]
    sheets = 1
    while True:
        place, listed = sheets + 1, []
        for title, pages in parts:
            last = place + len(pages) - 1
            listed.append((title, f"page {place}" if last == place else f"pages {place} to {last}"))
            place = last + 1
        found = read_pdf(cover_sheet(cover, requester, request, sheets + behind, listed, missing), MOST_PAGES)
        if len(found) <= sheets:
            return found
        sheets = len(found)


def _bound(pages: Sequence[PageObject], trace: str) -> Packet:
    """All pages in one file, each with its number at the foot, which our sheets and the printed documents leave free."""
    writer = PdfWriter()
    typeface = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for number, page in enumerate(pages, start=1):
        bound = writer.add_page(page)
        foot = f"BT /VigilFoot 8 Tf {MARGIN} 22 Td ({trace}) Tj ET "
        foot += f"BT /VigilFoot 8 Tf {WIDTH - MARGIN - 70} 22 Td (Page {number} of {len(pages)}) Tj ET"
        before, after = shared(writer, _stream("q")), shared(writer, _stream(f"Q {foot}"))
        bound[NameObject("/Contents")] = ArrayObject([before, bound.raw_get("/Contents"), after])
        resources = dictionary(bound["/Resources"])
        fonts = dictionary(resources.get("/Font"))
        fonts[NameObject("/VigilFoot")] = typeface
        resources[NameObject("/Font")] = fonts
        bound[NameObject("/Resources")] = resources
    out = BytesIO()
    writer.write(out)
    return Packet(out.getvalue(), len(pages))


def _stream(operators: str) -> DecodedStreamObject:
    stream = DecodedStreamObject()
    stream.set_data(operators.encode("ascii"))
    return stream


__all__ = ["KIND", "MEDIA_TYPE", "MOST_BYTES", "MOST_PAGES", "Cover", "LeftOut", "Packet", "PacketTooLarge", "Purpose",
           "make_packet"]  # fmt: skip
