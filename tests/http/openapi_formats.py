"""For schemathesis (`SCHEMATHESIS_HOOKS`): what our own formats of strings look like."""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

PHONES = st.integers(0, 99).map(lambda number: f"+790000000{number:02}")
RECIPIENTS = st.one_of(
    PHONES,
    PHONES.map(lambda phone: phone[1:]),
    PHONES.map(lambda phone: f"{phone[1:]}@s.whatsapp.net"),
    st.integers(0, 99).map(lambda number: f"1000000000000{number:02}@lid"),
)

URLS = st.integers(0, 99).map(lambda number: f"https://receiver{number}.invalid/hook?n={number}")

schemathesis.openapi.format("phone-number", PHONES)
schemathesis.openapi.format("public-https-url", URLS)
schemathesis.openapi.format("whatsapp-recipient", RECIPIENTS)
