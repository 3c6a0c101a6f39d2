"""The reverse proxies of docs/proxies.md: Debian's servers, run with that document's recipe, on a port of the test's own."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import trustme

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "proxies.md"
START_WITHIN_S: Final = 20.0
PROXIES: Final = ("nginx", "caddy", "haproxy")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy."""

    port: int
    tls: ssl.SSLContext
    """The CA that a client trusts."""

    @property
    def url(self) -> str:
        """Where it serves wasup, without the slash at the end."""
        return f"https://localhost:{self.port}/wasup"


@dataclass(frozen=True, slots=True)
class _Place:
    """A test's changes to a recipe."""

    directory: Path
    port: int
    upstream: int

    @property
    def certificate(self) -> Path:
        return self.directory / "certificate.pem"

    @property
    def config(self) -> Path:
        return self.directory / "config"


@contextmanager
def proxy_before(name: str, upstream: int) -> Generator[Proxy]:
    """The proxy ``name`` in front of a daemon at the port ``upstream``. Skips the test where it is not installed."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed (Debian's package {name})")
    authority = trustme.CA()
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    with tempfile.TemporaryDirectory(prefix="wasup-proxy-") as directory:
        place = _Place(Path(directory), _free_port(), upstream)
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(place.certificate)
        config, arguments = _KNOWN[name](recipe(name), place)
        place.config.write_text(config)
        with _running([program, *arguments], place):
            yield Proxy(place.port, tls)


def recipe(name: str) -> str:
    """What docs/proxies.md says for this proxy, unchanged."""
    language = {"caddy": "caddyfile"}.get(name, name)
    found = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{DOCUMENT.name} has {len(found)} recipes for {name}"
    return str(found[0])


def _nginx(text: str, place: _Place) -> tuple[str, list[str]]:
    text = _changed(text, place, ("listen 443", f"listen 127.0.0.1:{place.port}"))
    text = re.sub(r"/etc/ssl/wasup\.example/\w+\.pem", str(place.certificate), text)
    spool = "".join(
        f"{kind}_temp_path {place.directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"daemon off; user root; pid {place.directory}/pid; error_log stderr; events {{}}"
    return f"{head} http {{ access_log off; {spool} {text} }}", ["-p", str(place.directory), "-c", str(place.config)]


def _caddy(text: str, place: _Place) -> tuple[str, list[str]]:
    site = f"https://localhost:{place.port} {{\n\ttls {place.certificate} {place.certificate}"
    text = _changed(text, place, ("wasup.example {", site))
    head = "{\n\tadmin off\n\tauto_https off\n}\n"
    return head + text, ["run", "--config", str(place.config), "--adapter", "caddyfile"]


def _haproxy(text: str, place: _Place) -> tuple[str, list[str]]:
    text = _changed(text, place, ("bind :443", f"bind 127.0.0.1:{place.port}"))
    text = text.replace("/etc/haproxy/wasup.example.pem", str(place.certificate))
    return text, ["-db", "-f", str(place.config)]


_KNOWN: Final[dict[str, Callable[[str, _Place], tuple[str, list[str]]]]] = {
    "nginx": _nginx,
    "caddy": _caddy,
    "haproxy": _haproxy,
}


def _changed(text: str, place: _Place, address: tuple[str, str]) -> str:
    for old, new in (address, ("127.0.0.1:3003", f"127.0.0.1:{place.upstream}")):
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def _running(command: list[str], place: _Place) -> Generator[None]:
    environment = {"HOME": str(place.directory), "PATH": "/usr/bin:/bin"}
    with (place.directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        _wait_listening(process, place)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_listening(process: subprocess.Popen[bytes], place: _Place) -> None:
    for _ in range(round(START_WITHIN_S / 0.05)):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", place.port)) == 0:
                return
        try:
            status = process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        log = (place.directory / "log").read_text()
        raise RuntimeError(f"{process.args!r} ended with status {status}: {log[-2000:]}")
    raise RuntimeError(f"{process.args!r} did not listen within {START_WITHIN_S:g} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
