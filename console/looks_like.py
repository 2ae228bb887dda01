"""What a file looks like that is no answer by the rail that it was read for: a hint for whoever gave it."""

import re

from connectors.lenient import NotJson, parse

_BLANK = b"\xef\xbb\xbf \t\r\n"
_FAR = 65_536
_ISA = re.compile(rb"\bISA([^0-9A-Za-z\s])00\1")
_OF_GATEWAY = frozenset({"serviceReviews", "statusCode", "certificationNumber", "procedures", "userMessage"})
_BINARY = (
    (b"%PDF", "It is a PDF: a person reads it."),
    (b"PK\x03\x04", "It is a ZIP archive: unpack it first."),
    (b"\x1f\x8b", "It is compressed (gzip): unpack it first."),
    (b"\xff\xfe", "It is text in UTF-16: save it as UTF-8."),
    (b"\xfe\xff", "It is text in UTF-16: save it as UTF-8."),
)


def hint(body: bytes, rail: str) -> str | None:
    """Return what to do with a file that could not be read by a rail, as a sentence; None where it looks like nothing."""
    for sign, said in _BINARY:
        if body.startswith(sign):
            return said
    start = body.lstrip(_BLANK)
    interchange = _ISA.search(body[:_FAR])
    if interchange is not None and not start.startswith(b"ISA"):
        return "X12 stands further on in it (ISA): take that out of what it came in, and read it with --rail x12."
    if interchange is not None:
        return _other("X12", "x12", rail)
    if start[:1] == b"<" and b"http://hl7.org/fhir" in start[:_FAR]:
        return "It looks like FHIR in XML, which is not read: ask for JSON."
    if start[:1] == b"[":
        return _other("a gateway's list", "gateway", rail)
    try:
        found = parse(body)
    except NotJson:
        return None
    if "resourceType" in found:
        return _other("FHIR", "pas", rail)
    if _OF_GATEWAY & found.keys():
        return _other("a gateway's answer", "gateway", rail)
    return None


def _other(what: str, fits: str, rail: str) -> str | None:
    return f"It looks like {what}: read it with --rail {fits}." if fits != rail else None
