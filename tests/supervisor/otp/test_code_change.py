"""OTP's supervisor suite, the code_change cases, as far as `reconfigure` goes: each test bears the name of its case."""

from __future__ import annotations

import pytest

from supervisor import (
    IGNORE,
    ChildSpec,
    DynamicSupervisorSpec,
    Intensity,
    MailboxSpec,
    Restart,
    Strategy,
    SupervisorSpec,
)
from supervisor.errors import SpecError, TooManyChildren
from tests.supervisor.otp.kit import open_simple, open_sup
from tests.supervisor.probes import Ping, probe


async def test_code_change_flags() -> None:
    """New strategy and intensity count from now on."""
    children = [probe("a"), probe("b")]
    async with open_sup(children, intensity=Intensity(0, 5.0)) as sup:
        await sup.ref.reconfigure(SupervisorSpec(children, strategy=Strategy.ONE_FOR_ALL, intensity=Intensity(2, 5.0)))
        await sup.kill("a")
        await sup.kill("a")
        assert await sup.incarnations() == {"a": 3, "b": 3}
        await sup.kill("b")

        assert sup.is_alive is False


async def test_code_change_faulty() -> None:
    """A faulty spec, or a function of children that raises or returns no list, is refused and changes nothing."""

    def broken() -> list[ChildSpec]:
        raise LookupError("no children today")

    async with open_sup([probe("a")]) as sup:
        with pytest.raises(LookupError, match="no children today"):
            await sup.ref.reconfigure(SupervisorSpec(broken))
        with pytest.raises(SpecError, match="children: must be a sequence of ChildSpec, not 'none'"):
            await sup.ref.reconfigure(SupervisorSpec(lambda: "none"))  # type: ignore[arg-type, return-value]
        with pytest.raises(SpecError, match="cannot become each other"):
            await sup.ref.reconfigure(DynamicSupervisorSpec())
        with pytest.raises(SpecError, match="an actor cannot become a supervisor"):
            await sup.ref.reconfigure(SupervisorSpec([probe("z"), ChildSpec("a", SupervisorSpec([]))]))

        assert await sup.states() == {"a": "running"}
        assert await sup.child("a").ask(Ping()) == 1


async def test_code_change_ignore() -> None:
    """A spec whose function returns IGNORE changes nothing."""
    async with open_sup([probe("a")], intensity=Intensity(1, 5.0)) as sup:
        await sup.ref.reconfigure(SupervisorSpec(lambda: IGNORE, intensity=Intensity(0, 5.0)))
        await sup.kill("a")

        assert await sup.incarnations() == {"a": 2}


async def test_code_change() -> None:
    """New children are added without being started, those no longer named stay, the new order holds."""
    async with open_sup([probe("a"), probe("b")]) as sup:
        await sup.ref.reconfigure(SupervisorSpec([probe("c"), probe("b")]))
        assert await sup.states() == {"c": "stopped", "b": "running", "a": "running"}
        await sup.ref.restart_child("c")

        assert await sup.incarnations() == {"c": 1, "b": 1, "a": 1}


async def test_code_change_map() -> None:
    """A changed child spec counts from the child's next start; its mailbox's limits count at once."""
    async with open_sup([probe("a", restart=Restart.PERMANENT)]) as sup:
        changed = probe("a", restart=Restart.TEMPORARY, mailbox=MailboxSpec(capacity=7))
        await sup.ref.reconfigure(SupervisorSpec([changed]))
        assert await sup.child("a").ask(Ping()) == 1
        assert sup.system.snapshot("/sup/a").mailbox_capacity == 7
        await sup.kill("a")

        assert await sup.counts() == [0, 0, 0, 0]


async def test_code_change_is_what_a_restart_goes_by() -> None:
    """When the supervisor itself is restarted it comes up with its changed spec, without what that no longer names."""
    root = [ChildSpec("below", SupervisorSpec([probe("a"), probe("b")]))]
    async with open_sup(root) as sup:
        below = sup.system.supervisor("/sup/below")
        await below.reconfigure(SupervisorSpec([probe("b"), probe("c")]))
        await sup.kill("below")

        assert [child.id for child in below.which_children()] == ["b", "c"]
        assert await below.child("b").ask(Ping()) == 2
        assert await below.child("c").ask(Ping()) == 1


async def test_code_change_simple() -> None:
    """A dynamic supervisor's limits can be changed while it runs."""
    async with open_simple(max_children=1) as sup:
        await sup.ref.start_child(probe("a"))
        with pytest.raises(TooManyChildren):
            await sup.ref.start_child(probe("b"))
        await sup.ref.reconfigure(DynamicSupervisorSpec(max_children=2, intensity=Intensity(5, 5.0)))
        await sup.ref.start_child(probe("b"))
        for _ in range(5):
            await sup.kill("a")

        assert await sup.incarnations() == {"a": 6, "b": 1}


async def test_code_change_simple_map() -> None:
    """It cannot be given children by its spec: that would make it another kind of supervisor."""
    async with open_simple() as sup:
        with pytest.raises(SpecError, match="cannot become each other"):
            await sup.ref.reconfigure(SupervisorSpec([probe("a")]))

        assert await sup.counts() == [0, 0, 0, 0]
