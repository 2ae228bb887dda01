"""The key ring: AES-256 keys with ids, one of them active, and a root secret for keyed hashes.

What is sealed anywhere (Temporal's payloads, documents, the archive of facts, the spool) is sealed here. Sealing takes
the active key; opening takes whichever key the data names, so that keys rotate without touching what is already sealed.
Operator's page: docs/keys.md.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.errors import KeyRingError, SealBroken, SettingsError, UnknownKey
from runtime.settings import Settings, require_private, write_private

_KEY_BYTES = 32
_NONCE_BYTES = 12
_MAGIC = b"VS1"
_CASE_CHARACTERS = 26
_FINGERPRINT = "keys.fingerprint"


class _StoredKey(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: str = Field(pattern=r"^[a-z0-9-]{1,64}$")
    key: str
    created: datetime


class _StoredRing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    active: str
    root: str
    keys: tuple[_StoredKey, ...] = Field(min_length=1)


class _Fingerprint(BaseModel):
    """What `home` remembers of the keys that its data needs. Not secret: keyed hashes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: str
    keys: dict[str, str]


@dataclass(frozen=True)
class KeyRing:
    """Keys by id, which of them seals, and the root of the keyed hashes (which never rotates)."""

    active: str
    keys: dict[str, bytes] = field(repr=False)
    root: bytes = field(repr=False)
    created: dict[str, datetime] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.active not in self.keys:
            raise KeyRingError(
                f'The active key "{self.active}" is not among the keys. Restore the key file from its backup.'
            )
        if len(self.root) != _KEY_BYTES or any(len(key) != _KEY_BYTES for key in self.keys.values()):
            raise KeyRingError("A key is not 32 bytes long. Restore the key file from its backup.")
        object.__setattr__(self, "_ciphers", {key_id: AESGCM(key) for key_id, key in self.keys.items()})
        object.__setattr__(self, "_case_key", self.derive("case id"))

    @classmethod
    def create(cls) -> Self:
        """Make a ring with one new key."""
        key_id, now = _new_key_id()
        return cls(
            active=key_id,
            keys={key_id: secrets.token_bytes(_KEY_BYTES)},
            root=secrets.token_bytes(_KEY_BYTES),
            created={key_id: now},
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a ring from the content of a key file, or from that content in base64.

        Raises:
            KeyRingError: the text is not a key ring.
        """
        text = text.strip()
        try:
            if not text.startswith("{"):
                text = base64.b64decode(text, validate=True).decode()
            stored = _StoredRing.model_validate_json(text)
            keys = {k.id: base64.b64decode(k.key, validate=True) for k in stored.keys}
            root = base64.b64decode(stored.root, validate=True)
        except (ValidationError, binascii.Error, UnicodeDecodeError):
            # `from None`: the cause would carry the text, and the text is the keys.
            raise KeyRingError(
                "The keys are not a key ring as Vigil writes it. Restore them from their backup."
            ) from None
        return cls(active=stored.active, keys=keys, root=root, created={k.id: k.created for k in stored.keys})

    def to_json(self) -> str:
        """Return the content of the key file. It is the secret itself."""
        keys = tuple(
            _StoredKey(id=key_id, key=_b64(key), created=self.created.get(key_id, datetime.now(UTC)))
            for key_id, key in self.keys.items()
        )
        return _StoredRing(active=self.active, root=_b64(self.root), keys=keys).model_dump_json(indent=2) + "\n"

    def rotated(self) -> Self:
        """Return a ring with one more key, which is active from now on. The old ones still open what they sealed."""
        key_id, now = _new_key_id()
        return type(self)(
            active=key_id,
            keys={**self.keys, key_id: secrets.token_bytes(_KEY_BYTES)},
            root=self.root,
            created={**self.created, key_id: now},
        )

    def seal(self, data: bytes, aad: bytes) -> bytes:
        """Encrypt with the active key (AES-256-GCM). `aad` is authenticated, not stored: `open` needs the same."""
        name = self.active.encode()
        header = _MAGIC + bytes([len(name)]) + name
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return header + nonce + self._cipher(self.active).encrypt(nonce, data, header + aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            UnknownKey: the ring does not hold the key that it names.
            SealBroken: it is not sealed data, was altered, or `aad` is another one.
        """
        key_id = self.key_id_of(sealed)
        header = len(_MAGIC) + 1 + len(key_id)
        nonce, body = sealed[header : header + _NONCE_BYTES], sealed[header + _NONCE_BYTES :]
        if len(nonce) < _NONCE_BYTES:
            raise SealBroken("Sealed data is cut short. Take the copy in the backup.")
        try:
            return self._cipher(key_id).decrypt(nonce, body, sealed[:header] + aad)
        except InvalidTag:
            raise SealBroken(
                "Sealed data was altered, or belongs to something else than it was opened for. Take the backup's copy."
            ) from None

    @staticmethod
    def key_id_of(sealed: bytes) -> str:
        """Return the id of the key that data was sealed with, as its header says (not yet authenticated).

        Raises:
            SealBroken: it is not sealed data.
        """
        start = len(_MAGIC) + 1
        if not sealed.startswith(_MAGIC) or len(sealed) < start or len(sealed) < start + sealed[start - 1]:
            raise SealBroken("This is not data that Vigil sealed.")
        return sealed[start : start + sealed[start - 1]].decode("ascii", errors="replace")

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for one purpose (HKDF-SHA256 of the root), the same after every rotation."""
        return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=f"vigil {purpose}".encode()).derive(
            self.root
        )

    def case_id(self, practice: str, source: str, number: str) -> str:
        """Return the case id, which is the Temporal workflow id, of an order: a keyed hash, so that it says nothing.

        `practice` is the practice's id, `source` the system that numbered the order, `number` its order number there.
        """
        message = b"".join(lengthed(part.encode()) for part in (practice, source, number))
        digest = hmac.new(self._case_key_bytes(), message, hashlib.sha256).digest()
        return "case-" + base64.b32encode(digest).decode().lower()[:_CASE_CHARACTERS]

    def fingerprint(self) -> str:
        """Return what `home` may remember of this ring: JSON of keyed hashes, not secret."""
        root = hashlib.sha256(self.derive("fingerprint")).hexdigest()
        keys = {
            key_id: hmac.new(key, b"vigil fingerprint", hashlib.sha256).hexdigest()
            for key_id, key in sorted(self.keys.items())
        }
        return _Fingerprint(root=root, keys=keys).model_dump_json(indent=2) + "\n"

    def _cipher(self, key_id: str) -> AESGCM:
        ciphers: dict[str, AESGCM] = self.__dict__["_ciphers"]
        if key_id not in ciphers:
            raise UnknownKey(key_id)
        return ciphers[key_id]

    def _case_key_bytes(self) -> bytes:
        key: bytes = self.__dict__["_case_key"]
        return key


def load_keyring(settings: Settings) -> KeyRing:
    """Load the keys from the environment or the file; on the very first start create the file.

    New keys are made only where `home` does not remember earlier ones: new keys could not read the data.

    Raises:
        KeyRingError: the keys are missing, do not fit the data in `home`, or others may read the file.
    """
    remembered = _remembered(settings)
    if settings.keys is not None:
        ring = KeyRing.from_json(settings.keys.get_secret_value())
    elif settings.keys_path.exists():
        ring = _read(settings)
    elif remembered is not None:
        raise KeyRingError(
            f"The key file {settings.keys_path} is missing, and {settings.home_path} holds data sealed with its keys. "
            "Restore the key file from its backup (docs/keys.md); new keys could not read that data."
        )
    else:
        _write_new(settings, KeyRing.create())
        ring = _read(settings)
    if remembered is not None:
        _require_same(remembered, ring, settings)
    _remember(settings, ring)
    return ring


def rotate(settings: Settings) -> KeyRing:
    """Add a key and make it the active one, in the key file. Processes take it at their next start.

    Raises:
        KeyRingError: the keys come from the environment (put `rotated().to_json()` there), or cannot be loaded.
    """
    if settings.keys is not None:
        raise KeyRingError("The keys come from VIGIL_KEYS. Rotate the key file that it was made from, and set it anew.")
    ring = load_keyring(settings).rotated()
    # The file first: a fingerprint that names a key which was never written would lock the data out.
    write_private(settings.keys_path, ring.to_json())
    _remember(settings, ring)
    return ring


def lengthed(part: bytes) -> bytes:
    """Prefix bytes with their length, so that joined parts cannot be read in two ways."""
    return len(part).to_bytes(4, "big") + part


def _read(settings: Settings) -> KeyRing:
    try:
        require_private(settings.keys_path)
    except SettingsError as error:
        raise KeyRingError(str(error)) from None
    return KeyRing.from_json(settings.keys_path.read_text())


def _write_new(settings: Settings, ring: KeyRing) -> None:
    path = settings.keys_path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    write_private(part, ring.to_json())
    try:
        # Two processes may start at once: a link is whole or absent, and whoever comes second reads the first one.
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()


def _remembered(settings: Settings) -> _Fingerprint | None:
    path = settings.home_path / _FINGERPRINT
    if not path.exists():
        return None
    try:
        return _Fingerprint.model_validate_json(path.read_text())
    except ValidationError:
        raise KeyRingError(
            f"{path} cannot be read. Restore it, with the keys, from the backup (docs/keys.md)."
        ) from None


def _remember(settings: Settings, ring: KeyRing) -> None:
    path = settings.ensure_home() / _FINGERPRINT
    content = ring.fingerprint()
    if not path.exists() or path.read_text() != content:
        write_private(path, content)


def _require_same(remembered: _Fingerprint, ring: KeyRing, settings: Settings) -> None:
    held = _Fingerprint.model_validate_json(ring.fingerprint())
    if held.root != remembered.root:
        raise KeyRingError(
            f"These keys are not the ones that the data in {settings.home_path} was sealed with. "
            "Restore the key file from its backup (docs/keys.md)."
        )
    missing = sorted(key_id for key_id, mark in remembered.keys.items() if held.keys.get(key_id) != mark)
    if missing:
        raise KeyRingError(
            f"The keys lack {', '.join(missing)}, which data in {settings.home_path} was sealed with. "
            "Restore a newer backup of the key file (docs/keys.md)."
        )


def _new_key_id() -> tuple[str, datetime]:
    now = datetime.now(UTC)
    return f"k{now:%Y%m%d}-{secrets.token_hex(4)}", now


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
