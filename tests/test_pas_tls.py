"""A payer that wants to see who calls, in TLS itself: our certificate by settings, and what is wrong with one."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from runtime import httpclient
from runtime.errors import MissingSecret, SettingsError
from runtime.settings import ClientCertificate, Settings

DAY = timedelta(days=1)
PASSWORD = b"of the key"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """A certificate authority of a test, and files of what it signs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name("authority")
        self.file = folder / "authority.pem"
        made = self._made("authority", self.key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.file.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _made(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
        )

    def sign(self, name: str, password: bytes | None = None) -> ClientCertificate:
        key = ec.generate_private_key(ec.SECP256R1())
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = self._made(name, key).add_extension(here, critical=False).sign(self.key, hashes.SHA256())
        files = ClientCertificate(certificate=self.folder / f"{name}.pem", key=self.folder / f"{name}.key")
        files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        sealed = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        encoding, shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        files.key.write_bytes(key.private_bytes(encoding, shape, sealed))
        files.key.chmod(0o600)
        return files


@asynccontextmanager
async def payer(authority: Authority) -> AsyncIterator[str]:
    """A server on a real socket that speaks only with whom the authority has signed."""
    own = authority.sign("payer")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        who = dict(part[0] for part in writer.get_extra_info("peercert")["subject"])["commonName"]
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(who)}\r\nconnection: close\r\n\r\n{who}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def settings_with(tmp_path: Path, **certificates: ClientCertificate) -> Settings:
    return Settings(home=tmp_path / "home", keys_file=tmp_path / "keys", client_certificates=certificates)


@pytest.mark.parametrize("password", [None, PASSWORD])
async def test_a_payer_sees_our_certificate_and_without_one_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: bytes | None
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    settings = settings_with(tmp_path, meridian_ppo=authority.sign("lakeside", password))
    if password:
        with pytest.raises(MissingSecret):
            httpclient.tls(settings, "meridian-ppo")
        settings.secrets_by_name["meridian-ppo.client_key"] = SecretStr(password.decode())
    async with payer(authority) as url:
        async with httpclient.client(settings, verify=httpclient.tls(settings, "meridian-ppo")) as http:
            assert (await http.get(url)).text == "lakeside"
        assert httpclient.tls(settings, "summit-ma") is True
        unknown = ssl.create_default_context(cafile=str(authority.file))
        async with httpclient.client(settings, verify=unknown) as http:
            with pytest.raises(httpx.HTTPError):
                await http.get(url)


def test_a_certificate_that_cannot_be_used_says_which(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good = authority.sign("lakeside")
    missing = settings_with(tmp_path, payer=ClientCertificate(certificate=tmp_path / "none.pem", key=good.key))
    with pytest.raises(SettingsError, match=r"none\.pem"):
        httpclient.tls(missing, "payer")
    other = authority.sign("other")
    wrong = settings_with(tmp_path, payer=ClientCertificate(certificate=good.certificate, key=other.key))
    with pytest.raises(SettingsError, match="for payer cannot be used"):
        httpclient.tls(wrong, "payer")
    good.key.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        httpclient.tls(settings_with(tmp_path, payer=good), "payer")
