"""The version of WhatsApp Web that an engine process announces, in its library's memory and at the loopback WhatsApp."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.engine.errors import EngineError
from actors.engine.protocol import messages as p
from actors.engine.protocol.versions import LIBRARY_ANNOUNCES
from actors.engine.whatsmeow.announced_version import VersionNotFound, announce, own_version
from actors.engine.whatsmeow.library import Library
from tests.engine.companies import A, B, linked, talk
from tests.engine.daemon import run_engine
from tests.loopback.server import open_loopback

NEWER = 1_050_000_000


def test_the_library_announces_what_is_written_down(library: Library) -> None:
    """The constant that age and look-ups are compared with is the installed library's own version."""
    assert own_version(library.path) == LIBRARY_ANNOUNCES


@pytest.mark.parametrize(
    "version", ["2.3000", "2.2413.1050000000", "2.3000.1050000000.1", "2.3000.99999999999", "latest"]
)
def test_what_is_no_version_changes_nothing(library: Library, version: str) -> None:
    """It is refused with an error text, and the library keeps its own."""
    with pytest.raises(EngineError, match="no version of WhatsApp Web"):
        announce(library.path, version)

    assert own_version(library.path) == LIBRARY_ANNOUNCES


def test_a_library_that_is_not_as_expected_is_left_alone(library: Library) -> None:
    """When the version is not found, nothing is written."""
    with pytest.raises(VersionNotFound, match="holds 0 versions"):
        announce(library.path + ".other", f"2.3000.{NEWER}")

    assert own_version(library.path) == LIBRARY_ANNOUNCES


def test_more_than_one_place_is_refused() -> None:
    """In a process whose memory holds the numbers a second time the library keeps its own version."""
    code = (
        "import ctypes, mmap\n"
        "from actors.engine.whatsmeow.announced_version import announce, own_version\n"
        "from actors.engine.whatsmeow.library import Library\n"
        "library = Library(); own = own_version(library.path); other = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE)\n"
        "(ctypes.c_uint32 * 3).from_buffer(other)[:] = [2, 3000, int(own[7:])]\n"
        "try: announce(library.path, '2.3000.1050000000')\n"
        "except Exception as error: print(error, own_version(library.path) == own)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert "1 digests and 2 copies" in done.stdout
    assert done.stdout.rstrip().endswith("True")


async def test_linking_and_talking_under_another_version(tmp_path: Path) -> None:
    """A WhatsApp that refuses the library's own version accepts registration and log-in under the version written over it."""
    async with open_loopback() as loopback:
        loopback.refuse_version(NEWER)
        arguments = ("--whatsapp-version", f"2.3000.{NEWER}")
        async with run_engine(tmp_path, loopback.endpoints.environment(), *arguments) as engine:
            first = await linked(engine, loopback, "a", A)
            second = await linked(engine, loopback, "b", B)
            await talk(first, second, "newer")

            assert isinstance(engine.hello, p.EngineHello)
            assert (engine.hello.whatsapp_version, engine.hello.version_fault) == (f"2.3000.{NEWER}", "")
        assert {(said.version, said.refused) for said in loopback.announced()} == {(f"2.3000.{NEWER}", False)}


async def test_the_librarys_own_version_is_refused_when_it_is_too_old(tmp_path: Path) -> None:
    """405, reported as `outdated`, also to a company that is being linked."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        await linked(engine, loopback, "a", A)
        loopback.refuse_version(NEWER)
        link = await engine.link("b")
        await link.open(loopback.endpoints.proxy_url)
        await link.call(p.Connect)

        assert (await link.hear(p.Closed)).kind == "outdated"
        assert [said.version for said in loopback.announced() if said.refused][:1] == [LIBRARY_ANNOUNCES]


async def test_an_unusable_version_is_told_and_the_librarys_kept(tmp_path: Path) -> None:
    """The process starts all the same, and logs what it announces and why."""
    async with run_engine(tmp_path, dict(os.environ), "--whatsapp-version", "new") as engine:
        assert isinstance(engine.hello, p.EngineHello)
        assert engine.hello.whatsapp_version == LIBRARY_ANNOUNCES
        assert "no version of WhatsApp Web" in engine.hello.version_fault


def test_the_library_is_found_behind_a_symbolic_link(library: Library, tmp_path: Path) -> None:
    """An environment may be a link: the kernel lists the library by the path that the link leads to."""
    (tmp_path / "link").symlink_to(Path(library.path).parent)

    assert own_version(str(tmp_path / "link" / Path(library.path).name)) == LIBRARY_ANNOUNCES
