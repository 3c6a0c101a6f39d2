"""The catalogue of problems, its documentation, and their common shape."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from litestar.exceptions import HTTPException, MethodNotAllowedException

from actors.http.model.problems import KINDS, MAX_DETAIL, Problem, body_of, encode
from actors.http.services.failures import problem_of, where
from actors.messages import Refused
from storage.errors import StorageFull, StorageUnavailable
from supervisor.errors import ActorCrashed, ActorStopped, AskTimeout, MailboxFull
from supervisor.introspection.report import CrashReport
from tests.http.world import A_KEY, COMPANY_A, COMPANY_B, Daemon

ROOT = Path(__file__).parents[3]


def test_the_documentation_lists_exactly_the_catalogue() -> None:
    """docs/api-errors.md has one row for each code, with its status, title, whether it is retryable, and meaning."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| (.+?) \| (yes|no) \| (.+?) \|$",
        (ROOT / "docs/api-errors.md").read_text(),
        re.MULTILINE,
    )

    documented = {code: (int(status), title, retry == "yes", text) for code, status, title, retry, text in rows}

    assert documented == {kind.code: (kind.status, kind.title, kind.retryable, kind.meaning) for kind in KINDS.values()}


RETRYABLE = {
    "request_timeout", "pairing_failed", "logout_failed", "in_progress", "rate_limited", "too_many_sends", "too_many_failures",
    "too_many_tickets", "too_many_transfers", "url_failed", "media_upload_failed", "media_download_failed", "storage_unavailable",
    "engine_unavailable", "whatsapp_unreachable", "owned_elsewhere", "reconnecting", "lease_lost", "restarting", "overloaded",
    "too_many_requests", "too_many_connections", "too_many_subscribers", "not_ready", "send_timeout", "timeout", "storage_full",
}  # fmt: skip
"""What passes by itself: the table "What passes by itself" of docs/api-errors.md says how."""


@pytest.mark.parametrize("code", sorted(KINDS))
def test_only_what_passes_by_itself_is_retryable(code: str) -> None:
    """And then it says when to come again; a problem that needs a change first says no such thing."""
    told = msgspec.json.decode(encode(Problem(code), "/x"))

    assert told["retryable"] is (code in RETRYABLE)
    assert ("retryAfter" in told) is (code in RETRYABLE)


def test_the_documentation_says_how_each_retryable_problem_passes() -> None:
    """One row each, and no other."""
    text = (ROOT / "docs/api-errors.md").read_text().partition("## What passes by itself")[2]

    assert sorted(re.findall(r"^\| `(\w+)` \| ", text, re.MULTILINE)) == sorted(RETRYABLE)


def test_every_refusal_in_the_code_is_in_the_catalogue() -> None:
    """No actor refuses with a code that HTTP would have to turn into 500."""
    used: set[str] = set()
    for file in (ROOT / "actors").rglob("*.py"):
        used |= set(re.findall(r"\b(?:Refused|Problem)\(\s*[\"'](\w+)[\"']", file.read_text()))

    assert used
    assert used - set(KINDS) == set()


def test_a_problem_has_all_fields() -> None:
    """Those of RFC 9457 and those that older clients read."""
    told = msgspec.json.decode(encode(Problem("rate_limited", "wait", retry_after_s=0.2, company_id="962302"), "/x"))

    assert told == {
        "type": "/docs/errors#rate_limited",
        "title": "Rate Limited",
        "status": 429,
        "detail": "wait",
        "instance": "/x",
        "success": False,
        "error": "wait",
        "code": "rate_limited",
        "retryable": True,
        "retryAfter": 1,
        "companyId": "962302",
    }


def test_fields_that_do_not_apply_are_left_out() -> None:
    """Clients get no null."""
    told = msgspec.json.decode(encode(Problem("invalid_phone"), "/x"))

    assert {"retryAfter", "companyId"} & set(told) == set()


def test_a_long_detail_is_cut() -> None:
    """A client's own input may be repeated, up to a limit."""
    assert len(body_of(Problem("invalid_request", "x" * 10_000), "/").detail) == MAX_DETAIL


def test_an_unknown_code_cannot_be_raised() -> None:
    """A typing error shows at once, not as a strange response."""
    with pytest.raises(KeyError):
        Problem("no_such_code")


REPORT = CrashReport(type="ValueError", text="secret text", traceback="", message_type=None, caller=None, at=0.0)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Problem("no_qr"), "no_qr"),
        (Refused("invalid_phone", "…"), "invalid_phone"),
        (StorageUnavailable("gone"), "storage_unavailable"),
        (StorageFull("could not extend file", on_disk=True), "storage_full"),
        (StorageFull("too many clients", on_disk=False), "storage_unavailable"),
        (OSError(28, "No space left on device"), "storage_full"),
        (OSError(30, "Read-only file system"), "storage_full"),
        (AskTimeout("/x", "GetStatus", 5.0), "timeout"),
        (ActorCrashed("/x", REPORT), "restarting"),
        (ActorStopped("/x"), "restarting"),
        (MailboxFull("/x", 10), "overloaded"),
        (MethodNotAllowedException(), "method_not_allowed"),
        (HTTPException(status_code=404), "not_found"),
    ],
)
def test_each_expected_failure_has_its_problem(error: Exception, code: str) -> None:
    """An error of the daemon's parts becomes the problem that it means to the caller."""
    problem = problem_of(error)

    assert problem is not None
    assert problem.kind.code == code


@pytest.mark.parametrize(
    "error", [ValueError("secret text"), Refused("not_in_the_catalogue", "…"), HTTPException(status_code=418)]
)
def test_what_nobody_expected_is_no_problem_of_the_catalogue(error: Exception) -> None:
    """The caller gets `internal_error`, made elsewhere, and none of the exception's text."""
    assert problem_of(error) is None


def test_a_crash_is_told_without_what_it_says() -> None:
    """An actor's exception may quote anything."""
    problem = problem_of(ActorCrashed("/x", REPORT))

    assert problem is not None
    assert "secret" not in problem.detail


def test_the_log_gets_places_and_no_values() -> None:
    """File, line and function of the innermost frames."""
    with pytest.raises(ValueError, match="secret text") as caught:
        int("secret text")

    places = where(caught.value)

    assert places[-1].startswith("test_problems.py:")
    assert "secret" not in "".join(places)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "initialize", 409),
        ("GET", "qr", 404),
        ("GET", "contacts/12", 422),
        ("POST", "send", 422),
        ("GET", "media/0a1b", 404),
        ("GET", "events", 404),
        ("PUT", "status", 405),
    ],
)
async def test_a_problem_of_a_company_names_it(daemon: Daemon, method: str, path: str, status: int) -> None:
    """A collector of problems need not take paths apart; where there is no such call, there is no company either."""
    url = f"/api/whatsapp/sessions/{COMPANY_A}/{path}"
    body = {"phone": "12", "message": "x"} if path == "send" else None
    answer = await daemon.client.request(method, url, json=body)

    assert answer.status_code == status
    assert answer.json().get("companyId") == (None if path in {"events", "status"} else COMPANY_A)


async def test_a_stranger_is_told_no_company(daemon: Daemon) -> None:
    """Neither without a key nor with another company's."""
    async with daemon.client_with(None) as nobody, daemon.client_with(A_KEY) as other:
        answers = [await client.get(f"/api/whatsapp/sessions/{COMPANY_B}/status") for client in (nobody, other)]

    assert [answer.status_code for answer in answers] == [401, 403]
    assert all("companyId" not in answer.json() for answer in answers)
