"""The pages: complete, from this server only, and in step with the API."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib.resources import files
from urllib.parse import urljoin

import msgspec
import pytest

from actors.http.dashboard import stream as streaming
from actors.http.model import bodies, webhook_bodies
from actors.http.model import message_schema as kinds
from actors.http.model import responses as replies
from actors.http.model import webhook_responses as webhook_replies
from actors.http.model.problems import KINDS
from actors.http.openapi.examples import EXAMPLES
from actors.http.routes.admin import ACTIONS
from tests.http.world import Daemon

PAGES = ("/", "/docs", "/docs/errors")
STATIC = files("actors.http").joinpath("static")
NAMES = sorted(file.name for file in STATIC.iterdir())
SCRIPTS = [name for name in NAMES if name.endswith(".js")]


class References(HTMLParser):
    """Collects what a page loads, its ids, and what a strict policy would block."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.labelled: list[str] = []
        self.inline: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.labelled += [values["for"]] if "for" in values else []
        self.inline += [name for name in values if name.startswith("on") or name == "style"]
        self._script = tag in {"script", "style"}
        if tag in {"script", "img", "iframe"} and "src" in values:
            self.loads.append(values["src"])
        if tag == "link":
            self.loads.append(values["href"])

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._script = False


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_loads_only_what_is_served_here(daemon: Daemon, page: str) -> None:
    """Everything it refers to answers 200 without a key; nothing is inline; the policy forbids the rest."""
    async with daemon.client_with(None) as client:
        answer = await client.get(page)
        found = References()
        found.feed(answer.text)
        for path in set(found.loads) - {"data:,"}:
            assert not path.startswith("/")  # it would leave the sub-path under which a proxy serves the page
            loaded = await client.get(urljoin(page, path))
            assert loaded.status_code == 200
            assert loaded.headers["content-security-policy"]

    policy = answer.headers["content-security-policy"]
    assert answer.headers["content-type"].startswith("text/html")
    assert found.inline == []
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "html"),
        ("/docs", "html"),
        ("/docs/errors", "html"),
        ("/static/app.js", "javascript"),
        ("/static/style.css", "css"),
    ],
)
async def test_a_page_says_its_type_and_its_charset_once(daemon: Daemon, path: str, kind: str) -> None:
    """A charset named twice is a parameter that readers may refuse (RFC 9110, 5.6.6)."""
    answer = await daemon.client.get(path)

    assert answer.headers["content-type"] == f"text/{kind}; charset=utf-8"


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_another_host(name: str) -> None:
    """Nothing is fetched from elsewhere, not even a picture."""
    text = STATIC.joinpath(name).read_text()

    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text) == []


def scripts() -> dict[str, str]:
    """The text of every script."""
    return {name: STATIC.joinpath(name).read_text() for name in SCRIPTS}


def test_the_scripts_find_every_element_they_ask_for() -> None:
    """An id that is in one file only is a page that breaks at run time; every label is for an input."""
    page = References()
    page.feed(STATIC.joinpath("index.html").read_text())
    asked = set(re.findall(r'byId\("([\w-]+)"\)', "".join(scripts().values()))) - {"company-link"}  # made by company.js

    assert len(asked) > 40
    assert asked - set(page.ids) - {"operations"} == set()
    assert len(page.ids) == len(set(page.ids))
    assert set(page.labelled) - set(page.ids) == set()


def test_the_scripts_never_write_markup() -> None:
    """Text from the daemon (a crash's message, a company's id) is set as text; the policy forbids the rest to the browser too."""
    for script in scripts().values():
        for risky in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert risky not in script


async def test_every_path_the_dashboard_calls_exists(daemon: Daemon) -> None:
    """Also the orders behind its buttons."""
    document = (await daemon.client.get("/docs/openapi.json")).json()
    orders = set(re.findall(r'order\("[\w ]+", "(\w+)"', scripts()["company.js"]))
    actions = set(re.findall(r'order\("(\w+)"', scripts()["actor.js"])) | {"resume"}

    assert orders == {"start", "stop", "restart"}
    for word in orders | {"initialize", "status", "qr", "send", "logout"}:
        assert f"/api/whatsapp/sessions/{{company_id}}/{word}" in document["paths"]
    assert actions == set(ACTIONS)
    assert f'"{streaming.PATH}"' in scripts()["stream.js"]


async def test_every_script_that_is_imported_is_served(daemon: Daemon) -> None:
    """A script that is missing in the list of pages is a page that stays empty."""
    imported = set(re.findall(r'from "([^"]+)"', "".join(scripts().values())))

    assert imported
    for path in imported:
        assert (await daemon.client.get(urljoin("/static/", path))).status_code == 200


async def test_every_problem_type_leads_to_its_row(daemon: Daemon) -> None:
    """`type` is a link into the page of errors."""
    page = References()
    page.feed((await daemon.client.get("/docs/errors")).text)

    assert set(KINDS) <= set(page.ids)


async def test_the_openapi_document_lists_the_api(daemon: Daemon) -> None:
    """Version 3.1, all paths, camelCase fields with success, no pages."""
    document = (await daemon.client.get("/docs/openapi.json")).json()

    sessions = "/api/whatsapp/sessions/{company_id}"
    assert document["openapi"].startswith("3.1")
    assert {
        "/api/whatsapp/sessions", sessions, f"{sessions}/send", f"{sessions}/initialize", f"{sessions}/qr",
        "/api/whatsapp/events", "/api/whatsapp/metrics", "/admin/tree", "/livez", "/readyz", "/metrics",
    } <= set(document["paths"])  # fmt: skip
    assert not [path for path in document["paths"] if path.startswith(("/static", "/docs"))]
    schemas = document["components"]["schemas"]
    assert {"companyId", "phone", "messageId", "timestamp", "success"} == set(schemas["SentReply"]["properties"])
    assert document["paths"][f"{sessions}/send"]["post"]["requestBody"]["content"]["application/json"]
    assert document["components"]["securitySchemes"]
    problem = document["paths"][f"{sessions}/send"]["post"]["responses"]["429"]["content"]
    assert list(problem) == ["application/problem+json"]


async def test_every_operation_has_a_name_of_its_own(daemon: Daemon) -> None:
    """That a client generator can use."""
    document = (await daemon.client.get("/docs/openapi.json")).json()
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]*)+", name) for name in names), names
    assert {"listSessions", "sendMessage", "initializeSession", "readEvents", "fetchMedia"} <= set(names)


async def test_the_examples_are_of_their_types(daemon: Daemon) -> None:
    """Each gives the real values of its type, and every response of the API for applications has one."""
    document = (await daemon.client.get("/docs/openapi.json")).json()
    types = {
        type_.__name__: type_
        for module in (replies, bodies, kinds, webhook_replies, webhook_bodies)
        for type_ in vars(module).values()
        if isinstance(type_, type)
    }
    answers = {
        operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for path, item in document["paths"].items()
        for operation in item.values()
        if path.startswith("/api/") and "application/json" in operation["responses"].get("200", {}).get("content", {})
    }

    assert answers
    assert answers - set(EXAMPLES) - ELSEWHERE == set()
    for name, example in EXAMPLES.items():
        assert document["components"]["schemas"][name]["examples"], name
        msgspec.json.decode(msgspec.json.encode(example), type=types[name], strict=True)


ELSEWHERE: frozenset[str] = frozenset()
"""Responses whose examples stand at their own fields."""
