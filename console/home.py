"""The home of a one-machine installation: the folder, the keys, the practices file and the secrets, made where missing."""

import json
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import SecretStr

from domain.policy import Policy
from runtime.keys import KeyRing, load_keyring
from runtime.practices import Practice, load_practices
from runtime.settings import Settings, require_private, write_private

ROOT = Path(__file__).resolve().parent.parent
TOKEN_FILE = "token"  # noqa: S105 - a file's name
_SECRET_BYTES = 24
_PRIVATE = 0o600


def prepare_home(settings: Settings) -> tuple[KeyRing, Mapping[str, Practice]]:
    """Make what is missing of the home, and return the keys and the practices.

    Raises:
        KeyRingError: the keys are missing or do not fit the data.
        PracticesError: the practices file cannot be used.
    """
    settings.ensure_home()
    keyring = load_keyring(settings)
    if settings.practices_file is None and not settings.practices_path.exists():
        shutil.copyfile(ROOT / "examples" / "practices.yaml", settings.practices_path)
        settings.practices_path.chmod(_PRIVATE)
    return keyring, load_practices(settings.practices_path, settings.resolve_url)


def prepare_secrets(settings: Settings, practices: Iterable[Practice], policies: Iterable[Policy]) -> None:
    """Add to `secrets.json` whatever a practice or payer of the simulated world needs and nobody has supplied.

    Raises:
        SettingsError: the file is not a JSON object of strings, or others may read it.
    """
    path = settings.secrets_path
    held: dict[str, str] = {}
    if path.exists():
        require_private(path)
        held = json.loads(path.read_text())
    wanted = {name: value for name, value in _wanted(practices, policies).items() if name not in held}
    if wanted:
        write_private(path, json.dumps({**held, **wanted}, indent=2) + "\n")


def _wanted(practices: Iterable[Practice], policies: Iterable[Policy]) -> dict[str, str]:
    policies = list(policies)
    carriers = sorted({channel.via for policy in policies for channel in policy.channels if channel.via})
    others = [*(policy.payer for policy in policies), *carriers]
    found = {f"{other}.webhook": _secret() for other in others}
    for practice in practices:
        found |= {f"{practice.id}.{what}": _secret() for what in ("ehr", "messaging", "check_in", *others)}
        # The clearinghouse of the sandbox tells practices by what stands before the colon of the key.
        found[practice.eligibility.key] = f"{practice.id}:{_secret()}"
    return found


def _secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


def saved_token(settings: Settings) -> SecretStr | None:
    """The token that `vigil up` left for this machine's terminal, or None.

    Raises:
        SettingsError: others may read the file.
    """
    path = settings.home_path / TOKEN_FILE
    if not path.exists():
        return None
    require_private(path)
    return SecretStr(path.read_text().strip())
