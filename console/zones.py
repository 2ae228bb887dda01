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
    if not items:
        return UTC
    try:
        practices = load_practices(settings.practices_path, settings.resolve_url)
    except PracticesError:
        # The terminal may be on another machine than the practices file.
        return UTC
    practice = practices.get(items[0].practice)
    return ZoneInfo(practice.time_zone) if practice else UTC
