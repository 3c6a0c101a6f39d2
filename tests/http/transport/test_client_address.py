"""The client's address and protocol, with TLS and with proxies."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from actors.http.transport.client_address import MAX_HOPS, ClientAddresses
from actors.http.transport.listening import TlsError, tls_context
from config.sections import HttpSettings
from tests.http.raw import connected, exchange, read_to_end, request
from tests.http.world import ADMIN_KEY, QUICK, running
from tests.support.bars import patience

PROXIES = (ip_network("127.0.0.0/8"), ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Signs certificates for the length of the module."""
    return trustme.CA()


def files(authority: trustme.CA, directory: Path) -> HttpSettings:
    """Settings with a certificate for loopback."""
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = directory / "chain.pem", directory / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    return HttpSettings(tls_certificate_file=chain, tls_key_file=key, read_timeout_s=0.5)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.7", True),
        ("2001:db8::7", True), ("198.51.100.7", False), ("2001:db9::7", False), ("::ffff:198.51.100.7", False), ("rubbish", False),
    ],
)  # fmt: skip
def test_in_the_clear_only_loopback_and_trusted_proxies_may(host: str, allowed: bool) -> None:
    """Over TLS every address may."""
    assert ClientAddresses(PROXIES, is_encrypted=False).may_connect(host) is allowed
    assert ClientAddresses(PROXIES, is_encrypted=True).may_connect(host)


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.7", ["198.51.100.1"], "198.51.100.1"),
        ("192.0.2.7", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("192.0.2.7", ["203.0.113.9, 198.51.100.1, 192.0.2.8"], "198.51.100.1"),
        ("192.0.2.7", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("192.0.2.7", ["198.51.100.1:4711"], "198.51.100.1"),
        ("192.0.2.7", ["[2001:db9::1]:4711"], "2001:db9::1"),
        ("192.0.2.7", [], "192.0.2.7"),
        ("192.0.2.7", ["rubbish"], "192.0.2.7"),
        ("192.0.2.7", ["198.51.100.1, rubbish"], "192.0.2.7"),
        ("192.0.2.7", [", ".join(["192.0.2.8"] * 10_000)], "192.0.2.8"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
    ],
)
def test_the_client_is_whom_a_trusted_proxy_names_last(peer: str, headers: Sequence[str], client: str) -> None:
    """What stands before that in the header can be forged; an untrusted peer's header is not looked at."""
    sent = [(b"X-Forwarded-For", value.encode()) for value in headers]

    assert ClientAddresses(PROXIES, is_encrypted=False).client((peer, 1), sent) == (client, 1)
    assert MAX_HOPS < 100


async def test_failures_behind_a_proxy_count_for_the_client() -> None:
    """One client's guesses do not lock out the others behind the same proxy."""
    settings = HttpSettings(auth_failures_per_minute=1, trusted_proxies=PROXIES)
    async with running(http=settings) as daemon, httpx.AsyncClient(base_url=daemon.url) as client:

        async def guess(address: str) -> int:
            headers = {"X-Forwarded-For": address, "X-Api-Key": "k" * 30}
            return (await client.get("/api/whatsapp/sessions", headers=headers)).status_code

        codes = [await guess(address) for address in ("198.51.100.1", "198.51.100.1", "198.51.100.2")]

    assert codes == [401, 429, 401]


async def test_tls_is_spoken_with_a_certificate(authority: trustme.CA, tmp_path: Path) -> None:
    """Requests, keep-alive and the closing of the connection work as in the clear."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with running(http=files(authority, tmp_path)) as daemon:
        url = f"https://127.0.0.1:{daemon.port}"
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        async with httpx.AsyncClient(base_url=url, verify=trusting, headers=headers) as client:
            for _ in range(3):
                assert (await client.get("/api/whatsapp/sessions")).status_code == 200
            answer = await client.get("/livez", headers={"Connection": "close"})

    assert answer.json() == {"success": True}


async def test_plain_http_to_a_tls_port_ends_that_connection_only(authority: trustme.CA, tmp_path: Path) -> None:
    """So does silence, at the read timeout."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with running(http=files(authority, tmp_path)) as daemon:
        assert b"200" not in await exchange(daemon, request("GET", "/livez"))
        async with connected(daemon) as stream:
            began = trio.current_time()
            await read_to_end(stream)
            assert trio.current_time() - began < patience(3)
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.get(f"https://127.0.0.1:{daemon.port}/livez")).status_code == 200
        assert daemon.system.snapshot("/http").restarts == 0


def test_a_certificate_that_cannot_be_used_is_a_clear_error(authority: trustme.CA, tmp_path: Path) -> None:
    """It names both files: missing, not PEM, or not belonging together."""
    settings = files(authority, tmp_path)
    assert settings.tls_certificate_file is not None
    assert settings.tls_key_file is not None
    other = tmp_path / "other.pem"
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(other)
    (tmp_path / "rubbish.pem").write_text("rubbish")

    for key in (other, tmp_path / "missing.pem", tmp_path / "rubbish.pem"):
        with pytest.raises(TlsError) as caught:
            tls_context(settings.tls_certificate_file, key)
        assert str(key) in str(caught.value)
        assert str(settings.tls_certificate_file) in str(caught.value)


async def test_a_stranger_without_tls_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """403 before a byte of the request is read; only the address counts."""
    monkeypatch.setattr(ClientAddresses, "may_connect", lambda _self, _host: False)
    async with running(http=QUICK) as daemon:
        answer = await exchange(daemon)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b'"code":"access_denied"' in answer
    assert b"http.trusted_proxies" in answer
