"""A short text as a PDF: what is filed in a chart has to be readable there for as long as charts are kept.

One typeface of every reader (Helvetica), no compression, no date of its own: the same text is the same bytes.
"""

import textwrap
from collections.abc import Sequence

_LINES_A_PAGE = 52
_COLUMNS = 92
_LETTER = "612 792"
"""Width and height of US Letter, in points."""


def text_pdf(title: str, paragraphs: Sequence[str]) -> bytes:
    """Return a PDF of a title and paragraphs. A sign that Western Europe does not write becomes a question mark."""
    lines = [
        line for paragraph in paragraphs for line in (*textwrap.wrap(paragraph, _COLUMNS, break_on_hyphens=False), "")
    ]
    pages = [lines[start : start + _LINES_A_PAGE] for start in range(0, len(lines), _LINES_A_PAGE)] or [[]]
    first_page = 5
    kids = " ".join(f"{first_page + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        _font("Helvetica"),
        _font("Helvetica-Bold"),
    ]
    for number, page in enumerate(pages):
        content = _page(title if number == 0 else f"{title} ({number + 1})", page)
        resources = "<< /Font << /F1 3 0 R /F2 4 0 R >> >>"
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_LETTER}] /Resources {resources} "
            f"/Contents {first_page + 2 * number + 1} 0 R >>".encode(),
            f"<< /Length {len(content)} >>\nstream\n".encode() + content + b"\nendstream",
        ]
    return _file(objects)


def _font(name: str) -> bytes:
    return f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>".encode()


def _page(title: str, lines: Sequence[str]) -> bytes:
    head = b"BT /F2 13 Tf 14 TL 54 738 Td " + _shown(textwrap.shorten(title, 80, placeholder="...")) + b" Tj T* T* "
    return head + b"/F1 10.5 Tf 13 TL " + b" ".join(_shown(line) + b" Tj T*" for line in lines) + b" ET"


def _shown(line: str) -> bytes:
    encoded = line.encode("cp1252", "replace")
    return b"(" + encoded.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)") + b")"


def _file(objects: Sequence[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)
