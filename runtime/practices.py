"""The practices that this installation serves: who they are, and how their systems are reached.

One YAML file (`practices.yaml` in `home` by default; `examples/practices.yaml` shows every field). Credentials are
not in it: it names them, and `Settings.secret` supplies them.
"""

from collections.abc import Callable
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from runtime.errors import PracticesError, UnknownPlaceholder

_NPI_PREFIX = "80840"
_NPI_DIGITS = 10


class Capability(StrEnum):
    """Whether a practice's EHR lets Vigil do something. What is not listed is off: a person does it."""

    GRANTED = "granted"
    """Proven: the practice's portal shows the grant."""
    ASSUMED = "assumed"
    """Tried, and a person takes over when it is refused."""
    OFF = "off"


def _luhn_npi(npi: str) -> str:
    # 45 CFR 162.406: ten digits, Luhn over the prefix 80840 and the number.
    if len(npi) != _NPI_DIGITS or not npi.isascii() or not npi.isdigit():
        raise ValueError("an NPI has ten digits, in quotes")
    doubled = [int(d) * (2 if i % 2 else 1) for i, d in enumerate(reversed(_NPI_PREFIX + npi))]
    if sum(d // 10 + d % 10 for d in doubled) % 10:
        raise ValueError("the NPI's check digit is wrong; compare it with the NPI registry")
    return npi


def _iana(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not an IANA time zone such as America/Chicago") from None
    return zone


def _http(url: str) -> str:
    if not url.startswith(("http://", "https://", "{")):
        raise ValueError("a URL starts with https://, http:// or a placeholder such as {sandbox}")
    return url.rstrip("/")


Npi = Annotated[str, AfterValidator(_luhn_npi)]
Zone = Annotated[str, AfterValidator(_iana)]
Url = Annotated[str, AfterValidator(_http)]
Name = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Address(_Part):
    """A postal address in the United States."""

    line1: Name
    line2: str | None = None
    city: Name
    state: str = Field(pattern=r"^[A-Z]{2}$")
    postal_code: str = Field(pattern=r"^\d{5}(-?\d{4})?$")


class Contact(_Part):
    """Who payers and portals may ask about a request."""

    name: Name
    phone: Name
    email: str | None = None


class Ehr(_Part):
    """The practice's NextGen: one host for all, the installation is picked by `site_id`."""

    base_url: Url
    fhir_url: Url
    token_url: Url
    site_id: Name
    enterprise_id: Name
    practice_id: Name
    client_id: Name
    capabilities: dict[str, Capability] = Field(default_factory=dict)

    def capability(self, name: str) -> Capability:
        """Return whether Vigil may do `name` (`appointments.read`, `tasks.write` …); off unless the file says so."""
        return self.capabilities.get(name, Capability.OFF)


class Messaging(_Part):
    """The practice's Luma. No message goes out in the quiet hours: local to the practice, may span midnight."""

    base_url: Url
    client_id: Name
    quiet_from: time = time(20)
    quiet_until: time = time(8)

    @model_validator(mode="after")
    def _local_times(self) -> Self:
        if self.quiet_from.tzinfo or self.quiet_until.tzinfo:
            raise ValueError("quiet hours are the practice's local time, without an offset")
        return self


class CheckIn(_Part):
    """The practice's Clearwave drop."""

    url: Url
    key_id: Name


class Eligibility(_Part):
    """The practice's eligibility clearinghouse; `key` names the secret that holds the API key."""

    url: Url
    key: Name


class Practice(_Part):
    """One practice. Its id is the tenant: every row, token, query and sealed payload belongs to one."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]{1,40}$")
    name: Name
    npi: Npi
    tax_id: str = Field(pattern=r"^\d{2}-?\d{7}$")
    time_zone: Zone
    address: Address
    phone: Name
    fax: Name
    contact: Contact
    ehr: Ehr
    messaging: Messaging
    check_in: CheckIn
    eligibility: Eligibility


def load_practices(path: Path, resolve: Callable[[str], str] | None = None) -> dict[str, Practice]:
    """Load the practices, by id. `resolve` fills the placeholders of their URLs: pass `settings.resolve_url`.

    Raises:
        PracticesError: no such file, not YAML, or a field is missing or wrong; names file, field and remedy.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PracticesError(
            f"{path} cannot be read ({reason}). Copy examples/practices.yaml there, or set VIGIL_PRACTICES_FILE."
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise PracticesError(f"{path}{line}: not valid YAML. Compare it with examples/practices.yaml.") from None
    entries = content.get("practices") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise PracticesError(
            f"{path}: `practices` must be a list of at least one practice. See examples/practices.yaml."
        )
    practices: dict[str, Practice] = {}
    for index, entry in enumerate(entries):
        one = _practice(path, index, entry, resolve)
        if one.id in practices:
            raise PracticesError(
                f'{path}: practices[{index}].id: "{one.id}" is there twice. Give each practice its own id.'
            )
        practices[one.id] = one
    return practices


def _practice(path: Path, index: int, entry: object, resolve: Callable[[str], str] | None) -> Practice:
    try:
        return Practice.model_validate(entry if resolve is None else _resolved(entry, resolve))
    except UnknownPlaceholder as error:
        raise PracticesError(f"{path}: practices[{index}]: {error}") from None
    except ValidationError as error:
        lines = [f"  practices[{index}].{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise PracticesError(
            f"{path} cannot be used. Correct these fields (examples/practices.yaml shows each):\n" + "\n".join(lines)
        ) from None


def _resolved(value: Any, resolve: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _resolved(part, resolve) for key, part in value.items()}
    if isinstance(value, str) and value.startswith("{"):
        return resolve(value)
    return value
