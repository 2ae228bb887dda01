"""The one way in which the doors read JSON: strictly, so that what was sent has one meaning, and can be kept."""

import json
import math
from typing import Any

from fastapi import Request
from typing_extensions import override

from api.problems import FieldProblem, Problem

_LONGEST_NUMBER = 40
"""Signs of a number; whatever an order or a report says is shorter."""


class _Refused(ValueError):
    """It is JSON, and not what may be sent; the sentence says why, without a value."""

    def __init__(self, why: str, name: str = "") -> None:
        super().__init__(why)
        self.name = name


class StrictRequest(Request):
    """A request whose body reads as JSON in the way of the doors, also where FastAPI reads it."""

    @override
    async def json(self) -> Any:
        """The body. Raises `Problem`."""
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body())
        return self._json


def read_json(body: bytes) -> Any:
    """What a body says, as UTF-8 with or without a byte order mark.

    Raises `Problem` (400): it is no JSON; a name stands twice in one object, of which readers choose differently; a number
    is none (NaN, Infinity) or is too large; text is not Unicode; it is nested too deeply.
    """
    try:
        said = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_float=_float,
            parse_int=_int,
        )
        if b"\\u" in body:
            json.dumps(said, ensure_ascii=False).encode()
    except _Refused as error:
        raise _not_json(str(error), error.name) from None
    except json.JSONDecodeError as error:
        raise _not_json(f"{error.msg}, in line {error.lineno}, column {error.colno}") from None
    except UnicodeError:
        raise _not_json("it must be whole Unicode text in UTF-8") from None
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    return said


def _not_json(why: str, name: str = "") -> Problem:
    at = [FieldProblem(pointer="", field=name[:200], detail=f"Send it once: {why}.")] if name else ()
    return Problem(400, "not_json", f"The body cannot be read as JSON: {why}. Correct it and send it again.", errors=at)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise _Refused("a name stands twice in one object", twice.encode(errors="replace").decode())
    return found


def _no_constant(_name: str) -> float:
    raise _Refused("NaN and Infinity are no numbers")


def _float(text: str) -> float:
    number = float(text) if len(text) <= _LONGEST_NUMBER else math.inf
    if not math.isfinite(number):
        raise _Refused("a number is too large or too long")
    return number


def _int(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise _Refused("a number is too large or too long")
    return int(text)
