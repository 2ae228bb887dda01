"""Writing on paper: plain texts and tabled sheets as PDF (US Letter), for a chart, a fax machine or a payer.

Typefaces of every reader (Helvetica, Courier), no date and no name in the file's own properties: the same content is
the same bytes.
"""

import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import letter  # type: ignore[import-untyped]
from reportlab.lib.styles import ParagraphStyle  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table  # type: ignore[import-untyped]

WIDTH, HEIGHT = letter
"""A page, in points."""
MARGIN = 54
FOOT = 40
"""The strip at the bottom of a page that stays free for its number, in points."""

_LINES_A_PAGE, _COLUMNS = 50, 88
_TITLE_LENGTH = 80
_TITLE = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=16, leading=20, spaceAfter=6)
_HEADING = ParagraphStyle("heading", fontName="Helvetica-Bold", fontSize=10.5, leading=13, spaceBefore=9, spaceAfter=3)
_BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=9.5, leading=12)
_LABEL = ParagraphStyle("label", parent=_BODY, textColor=colors.HexColor("#333333"))
_HEAD = ParagraphStyle("head", parent=_BODY, fontName="Helvetica-Bold", fontSize=8.5, leading=10)
_RULED = [
    ("GRID", (0, 0), (-1, -1), 0.4, colors.HexColor("#888888")),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("TOPPADDING", (0, 0), (-1, -1), 2),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
]


@dataclass(frozen=True)
class Rows:
    """Labels with what is said of each, under a heading."""

    heading: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Grid:
    """A table under a heading; `widths` are shares of the page's width."""

    heading: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]


@dataclass(frozen=True)
class Words:
    """Paragraphs under a heading."""

    heading: str
    paragraphs: Sequence[str]


def text_pdf(title: str, paragraphs: Sequence[str]) -> bytes:
    """Return a PDF of a title and paragraphs. A sign that Western Europe does not write becomes a plain letter, or "?"."""
    lines = [
        line
        for paragraph in paragraphs
        for line in (*textwrap.wrap(printable(paragraph), _COLUMNS, break_on_hyphens=False), "")
    ]
    return lines_pdf(title, lines)


def lines_pdf(title: str, lines: Sequence[str], typeface: str = "Helvetica") -> bytes:
    """Return a PDF of a title and lines that are short enough for a page (88 signs)."""
    shown = textwrap.shorten(printable(title), _TITLE_LENGTH, placeholder="...")
    out = BytesIO()
    canvas = Canvas(out, pagesize=letter, invariant=1, pageCompression=0)
    for start in range(0, max(1, len(lines)), _LINES_A_PAGE):
        number = start // _LINES_A_PAGE + 1
        canvas.setFont("Helvetica-Bold", 13)
        canvas.drawString(MARGIN, HEIGHT - MARGIN, shown if number == 1 else f"{shown} ({number})")
        text = canvas.beginText(MARGIN, HEIGHT - MARGIN - 26)
        text.setFont(typeface, 10, 13)
        for line in lines[start : start + _LINES_A_PAGE]:
            text.textLine(line)
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def sheet_pdf(title: str, blocks: Sequence[Rows | Grid | Words]) -> bytes:
    """Return a PDF of a title and blocks, on as many pages as they need."""
    out = BytesIO()
    template = SimpleDocTemplate(
        out,
        pagesize=letter,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN - 10,
        bottomMargin=FOOT + 8,
        invariant=1,
    )
    flow: list[Any] = [_said(title, _TITLE)]
    for block in blocks:
        flow.append(_said(block.heading, _HEADING))
        flow += _drawn(block, template.width)
    template.build(flow)
    return out.getvalue()


def printable(text: str) -> str:
    """The text in signs that the typefaces have: without its accents where they lack one, else a question mark."""
    return "".join(map(_sign, unicodedata.normalize("NFC", text)))


def _sign(sign: str) -> str:
    if sign in "\t\r\n":
        return " "
    if _has(sign):
        return sign if sign.isprintable() else ""
    plain = "".join(part for part in unicodedata.normalize("NFKD", sign) if not unicodedata.combining(part))
    plain = _PLAIN.get(sign, plain)
    return plain if plain and all(map(_has, plain)) else "?"


_PLAIN = {"Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "ı": "i", "Ħ": "H", "ħ": "h", "‐": "-", "‑": "-", "−": "-"}  # noqa: RUF001 - the signs themselves


def _has(sign: str) -> bool:
    try:
        sign.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _drawn(block: Rows | Grid | Words, width: float) -> list[Any]:
    match block:
        case Rows():
            cells = [[_said(label, _LABEL), _said(value, _BODY)] for label, value in block.rows]
            return [Table(cells, colWidths=[width * 0.3, width * 0.7], style=_RULED)] if cells else []
        case Grid():
            cells = [[_said(word, _HEAD) for word in block.head]]
            cells += [[_said(value, _BODY) for value in row] for row in block.rows]
            return [Table(cells, colWidths=[width * share for share in block.widths], style=_RULED, repeatRows=1)]
        case Words():
            return [part for text in block.paragraphs for part in (_said(text, _BODY), Spacer(1, 3))]


def _said(text: str, style: Any) -> Any:
    return Paragraph(escape(printable(text)), style)
