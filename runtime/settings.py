"""Every setting of every Vigil process: one typed, frozen object, read from `VIGIL_…` and `TEMPORAL_…`.

Nested values use two underscores (`VIGIL_HOSTS__SANDBOX=https://…`). Temporal's own address, namespace, TLS and API key
come from the standard `TEMPORAL_*` variables and profiles. Nothing else in the product reads the environment.
"""

import json
import re
import secrets
import stat
from functools import cached_property
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from temporalio.envconfig import ClientConfig, ClientConnectConfig

from runtime.errors import MissingSecret, SettingsError, UnknownPlaceholder

_ROOT = Path(__file__).resolve().parent.parent
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SIMULATED = re.compile(r"\{sandbox\}/([a-z]+)")
_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700


SIMULATED = (
    "payers", "clearinghouses", "gateways", "stedi", "nextgen", "luma", "clearwave", "fax", "direct",
)  # fmt: skip
"""The systems of the sandbox, by the first word of their paths, in the order of their ports."""


class ClientCertificate(BaseModel):
    """By what Vigil shows in TLS who it is: two PEM files. The key's mode is 0600; its password is a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path
    key: Path


class Settings(BaseSettings):
    """What a process of Vigil needs to know. Frozen: a change is a restart."""

    model_config = SettingsConfigDict(
        env_prefix="VIGIL_",
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=False,
    )

    home: Path = Field(
        default=Path(".vigil"),
        description="Folder that holds all that Vigil keeps on this machine, but the keys; mode 0700.",
    )
    keys_file: Path = Field(
        default=Path(".vigil-keys"), description="Encryption keys; mode 0600, outside `home`. Back it up elsewhere."
    )
    keys: SecretStr | None = Field(
        default=None, description="The content of the key file, instead of the file (for containers)."
    )
    build_id: str = Field(
        default="dev", description="Name of this build of the code, shown on workers and in `/healthz`."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged."
    )

    api_host: str = Field(default="127.0.0.1", description="Address that the API listens on.")
    api_port: int = Field(default=8080, ge=1, le=65535, description="Port of the API.")
    codec_endpoint_public: bool = Field(
        default=False, description="Serve the codec for the Temporal Web UI and CLI beyond loopback too."
    )
    ui_port: int = Field(default=8233, ge=1, le=65535, description="Port of the embedded Temporal Web UI.")
    temporal_port: int = Field(default=7233, ge=1, le=65535, description="Port of the embedded Temporal server.")
    task_queue: str = Field(default="vigil", min_length=1, description="Temporal task queue of the case workflows.")
    drain_seconds: float = Field(
        default=30, ge=0, description="Seconds that a worker gives running activities to finish after SIGTERM."
    )
    worker_host: str = Field(default="127.0.0.1", description="Address of a worker's health and metrics.")
    worker_port: int | None = Field(
        default=9464, ge=1, le=65535, description="Port of a worker's `/healthz` and `/metrics`; empty for none."
    )
    sdk_metrics_port: int | None = Field(
        default=None, ge=1, le=65535, description="Port of the Temporal SDK's own Prometheus metrics; empty for none."
    )

    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL, as `postgresql://…`; empty for the embedded server in `home`."
    )
    documents_url: str | None = Field(
        default=None, description="Where documents lie: `s3://bucket/prefix`; empty for a folder in `home`."
    )

    sandbox_url: str = Field(default="http://127.0.0.1:8090", description="Base URL of the simulated outside world.")
    sandbox_apart: bool = Field(
        default=True,
        description="Every simulated system is a process of its own, at the ports from `sandbox_url`'s on.",
    )
    hosts: dict[str, str] = Field(
        default_factory=dict,
        description="Base URLs for the placeholders in policies and practices; `sandbox` defaults to `sandbox_url`.",
    )
    send_case_time: bool = Field(
        default=False, description="Send the case's time with requests (X-Vigil-Now); for the sandbox only."
    )
    policies_dir: Path = Field(default=_ROOT / "policies", description="Folder with one YAML file of rules a payer.")
    practices_file: Path | None = Field(
        default=None, description="YAML file with the practices; empty for `practices.yaml` in `home`."
    )
    public_url: str | None = Field(
        default=None,
        description="Base URL by which payers reach the API; empty: no subscription is kept, and Vigil only asks.",
    )
    client_certificates: dict[str, ClientCertificate] = Field(
        default_factory=dict,
        description="Certificate and key (PEM files) that a payer wants to see in TLS, by the payer's id: "
        "VIGIL_CLIENT_CERTIFICATES__<PAYER>__CERTIFICATE and …__KEY. The key's password is the secret <payer>.client_key.",
    )
    secrets_by_name: dict[str, SecretStr] = Field(
        default_factory=dict,
        validation_alias="VIGIL_SECRET",
        description="Secrets from VIGIL_SECRET__<NAME>; they win over `secrets.json` in `home`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: object) -> object:
        # An empty variable in a compose file means "not set", not "a path that is empty".
        return {k: v for k, v in values.items() if v != ""} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _keys_lie_apart(self) -> Self:
        if self.keys is None and self.keys_path.is_relative_to(self.home_path):
            msg = (
                "VIGIL_KEYS_FILE lies inside VIGIL_HOME; whoever copies the data would have the keys. Put it elsewhere."
            )
            raise ValueError(msg)
        return self

    @cached_property
    def home_path(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().absolute()

    @cached_property
    def keys_path(self) -> Path:
        """`keys_file`, absolute."""
        return self.keys_file.expanduser().absolute()

    @cached_property
    def practices_path(self) -> Path:
        """The practices file in force."""
        return self.practices_file or self.home_path / "practices.yaml"

    @cached_property
    def secrets_path(self) -> Path:
        """The file of secrets; it need not exist."""
        return self.home_path / "secrets.json"

    def ensure_home(self) -> Path:
        """Create `home` (0700) where it is missing, close it to others where it is open, and return it."""
        self.home_path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        self.home_path.chmod(_PRIVATE_FOLDER)
        return self.home_path

    def sandbox_at(self, system: str) -> str:
        """Return the base URL of a simulated system, by the first word of its paths."""
        at = urlsplit(self.sandbox_url.rstrip("/"))
        if not self.sandbox_apart or system not in SIMULATED:
            return at.geturl()
        return at._replace(netloc=f"{at.hostname}:{(at.port or 80) + SIMULATED.index(system)}").geturl()

    def resolve_url(self, template: str) -> str:
        """Fill the placeholders (`{sandbox}`) of a URL.

        Raises:
            UnknownPlaceholder: a placeholder that neither `hosts` nor `sandbox_url` fills.
        """
        known = {"sandbox": self.sandbox_url, **self.hosts}
        if "sandbox" not in self.hosts:
            template = _SIMULATED.sub(lambda match: self.sandbox_at(match[1]) + "/" + match[1], template)

        def fill(match: re.Match[str]) -> str:
            name = match[1]
            if name not in known:
                raise UnknownPlaceholder(name, sorted(known))
            return known[name].rstrip("/")

        return _PLACEHOLDER.sub(fill, template)

    def secret(self, name: str) -> SecretStr:
        """Return a secret by its name, from `VIGIL_SECRET__<NAME>` or else from `secrets.json`.

        Names are compared in lower case, with `_` for every sign but letters and digits: `meridian-ppo.webhook` is
        `VIGIL_SECRET__MERIDIAN_PPO_WEBHOOK`.

        Raises:
            MissingSecret: neither holds it.
            SettingsError: the file cannot be read as a JSON object of strings, or others may read it.
        """
        wanted = _secret_key(name)
        for known, value in self.secrets_by_name.items():
            if _secret_key(known) == wanted:
                return value
        for known, value in self._secrets_file().items():
            if _secret_key(known) == wanted:
                return value
        raise MissingSecret(name, f"VIGIL_SECRET__{wanted.upper()}", str(self.secrets_path))

    def client_certificate(self, name: str) -> ClientCertificate | None:
        """Return the certificate for whom we call, by name (compared as names of secrets are); None where none is set."""
        wanted = _secret_key(name)
        return next((held for known, held in self.client_certificates.items() if _secret_key(known) == wanted), None)

    def _secrets_file(self) -> dict[str, SecretStr]:
        path = self.secrets_path
        if not path.exists():
            return {}
        require_private(path)
        try:
            content = json.loads(path.read_text())
        except ValueError:
            content = None
        if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
            raise SettingsError(f'{path} must be a JSON object of strings: {{"name": "secret"}}.')
        return {name: SecretStr(value) for name, value in content.items()}

    def temporal_connect(self) -> ClientConnectConfig:
        """Arguments of `Client.connect` by the standard `TEMPORAL_*` settings, or the embedded server."""
        config = ClientConfig.load_client_connect_config()
        config.setdefault("target_host", f"127.0.0.1:{self.temporal_port}")
        config.setdefault("namespace", "default")
        return config


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a value cannot be used; the message names each variable, not its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"VIGIL_{'__'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors()]
        raise SettingsError("These settings cannot be used:\n  " + "\n  ".join(lines)) from None


def require_private(path: Path) -> None:
    """Refuse a file that others than its owner may read or write.

    Raises:
        SettingsError: its mode is wider than 0600.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~_PRIVATE_FILE:
        raise SettingsError(f"{path} has mode {mode:04o}; others may use it. Run: chmod 600 {path}")


def write_private(path: Path, content: str) -> None:
    """Write a file of mode 0600 in one step: a reader sees the old content or the new one."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    part.touch(mode=_PRIVATE_FILE)
    part.chmod(_PRIVATE_FILE)
    part.write_text(content)
    part.replace(path)


def _secret_key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())
