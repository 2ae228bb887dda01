"""Settings and practices: what is read, what is refused, and with which sentence."""

from pathlib import Path

import pytest
import yaml

from runtime.errors import MissingSecret, PracticesError, SettingsError, UnknownPlaceholder
from runtime.practices import Capability, load_practices
from runtime.settings import Settings, load_settings

EXAMPLE = Path(__file__).parent.parent / "examples" / "practices.yaml"


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_defaults_are_the_documented_ones(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings()

    assert (settings.api_host, settings.api_port, settings.ui_port, settings.temporal_port) == (
        "127.0.0.1",
        8080,
        8233,
        7233,
    )
    assert settings.home_path == tmp_path / ".vigil"
    assert settings.keys_path == tmp_path / ".vigil-keys"
    assert not settings.codec_endpoint_public
    assert settings.temporal_connect() == {"target_host": "127.0.0.1:7233", "namespace": "default"}


def test_every_setting_is_documented() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_is_read_nested_and_empty_means_unset(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("VIGIL_API_PORT", "9090")
    clean.setenv("VIGIL_HOSTS__MERIDIAN", "https://pas.meridian.example/")
    clean.setenv("VIGIL_DATABASE_URL", "")
    clean.setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
    clean.setenv("TEMPORAL_NAMESPACE", "vigil-prod")
    settings = load_settings()

    assert settings.api_port == 9090
    assert settings.database_url is None
    assert settings.resolve_url("{meridian}/fhir") == "https://pas.meridian.example/fhir"
    assert settings.temporal_connect() == {"target_host": "temporal.example:7233", "namespace": "vigil-prod"}


def test_a_wrong_value_is_named_and_not_shown(clean: pytest.MonkeyPatch) -> None:
    clean.setenv("VIGIL_API_PORT", "hunter2")
    with pytest.raises(SettingsError, match="VIGIL_API_PORT") as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_settings_do_not_change(settings: Settings) -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.api_port = 1  # type: ignore[misc]


def test_the_home_is_closed_to_others(settings: Settings) -> None:
    settings.home_path.mkdir(mode=0o755)
    assert settings.ensure_home().stat().st_mode & 0o777 == 0o700


def test_keys_inside_the_home_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="VIGIL_KEYS_FILE lies inside VIGIL_HOME"):
        Settings(home=tmp_path, keys_file=tmp_path / "keys")


def test_an_unknown_placeholder_says_which_setting_fills_it(settings: Settings) -> None:
    assert settings.resolve_url("{sandbox}/payers") == "http://127.0.0.1:8090/payers"
    with pytest.raises(UnknownPlaceholder, match="VIGIL_HOSTS__SUMMIT"):
        settings.resolve_url("https://{summit}/fhir")


def test_secrets_come_from_the_environment_before_the_file(clean: pytest.MonkeyPatch, settings: Settings) -> None:
    settings.ensure_home()
    settings.secrets_path.write_text('{"lakeside.ehr": "from file", "meridian-ppo.webhook": "from file"}')
    settings.secrets_path.chmod(0o600)
    clean.setenv("VIGIL_SECRET__MERIDIAN_PPO_WEBHOOK", "from environment")
    settings = Settings(home=settings.home, keys_file=settings.keys_file)

    assert settings.secret("lakeside.ehr").get_secret_value() == "from file"
    assert settings.secret("meridian-ppo.webhook").get_secret_value() == "from environment"
    assert "from environment" not in repr(settings)
    with pytest.raises(MissingSecret, match=r'"summit\.key".*secrets\.json.*VIGIL_SECRET__SUMMIT_KEY'):
        settings.secret("summit.key")


def test_secrets_that_others_can_read_are_refused(settings: Settings) -> None:
    settings.ensure_home()
    settings.secrets_path.write_text("{}")
    settings.secrets_path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        settings.secret("anything")


def test_simulated_systems_are_apart_or_together() -> None:
    apart, together = Settings(sandbox_url="http://127.0.0.1:9000/"), Settings(sandbox_apart=False)
    assert apart.resolve_url("{sandbox}/payers/x/fhir") == "http://127.0.0.1:9000/payers/x/fhir"
    assert apart.resolve_url("{sandbox}/fax/v1") == "http://127.0.0.1:9007/fax/v1"
    assert together.resolve_url("{sandbox}/fax/v1") == "http://127.0.0.1:8090/fax/v1"
    named = Settings(hosts={"sandbox": "https://elsewhere.example"})
    assert named.resolve_url("{sandbox}/fax/v1") == "https://elsewhere.example/fax/v1"


def test_the_example_practices_load_with_their_urls_filled(settings: Settings) -> None:
    practices = load_practices(EXAMPLE, settings.resolve_url)
    lakeside = practices["lakeside"]

    assert lakeside.ehr.fhir_url == "http://127.0.0.1:8094/nextgen/fhir/R4"
    assert lakeside.ehr.client_id == "lakeside"
    assert lakeside.ehr.capability("tasks.write") is Capability.GRANTED
    assert lakeside.ehr.capability("never.heard.of") is Capability.OFF
    assert (lakeside.messaging.quiet_from.hour, lakeside.messaging.quiet_until.hour) == (20, 8)
    assert practices["hillcrest"].time_zone == "America/Denver"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("npi", "1234567890", "check digit"),
        ("time_zone", "Central", "IANA"),
        ("tax_id", None, "practices.0..tax_id"),
        ("colour", "blue", "practices.0..colour"),
    ],
)
def test_a_wrong_field_is_named_with_a_remedy(tmp_path: Path, field: str, value: str | None, said: str) -> None:
    content = yaml.safe_load(EXAMPLE.read_text())
    content["practices"][0][field] = value
    file = tmp_path / "practices.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(PracticesError, match=said) as refused:
        load_practices(file)
    assert str(file) in str(refused.value)


def test_a_practices_file_that_is_missing_broken_or_doubled_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "practices.yaml"
    with pytest.raises(PracticesError, match="VIGIL_PRACTICES_FILE"):
        load_practices(file)
    file.write_text("practices: [\n  {")
    with pytest.raises(PracticesError, match="line 2"):
        load_practices(file)
    file.write_text("practices: {}")
    with pytest.raises(PracticesError, match="at least one practice"):
        load_practices(file)
    content = yaml.safe_load(EXAMPLE.read_text())
    content["practices"][1]["id"] = "lakeside"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(PracticesError, match="there twice"):
        load_practices(file)
