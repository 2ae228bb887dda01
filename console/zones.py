"""In which time zone a terminal shows times: the practice's, where its file says it; else UTC."""

from collections.abc import Sequence
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from domain.view import CaseView
from runtime.errors import PracticesError
from runtime.practices import load_practices
from runtime.settings import Settings


def zone_of(settings: Settings, items: Sequence[CaseView]) -> tzinfo:
    """The zone of the practice whose cases are listed (a token sees one practice's only)."""
    return zone_of_practice(settings, items[0].practice) if items else UTC


def zone_of_practice(settings: Settings, practice_id: str) -> tzinfo:
    """The zone of a practice by its id."""
    try:
        practices = load_practices(settings.practices_path, settings.resolve_url)
    except PracticesError:
        # The terminal may be on another machine than the practices file.
        return UTC
    practice = practices.get(practice_id)
    return ZoneInfo(practice.time_zone) if practice else UTC
