"""What a company does when WhatsApp closes the connection."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.company.disconnect_policy import Credentials, classify
from actors.company.states import SUCCESSORS
from actors.engine.protocol.messages import Closed
from actors.messages import CompanyState

KINDS = get_args(get_type_hints(Closed)["kind"])


@given(st.sampled_from(KINDS), st.integers(0, 999), st.one_of(st.none(), st.floats(0, 1e6)))
def test_every_closing_has_a_verdict_a_connected_company_can_follow(
    kind: str, code: int, expires_in_s: float | None
) -> None:
    """Whatever the disconnect, the outcome names a state that may follow `connected` or `pairing`, with a reason."""
    verdict = classify(Closed(kind=kind, code=code, expires_in_s=expires_in_s))  # type: ignore[arg-type]  # sampled from the literal

    assert verdict.reason
    assert verdict.state in SUCCESSORS[CompanyState.CONNECTED] | SUCCESSORS[CompanyState.PAIRING]


@given(st.sampled_from(KINDS), st.integers(0, 999))
def test_credentials_are_archived_only_by_a_logout(kind: str, code: int) -> None:
    """Only a logout touches the identity."""
    verdict = classify(Closed(kind=kind, code=code))  # type: ignore[arg-type]  # sampled from the literal

    assert (verdict.credentials is Credentials.ARCHIVE) == (verdict.state is CompanyState.LOGGED_OUT)


@pytest.mark.parametrize(
    ("closed", "state"),
    [
        (Closed(kind="logged_out", code=401), CompanyState.LOGGED_OUT),
        (Closed(kind="connect_failure", code=401), CompanyState.LOGGED_OUT),
        (Closed(kind="connect_failure", code=403), CompanyState.LOGGED_OUT),
        (Closed(kind="connect_failure", code=406), CompanyState.LOGGED_OUT),
        (Closed(kind="stream_error", code=401), CompanyState.LOGGED_OUT),
        (Closed(kind="connect_failure", code=402), CompanyState.BANNED),
        (Closed(kind="temporary_ban", code=101, expires_in_s=60.0), CompanyState.BANNED),
        (Closed(kind="connect_failure", code=405), CompanyState.OUTDATED),
        (Closed(kind="connect_failure", code=409), CompanyState.OUTDATED),
        (Closed(kind="outdated"), CompanyState.OUTDATED),
        (Closed(kind="replaced"), CompanyState.CONFLICT),
        (Closed(kind="stream_error", code=503), CompanyState.RECONNECTING),
        (Closed(kind="connect_failure", code=500), CompanyState.RECONNECTING),
        (Closed(kind="disconnected"), CompanyState.RECONNECTING),
        (Closed(kind="pairing_failed"), CompanyState.UNLINKED),
    ],
)
def test_known_codes(closed: Closed, state: CompanyState) -> None:
    """WhatsApp's documented codes lead to the documented states."""
    assert classify(closed).state is state


def test_a_passing_disconnect_with_a_logout_code_does_not_archive() -> None:
    """Only WhatsApp's word about the device ends it; a lost socket never does."""
    assert classify(Closed(kind="disconnected", code=401)).credentials is Credentials.KEEP
