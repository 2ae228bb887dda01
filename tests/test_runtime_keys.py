"""The key ring: sealing, rotation, backup, and never new keys beside old data."""

import base64
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from runtime.errors import KeyRingError, SealBroken, UnknownKey
from runtime.keys import KeyRing, load_keyring, rotate
from runtime.settings import Settings

RING = KeyRing.create()


@given(data=st.binary(max_size=200), aad=st.binary(max_size=50))
def test_what_is_sealed_opens_with_the_same_association_only(data: bytes, aad: bytes) -> None:
    sealed = RING.seal(data, aad)

    assert RING.open(sealed, aad) == data
    with pytest.raises(SealBroken):
        RING.open(sealed, aad + b"x")


@given(position=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
def test_no_byte_can_be_changed(position: int, flip: int) -> None:
    sealed = bytearray(RING.seal(b"knee MRI", b"lakeside"))
    sealed[position % len(sealed)] ^= flip
    with pytest.raises((SealBroken, UnknownKey)):
        RING.open(bytes(sealed), b"lakeside")


@given(length=st.integers(min_value=0, max_value=60))
def test_what_is_cut_short_is_refused(length: int) -> None:
    sealed = RING.seal(b"0123456789", b"")
    with pytest.raises((SealBroken, UnknownKey)):
        RING.open(sealed[: min(length, len(sealed) - 1)], b"")


def test_the_first_start_makes_private_keys_and_the_next_reads_them(settings: Settings) -> None:
    first = load_keyring(settings)

    assert settings.keys_path.stat().st_mode & 0o777 == 0o600
    assert load_keyring(settings).open(first.seal(b"x", b""), b"") == b"x"
    assert [p.name for p in settings.keys_path.parent.iterdir() if p.name.startswith("keys.")] == []


def test_keys_that_others_can_read_stop_the_start(settings: Settings) -> None:
    load_keyring(settings)
    settings.keys_path.chmod(0o640)
    with pytest.raises(KeyRingError, match=r"mode 0640.*chmod 600"):
        load_keyring(settings)


def test_new_keys_are_never_made_beside_old_data(settings: Settings) -> None:
    load_keyring(settings)
    settings.keys_path.unlink()
    with pytest.raises(KeyRingError, match="Restore the key file from its backup"):
        load_keyring(settings)
    assert not settings.keys_path.exists()


def test_keys_of_another_installation_are_refused(settings: Settings) -> None:
    load_keyring(settings)
    settings.keys_path.write_text(KeyRing.create().to_json())
    with pytest.raises(KeyRingError, match="not the ones"):
        load_keyring(settings)


def test_a_backup_restored_brings_everything_back(settings: Settings, tmp_path: Path) -> None:
    ring = load_keyring(settings)
    sealed, case = ring.seal(b"x", b""), ring.case_id("lakeside", "nextgen", "A-1")
    backup = shutil.copy2(settings.keys_path, tmp_path / "backup")
    settings.keys_path.unlink()

    shutil.copy2(backup, settings.keys_path)
    restored = load_keyring(settings)
    assert restored.open(sealed, b"") == b"x"
    assert restored.case_id("lakeside", "nextgen", "A-1") == case


def test_rotation_seals_anew_and_still_opens_what_was(settings: Settings) -> None:
    before = load_keyring(settings)
    old = before.seal(b"old", b"")
    after = rotate(settings)
    new = after.seal(b"new", b"")

    assert after.active != before.active
    assert KeyRing.key_id_of(new) == after.active
    assert [load_keyring(settings).open(sealed, b"") for sealed in (old, new)] == [b"old", b"new"]
    assert settings.keys_path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UnknownKey, match=after.active):
        before.open(new, b"")


def test_a_backup_from_before_a_rotation_is_refused_and_the_lacking_key_named(settings: Settings) -> None:
    load_keyring(settings)
    backup = settings.keys_path.read_text()
    lacking = rotate(settings).active
    settings.keys_path.write_text(backup)
    with pytest.raises(KeyRingError, match=f"lack {lacking}"):
        load_keyring(settings)


def test_keys_from_the_environment_serve_as_the_file_does(settings: Settings) -> None:
    ring = load_keyring(settings)
    text = settings.keys_path.read_text()
    settings.keys_path.unlink()
    for content in (text, base64.b64encode(text.encode()).decode()):
        by_environment = settings.model_copy(update={"keys": SecretStr(content)})
        assert load_keyring(by_environment).active == ring.active
        with pytest.raises(KeyRingError, match="VIGIL_KEYS"):
            rotate(by_environment)


def test_a_broken_key_file_is_refused_without_showing_it(settings: Settings) -> None:
    settings.keys_path.write_text('{"active": "k1", "root": "c2VjcmV0", "keys": [{"id": "k1", "key": "c2VjcmV0"}]}')
    settings.keys_path.chmod(0o600)
    with pytest.raises(KeyRingError) as refused:
        load_keyring(settings)
    assert "c2VjcmV0" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_nothing_secret_is_in_a_representation_or_a_fingerprint() -> None:
    secrets = [base64.b64encode(key).decode() for key in (RING.root, *RING.keys.values())]
    for shown in (repr(RING), str(RING), RING.fingerprint()):
        assert not any(secret in shown for secret in secrets)
        assert not any(key.hex() in shown or repr(key) in shown for key in RING.keys.values())


def test_case_ids_are_stable_over_rotation_and_say_nothing() -> None:
    case = RING.case_id("lakeside", "nextgen", "ORD-1001")

    assert RING.rotated().rotated().case_id("lakeside", "nextgen", "ORD-1001") == case
    assert KeyRing.from_json(RING.to_json()).case_id("lakeside", "nextgen", "ORD-1001") == case
    assert KeyRing.create().case_id("lakeside", "nextgen", "ORD-1001") != case
    assert case.startswith("case-")
    assert len(case) == len("case-") + 26
    assert case == case.lower()
    assert "/" not in case


def test_case_ids_do_not_run_parts_together() -> None:
    parts = [("a", "b", "c"), ("ab", "", "c"), ("a", "bc", ""), ("", "ab", "c"), ("b", "a", "c")]
    assert len({RING.case_id(*three) for three in parts}) == len(parts)
