"""Reading the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import SettingsError
from config.fields import all_fields
from config.load import load, load_with_origins
from config.settings import Settings
from config.values import Bind

HOME = {"HOME": "/home/operator"}


def write(directory: Path, text: str) -> Path:
    path = directory / "wasup.toml"
    path.write_text(text)
    return path


def problems(path: Path | None, environment: dict[str, str] | None = None, *, is_root: bool = False) -> list[str]:
    """The problems, with the file's directory taken out."""
    with pytest.raises(SettingsError) as caught:
        load(config_file=path, environment=HOME | (environment or {}), is_root=is_root)
    prefix = "" if path is None else f"{path.parent}/"
    return [str(problem).replace(prefix, "") for problem in caught.value.problems]


def test_without_any_source_every_setting_has_its_default() -> None:
    """No setting is required: the defaults are those of the structure."""
    settings = load(environment=HOME, is_root=False)

    assert Settings(state_dir=Path("/home/operator/.local/state/wasup")) == settings


@pytest.mark.parametrize(
    ("environment", "is_root", "expected"),
    [
        (HOME, True, "/var/lib/wasup"),
        (HOME, False, "/home/operator/.local/state/wasup"),
        (HOME | {"XDG_STATE_HOME": "/x"}, False, "/x/wasup"),
        (HOME | {"XDG_STATE_HOME": "relative"}, False, "/home/operator/.local/state/wasup"),
        (HOME | {"WASUP_STATE_DIR": "/srv/w"}, True, "/srv/w"),
    ],
)
def test_state_dir_depends_on_who_runs(environment: dict[str, str], is_root: bool, expected: str) -> None:
    """Root keeps its state under /var/lib, others where XDG says, every account where WASUP_STATE_DIR says."""
    settings = load(environment=environment, is_root=is_root)

    assert Path(expected) == settings.state_dir


def test_without_home_the_state_dir_must_be_named() -> None:
    """A user without a home directory gets an error that names the variable to set."""
    with pytest.raises(SettingsError, match="no home directory; set WASUP_STATE_DIR"):
        load(environment={}, is_root=False)


def test_environment_overrides_credentials_override_file(tmp_path: Path) -> None:
    """The last of file, credential and environment wins, and origins say which it was."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "database_url").write_text("postgresql:///from_credential\n")
    (credentials / "redis_url").write_text("redis://credential\n")
    path = write(tmp_path, 'database_url = "postgresql:///from_file"\nredis_url = "redis://file"\nlog_level = "debug"')
    environment = HOME | {"CREDENTIALS_DIRECTORY": str(credentials), "REDIS_URL": "redis://environment"}

    loaded = load_with_origins(config_file=path, environment=environment, is_root=False)

    assert loaded.settings.database_url is not None
    assert loaded.settings.redis_url is not None
    assert loaded.settings.database_url.reveal() == "postgresql:///from_credential"
    assert loaded.settings.redis_url.reveal() == "redis://environment"
    assert loaded.origins["database_url"] == "credential database_url"
    assert loaded.origins["redis_url"] == "environment variable REDIS_URL"
    assert f"{path}:3" == loaded.origins["log_level"]
    assert loaded.origins["bind"] == "default"


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("RATE_LIMIT_MAX_REQUESTS", "7", "rate_limit.max_requests", 7),
        ("RATE_LIMIT_WINDOW_MS", "1000", "rate_limit.window_ms", 1000),
        ("HEALTH_CHECK_INTERVAL", "5000", "health.interval_ms", 5000),
        ("WASUP_SESSIONS_PER_ENGINE", "2", "sessions_per_engine", 2),
        ("WASUP_DEFAULT_REGION", "KZ", "default_region", "KZ"),
        ("WASUP_LOG_LEVEL", "error", "log_level", "error"),
        ("WASUP_BIND", "[::1]:0", "bind", Bind("::1", 0)),
        ("WASUP_COMPANY_CONNECT_TIMEOUT_S", "1.5", "company.connect_timeout_s", 1.5),
    ],
)
def test_environment_names(name: str, value: str, key: str, expected: object) -> None:
    """The fixed names keep their meaning; the others are made from section and field."""
    value_of: object = load(environment=HOME | {name: value}, is_root=False)
    for part in key.split("."):
        value_of = getattr(value_of, part)

    assert expected == value_of


def test_the_master_key_is_a_file_or_a_credential(tmp_path: Path) -> None:
    """systemd's credential is found by its name; the variable names a file and comes before it."""
    for name in ("credentials", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "master_key").write_bytes(bytes(range(160, 192)))
    credential = HOME | {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    named = str(tmp_path / "elsewhere" / "master_key")

    loaded = load_with_origins(environment=credential, is_root=False)
    other = load(environment=credential | {"WASUP_MASTER_KEY_FILE": named}, is_root=False)

    assert loaded.settings.master_key_file == tmp_path / "credentials" / "master_key"
    assert loaded.origins["master_key_file"] == "credential master_key"
    assert other.master_key_file == Path(named)


def test_a_master_key_that_cannot_be_used_is_a_problem_of_the_settings(tmp_path: Path) -> None:
    """check-config finds it, before anything is started."""
    (tmp_path / "key").write_text("c2hvcnQ=\n")

    found = [problems(None, {"WASUP_MASTER_KEY_FILE": str(tmp_path / name)})[0] for name in ("key", "none")]

    assert [line.replace(str(tmp_path), "DIR") for line in found] == [
        "environment variable WASUP_MASTER_KEY_FILE: master_key_file: DIR/key:1 is a key of 5 bytes where 32 were expected; "
        "make one with `openssl rand -base64 32`",
        "environment variable WASUP_MASTER_KEY_FILE: master_key_file: DIR/none cannot be read (No such file or directory); "
        "name a file with a master key that the daemon may read",
    ]


def test_every_environment_name_is_its_own() -> None:
    """No two settings share a variable, a key or a credential."""
    fields = all_fields()

    assert len(fields) == len({field.env for field in fields}) == len({field.key for field in fields})
    secrets = [field.credential for field in fields if field.is_secret]
    secrets += [field.credential_file for field in fields if field.credential_file is not None]
    assert len(secrets) == len(set(secrets))


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Each problem names file and line or variable, the key, what is wrong and what would be right."""
    path = write(
        tmp_path,
        "\n".join(
            [
                "# settings",
                "bnd = 3",
                "",
                "[http]",
                'max_body_bytes = "lots"',
                "",
                "[health]",
                "interval_ms = 5",
                "misses_to_report = 4",
            ]
        ),
    )

    found = problems(path, {"WASUP_LOG_LEVEL": "loud", "WASUP_STATEDIR": "/x"})

    assert found == [
        "wasup.toml:2: bnd: there is no such setting; did you mean bind?",
        "wasup.toml:5: http.max_body_bytes: 'lots' is not a whole number; "
        "write a whole number from 1024 to 16777216, for example 65536",
        "wasup.toml:8: health.interval_ms: 5 is out of range; "
        "write a whole number from 100 to 86400000, for example 30000",
        "wasup.toml:9: health.misses_to_report: 4 is more than health.misses_to_restart, which is 3; "
        "write at most 3 or raise health.misses_to_restart",
        "environment variable WASUP_STATEDIR: WASUP_STATEDIR: there is no such setting; did you mean WASUP_STATE_DIR?",
        "environment variable WASUP_LOG_LEVEL: log_level: 'loud' is not one of debug, info, warning, error; "
        "write one of debug, info, warning, error, for example info",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bind = 3\nbind = 4", "wasup.toml:2: (syntax): not TOML: Cannot overwrite a value; correct this line"),
        (
            "[http\n",
            "wasup.toml:1: (syntax): not TOML: Expected ']' at the end of a table declaration; correct this line",
        ),
        ("http = 3", "wasup.toml:1: http: this is a section, not a value; write it as a table: [http]"),
        ("[nowhere]\nx = 1", "wasup.toml:1: nowhere: there is no such setting; docs/settings.md lists the names"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, expected: str) -> None:
    """A file that is not TOML, or has the wrong shape, is refused with the line."""
    assert [expected] == problems(write(tmp_path, text))


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A mistyped --config is not taken for "no file"."""
    found = problems(tmp_path / "missing.toml")

    assert found == ["missing.toml: (file): it cannot be read (No such file or directory); name a readable file"]


def test_the_working_directory_s_file_is_read_when_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """wasup.toml needs no option."""
    write(tmp_path, "sessions_per_engine = 3")
    monkeypatch.chdir(tmp_path)

    assert load(environment=HOME, is_root=False).sessions_per_engine == 3


def test_no_message_repeats_a_secret(tmp_path: Path) -> None:
    """A wrong URL is described without a quotation, in the file, the environment and the table of proxies."""
    path = write(tmp_path, 'database_url = "mysql://u:hunter2@h/d"\n[proxies]\na = "http://u:hunter2@h"')

    found = problems(path, {"REDIS_URL": "http://hunter2@h", "WASUP_PROXY": "socks5://u:hunter2@h:notaport"})

    assert len(found) == 4
    assert not [problem for problem in found if "hunter2" in problem]


def test_paths_are_relative_to_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the file to its directory, in the environment to the working directory."""
    path = write(tmp_path, 'state_dir = "state"')
    monkeypatch.chdir("/")

    assert tmp_path / "state" == load(config_file=path, environment=HOME, is_root=False).state_dir
    assert Path("/there") == load(environment=HOME | {"WASUP_STATE_DIR": "there"}, is_root=False).state_dir


def test_proxies_of_single_companies(tmp_path: Path) -> None:
    """A company's own proxy goes before the common one; both forms mean the same."""
    path = write(tmp_path, '[proxies]\n962302 = "http://127.0.0.1:1"')
    from_file = load(config_file=path, environment=HOME | {"WASUP_PROXY": "socks5://127.0.0.1:2"}, is_root=False)
    from_environment = load(environment=HOME | {"WASUP_PROXIES": "962302=http://127.0.0.1:1"}, is_root=False)

    assert "http://127.0.0.1:1" == from_file.proxy_for("962302") == from_environment.proxy_for("962302")
    assert from_file.proxy_for("other") == "socks5://127.0.0.1:2"
    assert from_environment.proxy_for("other") is None


@pytest.mark.parametrize("bind", ["0.0.0.0:3003", "[::]:3003", "10.0.0.1:80", "wasup.example:3003"])
def test_binding_off_loopback_needs_tls_or_a_trusted_proxy(bind: str) -> None:
    """The refusal says why and names every way out."""
    (found,) = problems(None, {"WASUP_BIND": bind})

    assert found.startswith(f"environment variable WASUP_BIND: bind: {bind} can be reached from other machines")
    assert "http.tls_certificate_file" in found
    assert "http.trusted_proxies" in found


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "127.0.0.2:1", "[::1]:3003", "localhost:3003"])
def test_loopback_needs_neither(bind: str) -> None:
    """An address that only this machine can reach is accepted."""
    assert bind == str(load(environment=HOME | {"WASUP_BIND": bind}, is_root=False).bind)


def test_binding_off_loopback_with_a_trusted_proxy(tmp_path: Path) -> None:
    """A reverse proxy that adds TLS may stand in front, as may our own TLS."""
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("")
    proxied = write(tmp_path, 'bind = "0.0.0.0:80"\n[http]\ntrusted_proxies = ["10.0.0.0/24"]')
    tls = {
        "WASUP_BIND": "0.0.0.0:443",
        "WASUP_HTTP_TLS_CERTIFICATE_FILE": str(tmp_path / "cert.pem"),
        "WASUP_HTTP_TLS_KEY_FILE": str(tmp_path / "key.pem"),
    }

    assert str(load(config_file=proxied, environment=HOME, is_root=False).http.trusted_proxies[0]) == "10.0.0.0/24"
    assert Bind("0.0.0.0", 443) == load(environment=HOME | tls, is_root=False).bind


def test_tls_needs_both_files() -> None:
    """One of two files, or one that is not there, is refused."""
    found = problems(None, {"WASUP_HTTP_TLS_KEY_FILE": "/nowhere/key.pem"})

    variable = "environment variable WASUP_HTTP_TLS_KEY_FILE: http.tls_key_file"
    assert [
        f"{variable}: it is set but http.tls_certificate_file is not; set http.tls_certificate_file too",
        f"{variable}: /nowhere/key.pem is not a file; name a PEM file that the daemon may read",
    ] == found


def test_a_send_must_be_over_before_its_request() -> None:
    """A send time-out longer than a request can wait is refused, with the longest allowed one."""
    (found,) = problems(None, {"WASUP_COMPANY_SEND_TIMEOUT_S": "80"})

    assert "company.send_timeout_s: 80 is longer than a request may take" in found
    assert "write at most 58 or raise http.request_timeout_s" in found


def test_leases_must_survive_a_failed_renewal() -> None:
    """A renewal interval of more than a third of the lease is refused."""
    (found,) = problems(None, {"WASUP_LEASE_TTL_S": "10", "WASUP_LEASE_RENEW_INTERVAL_S": "8"})

    assert "lease.renew_interval_s: 8 leaves no time" in found


@pytest.mark.parametrize(("user", "what"), [("no-such-user-x", "there is no user"), ("root", "refuses to run as root")])
def test_root_needs_an_ordinary_user_for_the_embedded_postgres(user: str, what: str) -> None:
    """Checked only where it matters: as root, without DATABASE_URL."""
    environment = {"WASUP_POSTGRES_USER": user}

    (found,) = problems(None, environment, is_root=True)

    assert what in found
    load(environment=HOME | environment, is_root=False)
    load(environment=HOME | environment | {"DATABASE_URL": "postgresql://h/d"}, is_root=True)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "601", "", " "])
def test_numbers_that_are_no_limits(value: str) -> None:
    """Not-a-number and infinity are no deadlines; an empty variable counts as not set."""
    environment = HOME | {"WASUP_HTTP_READ_TIMEOUT_S": value}
    if value == "":
        assert load(environment=environment, is_root=False).http.read_timeout_s == 12.0
        return

    assert len(problems(None, environment)) == 1


def test_credentials_that_cannot_be_listed_are_one_problem(tmp_path: Path) -> None:
    """Neither a traceback, nor one problem for each secret."""
    environment = HOME | {"CREDENTIALS_DIRECTORY": str(tmp_path / "nowhere")}

    with pytest.raises(SettingsError) as caught:
        load(environment=environment, is_root=False)

    assert [problem.where for problem in caught.value.problems] == ["environment variable CREDENTIALS_DIRECTORY"]
