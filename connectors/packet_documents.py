"""A document of the chart as pages that can be put into a packet: PDF, PNG, JPEG, TIFF, plain text, a filled-in form.

What comes from a chart may be broken, locked or made to harm: nothing of it runs, its size is bounded, and what cannot be
shown is said, never silently left out. What a form field or a note on a page shows becomes part of the page; scripts,
links, attachments and the file's own properties stay behind.
"""

import textwrap
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import islice
from typing import Any

from PIL import Image, ImageOps, ImageSequence
from pypdf import PageObject, PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    FloatObject,
    IndirectObject,
    NameObject,
    PdfObject,
    StreamObject,
)
from reportlab.lib.utils import ImageReader  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]

from connectors.packet_answers import answers_of
from connectors.paper import FOOT, HEIGHT, MARGIN, WIDTH, lines_pdf, printable

MOST_PIXELS = 60_000_000
"""The largest picture that is opened: Letter at 600 dpi is half of it."""
MOST_DRAWING = 100 * 1024 * 1024
"""What the drawing of a document's pages may have when it is unpacked, in bytes; pictures stay packed."""
_DOTS = (1700, 2200)
"""What a picture is brought down to: Letter at 200 dpi, as a fine fax."""
_QUALITY = 80
_COLUMNS = 84
_CORNERS = 4
_TURNS = {0: (1, 0, 0, 1), 90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
"""How a page's content is turned to be read upright, by its `/Rotate` (degrees clockwise)."""
_SEEN = {
    "/Widget",
    "/FreeText",
    "/Stamp",
    "/Ink",
    "/Highlight",
    "/Underline",
    "/StrikeOut",
    "/Line",
    "/Square",
    "/Circle",
}
"""Annotations that are part of what a reader sees on the page."""
_HIDDEN = 2 | 32
"""Bits of an annotation's flags that keep it from being seen."""
_EDGE = 18


class CannotShow(Exception):
    """A document cannot be put on paper. `why` is short and says nothing of its content."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def printed(content: bytes, media_type: str, title: str, most: int) -> list[PageObject]:
    """A document as pages of ours, at most `most`: US Letter, upright, with the foot free. Raises `CannotShow`."""
    match media_type:
        case "application/pdf":
            made = content
        case "image/png" | "image/jpeg" | "image/tiff":
            made = _pictures(content, most)
        case "text/plain":
            made = _text(_decoded(content), title)
        case "application/fhir+json" if (answers := answers_of(content)) is not None:
            made = _text("\n".join(answers), title)
        case _:
            raise CannotShow(f"{media_type} cannot be printed")
    pages = read_pdf(made, most)
    try:
        return read_pdf(_fitted(pages), most)
    except CannotShow:
        raise
    except Exception:  # noqa: BLE001 - the edge, as in `read_pdf`
        raise CannotShow("it is damaged") from None


def read_pdf(content: bytes, most: int) -> list[PageObject]:
    """The pages of a PDF, at most `most`; one that is locked against changes only is opened. Raises `CannotShow`."""
    try:
        reader = PdfReader(BytesIO(content))
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = [] if locked else list(islice(reader.pages, most + 1))
    except Exception:  # noqa: BLE001 - the edge: pypdf raises whatever it happens to hit in a broken file
        raise CannotShow("it is damaged") from None
    if locked:
        raise CannotShow("it is locked by a password")
    if not 0 < len(pages) <= most:
        raise CannotShow("it has too many pages" if pages else "it has no pages")
    return pages


def shared(writer: PdfWriter, part: PdfObject) -> IndirectObject:
    """A part of a file under a number of its own, as every stream must be."""
    return writer._add_object(part)  # noqa: SLF001 - pypdf has no other way to do it


def dictionary(value: Any) -> DictionaryObject:
    """A copy of a dictionary of a file, which may be named by its number; empty where there is none."""
    found = value.get_object() if value is not None else None
    return DictionaryObject(found) if isinstance(found, DictionaryObject) else DictionaryObject()


def _pictures(content: bytes, most: int) -> bytes:
    out = BytesIO()
    canvas = Canvas(out, pagesize=(WIDTH, HEIGHT), invariant=1)
    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG", "TIFF")) as picture:
            for frame in islice(ImageSequence.Iterator(picture), most + 1):
                _draw(canvas, frame)
    except CannotShow:
        raise
    except Exception:  # noqa: BLE001 - the edge: a broken picture raises whatever its decoder does
        raise CannotShow("the picture is damaged") from None
    canvas.save()
    return out.getvalue()


def _draw(canvas: Canvas, frame: Image.Image) -> None:
    """One picture on a page of its own, as large as the page allows and no larger than it is at 72 dpi."""
    if frame.width * frame.height > MOST_PIXELS:
        raise CannotShow("the picture is too large")
    coloured = ImageOps.exif_transpose(frame).convert("RGBA")
    flat = Image.new("RGB", coloured.size, "white")
    flat.paste(coloured, mask=coloured.getchannel("A"))
    flat.thumbnail(_DOTS)
    shown = BytesIO()
    flat.save(shown, "JPEG", quality=_QUALITY)
    scale = min((WIDTH - MARGIN) / flat.width, (HEIGHT - MARGIN / 2 - FOOT) / flat.height, 1)
    width, height = flat.width * scale, flat.height * scale
    left, bottom = (WIDTH - width) / 2, HEIGHT - MARGIN / 2 - height
    canvas.drawImage(ImageReader(shown), left, bottom, width=width, height=height)
    canvas.showPage()


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _text(text: str, title: str) -> bytes:
    lines = [
        part
        for line in text.expandtabs(4).splitlines()
        for part in textwrap.wrap(printable(line), _COLUMNS, drop_whitespace=False) or [""]
    ]
    return lines_pdf(title, lines, typeface="Courier")


def _fitted(pages: Sequence[PageObject]) -> bytes:
    """The pages as pictures on pages of ours."""
    writer, room = PdfWriter(), MOST_DRAWING
    for page in pages:
        picture, matrix, size = _picture_of(writer, page)
        room -= size
        if room < 0:
            raise CannotShow("it is too large when unpacked")
        frame = writer.add_blank_page(WIDTH, HEIGHT)
        content = DecodedStreamObject()
        content.set_data(f"q {matrix} cm /Page Do Q".encode("ascii"))
        frame[NameObject("/Contents")] = shared(writer, content)
        frame[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/XObject"): DictionaryObject({NameObject("/Page"): shared(writer, picture)})}
        )
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def _picture_of(writer: PdfWriter, page: PageObject) -> tuple[StreamObject, str, int]:
    """A page as a picture, the matrix that puts it on ours (upright, whole, above the foot), and its unpacked size."""
    left, bottom, right, top = (float(side) for side in page.cropbox)
    turn = int(page.get("/Rotate", 0)) % 360
    a, b, c, d = _TURNS.get(turn, _TURNS[0])
    xs = [a * x + c * y for x in (left, right) for y in (bottom, top)]
    ys = [b * x + d * y for x in (left, right) for y in (bottom, top)]
    width, height = max(max(xs) - min(xs), 1), max(max(ys) - min(ys), 1)
    scale = min((WIDTH - 2 * _EDGE) / width, (HEIGHT - _EDGE - FOOT) / height, 1)
    x = (WIDTH - width * scale) / 2 - min(xs) * scale
    y = FOOT + (HEIGHT - FOOT - height * scale) / 2 - min(ys) * scale
    content = page.get_contents()
    drawn = content.get_data() if content is not None else b""
    resources = DictionaryObject()
    for key, value in dictionary(page.get("/Resources")).items():
        resources[NameObject(key)] = _taken(writer, value)
    drawn += b"".join(_notes(writer, page, resources))
    picture = DecodedStreamObject()
    picture.set_data(drawn)
    picture.update(
        {
            NameObject("/Type"): NameObject("/XObject"),
            NameObject("/Subtype"): NameObject("/Form"),
            NameObject("/BBox"): ArrayObject(map(FloatObject, (left, bottom, right, top))),
            NameObject("/Resources"): resources,
        }
    )
    matrix = " ".join(f"{n:.5f}" for n in (a * scale, b * scale, c * scale, d * scale, x, y))
    return picture.flate_encode(), matrix, len(drawn)


def _notes(writer: PdfWriter, page: PageObject, resources: DictionaryObject) -> Iterator[bytes]:
    """What form fields and notes show on the page, drawn where they stand (ISO 32000-1, 12.5.5)."""
    listed = page.get("/Annots")
    for number, reference in enumerate(listed.get_object() if listed is not None else ()):
        note = reference.get_object()
        look = _look(note)
        if look is None:
            continue
        box = [float(side) for side in look.get("/BBox", (0, 0, 1, 1))]
        m = [float(part) for part in look.get("/Matrix", (1, 0, 0, 1, 0, 0))]
        xs = [m[0] * x + m[2] * y + m[4] for x in (box[0], box[2]) for y in (box[1], box[3])]
        ys = [m[1] * x + m[3] * y + m[5] for x in (box[0], box[2]) for y in (box[1], box[3])]
        place = [float(side) for side in note["/Rect"]]
        sx = abs(place[2] - place[0]) / ((max(xs) - min(xs)) or 1)
        sy = abs(place[3] - place[1]) / ((max(ys) - min(ys)) or 1)
        x = min(place[0], place[2]) - min(xs) * sx
        y = min(place[1], place[3]) - min(ys) * sy
        pictures = dictionary(resources.get("/XObject"))
        pictures[NameObject(f"/VigilNote{number}")] = _taken(writer, look)
        resources[NameObject("/XObject")] = pictures
        yield f"\nq {sx:.5f} 0 0 {sy:.5f} {x:.5f} {y:.5f} cm /VigilNote{number} Do Q".encode("ascii")


def _look(note: Any) -> StreamObject | None:
    """How a note is drawn, where it is drawn at all; of a check box, in the state that it is in."""
    if note.get("/Subtype") not in _SEEN or int(note.get("/F", 0)) & _HIDDEN or len(note.get("/Rect", ())) != _CORNERS:
        return None
    look = dictionary(note.get("/AP")).get("/N")
    look = look.get_object() if look is not None else None
    if isinstance(look, DictionaryObject) and not isinstance(look, StreamObject):
        look = look.get(note.get("/AS", "/Off"))
        look = look.get_object() if look is not None else None
    return look if isinstance(look, StreamObject) else None


def _taken(writer: PdfWriter, value: Any) -> Any:
    """What a page needs, as part of our file, without what is not seen."""
    ignored = ("/Parent", "/P", "/Metadata", "/PieceInfo", "/StructParent", "/StructParents", "/OC")
    return value.clone(writer, ignore_fields=ignored)
