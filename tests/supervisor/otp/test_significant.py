"""OTP's supervisor suite, group significant: each test bears the name of its case."""

from __future__ import annotations

import pytest
from trio.testing import wait_all_tasks_blocked

from supervisor import NORMAL, AutoShutdown, ChildSpec, ExitReason, Intensity, Restart, Strategy, SupervisorSpec
from supervisor.errors import SpecError
from tests.supervisor.otp.kit import ABNORMAL, Sup, open_simple, open_sup
from tests.supervisor.probes import Stop, probe

NEVER, ANY, ALL = AutoShutdown.NEVER, AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT
TEMPORARY, TRANSIENT = Restart.TEMPORARY, Restart.TRANSIENT


def significant(child_id: str, restart: Restart = TRANSIENT) -> ChildSpec:
    return probe(child_id, restart=restart, significant=True)


@pytest.mark.parametrize("auto_shutdown", [NEVER, ANY, ALL])
@pytest.mark.parametrize("reason", [NORMAL, ABNORMAL], ids=str)
async def test_nonsignificant_temporary(auto_shutdown: AutoShutdown, reason: ExitReason) -> None:
    """The end of a temporary child that is not significant never ends the supervisor."""
    async with open_sup([probe("a", restart=TEMPORARY), probe("b")], auto_shutdown=auto_shutdown) as sup:
        await sup.end("a", reason)

        assert (sup.is_alive, await sup.counts()) == (True, [1, 1, 0, 1])


@pytest.mark.parametrize("auto_shutdown", [NEVER, ANY, ALL])
async def test_nonsignificant_transient(auto_shutdown: AutoShutdown) -> None:
    """Nor does that of a transient one; after a crash it is restarted."""
    async with open_sup([probe("a", restart=TRANSIENT), probe("b")], auto_shutdown=auto_shutdown) as sup:
        await sup.end("a", ABNORMAL)
        assert await sup.incarnations() == {"a": 2, "b": 1}
        await sup.end("a", NORMAL)

        assert (sup.is_alive, await sup.states()) == (True, {"a": "stopped", "b": "running"})


@pytest.mark.parametrize("reason", [NORMAL, ABNORMAL], ids=str)
async def test_significant_temporary(reason: ExitReason) -> None:
    """Any end of a significant temporary child ends the supervisor under any_significant, the last one under all_significant."""
    children = [significant("a", TEMPORARY), significant("b", TEMPORARY), probe("c")]
    async with open_sup(children, auto_shutdown=ANY) as sup:
        await sup.end("a", reason)
        assert (sup.is_alive, sup.reason) == (False, "shutdown")

    async with open_sup(children, auto_shutdown=ALL) as sup:
        await sup.end("a", reason)
        assert sup.is_alive is True
        await sup.end("b", reason)
        assert (sup.is_alive, sup.reason) == (False, "shutdown")


async def test_significant_temporary_terminated() -> None:
    """Terminating a significant child by request does not count."""
    async with open_sup([significant("a", TEMPORARY), probe("b")], auto_shutdown=ANY) as sup:
        await sup.ref.terminate_child("a")

        assert (sup.is_alive, await sup.counts()) == (True, [1, 1, 0, 1])


async def test_significant_transient() -> None:
    """Of a significant transient child only an end in order counts; a crash is followed by a restart."""
    children = [significant("a"), significant("b"), probe("c")]
    async with open_sup(children, auto_shutdown=ANY) as sup:
        await sup.end("a", ABNORMAL)
        assert await sup.incarnations() == {"a": 2, "b": 1, "c": 1}
        await sup.ref.terminate_child("b")
        assert sup.is_alive is True
        await sup.end("a", NORMAL)
        assert sup.is_alive is False

    async with open_sup(children, auto_shutdown=ALL) as sup:
        await sup.end("a", NORMAL)
        assert sup.is_alive is True
        await sup.end("b", NORMAL)
        assert sup.is_alive is False


async def test_significant_simple() -> None:
    """A dynamic supervisor takes no significant children."""
    async with open_simple() as sup:
        with pytest.raises(SpecError, match="a dynamic supervisor has no significant children"):
            await sup.ref.start_child(significant("a"))

        assert await sup.counts() == [0, 0, 0, 0]


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_significant_bystander(strategy: Strategy) -> None:
    """Significant children that are stopped over a sibling's crash do not end the supervisor."""
    children = [probe("a"), significant("b", TEMPORARY), significant("c")]
    async with open_sup(children, strategy=strategy, auto_shutdown=ANY) as sup:
        await sup.kill("a")

        assert (sup.is_alive, await sup.incarnations()) == (True, {"a": 2, "c": 2})


@pytest.mark.parametrize("inner_is_significant", [True, False])
async def test_significant_escalation(inner_is_significant: bool) -> None:
    """A supervisor that ends by auto_shutdown ends its own supervisor if it is significant there, and not otherwise."""
    inner = SupervisorSpec([significant("a")], auto_shutdown=ANY)
    children = [
        ChildSpec("inner", inner, restart=TRANSIENT, significant=inner_is_significant),
        probe("b"),
    ]
    async with open_sup(children, auto_shutdown=ANY) as sup:
        sup.system.ref("/sup/inner/a").tell(Stop(NORMAL))
        await wait_all_tasks_blocked()

        assert sup.is_alive is not inner_is_significant
        if not inner_is_significant:
            assert await sup.states() == {"inner": "stopped", "b": "running"}


async def reconfigured(before: AutoShutdown, after: AutoShutdown, ended: str) -> Sup:
    """A supervisor whose auto_shutdown was changed, after the child ``ended`` has ended in order."""
    is_significant = before is not NEVER
    children = [probe("a", restart=TRANSIENT, significant=is_significant), probe("b", restart=TRANSIENT), probe("c")]
    later = [
        probe("a", restart=TRANSIENT, significant=after is not NEVER),
        probe("b", restart=TRANSIENT, significant=after is not NEVER),
        probe("c"),
    ]
    async with open_sup(children, auto_shutdown=before) as sup:
        await sup.ref.reconfigure(SupervisorSpec(later, auto_shutdown=after))
        await sup.end(ended, NORMAL)
        sup.journal.note("alive" if sup.is_alive else "ended")
        if sup.is_alive and ended == "a":
            await sup.end("b", NORMAL)
            sup.journal.note("alive" if sup.is_alive else "ended")
    return sup


async def test_significant_upgrade_never_any() -> None:
    """never to any_significant takes effect on children that run."""
    sup = await reconfigured(NEVER, ANY, "a")

    assert sup.journal.lines == ["ended"]


async def test_significant_upgrade_any_never() -> None:
    """any_significant to never: nothing ends the supervisor any more, and significant specs are refused."""
    sup = await reconfigured(ANY, NEVER, "a")
    assert sup.journal.lines == ["alive", "alive"]

    async with open_sup([significant("a")], auto_shutdown=ANY) as sup:
        await sup.ref.reconfigure(SupervisorSpec([probe("a", restart=TRANSIENT)]))
        with pytest.raises(SpecError, match="needs a supervisor whose auto_shutdown is not"):
            await sup.ref.start_child(significant("b"))


async def test_significant_upgrade_never_all() -> None:
    """never to all_significant: the last significant child ends the supervisor."""
    sup = await reconfigured(NEVER, ALL, "a")

    assert sup.journal.lines == ["alive", "ended"]


async def test_significant_upgrade_all_never() -> None:
    """all_significant to never: nothing ends the supervisor any more."""
    sup = await reconfigured(ALL, NEVER, "a")

    assert sup.journal.lines == ["alive", "alive"]


async def test_significant_upgrade_any_all() -> None:
    """any_significant to all_significant: one end is not enough any more."""
    sup = await reconfigured(ANY, ALL, "a")

    assert sup.journal.lines == ["alive", "ended"]


async def test_significant_upgrade_all_any() -> None:
    """all_significant to any_significant: one end is enough."""
    sup = await reconfigured(ALL, ANY, "b")

    assert sup.journal.lines == ["ended"]


async def test_significant_upgrade_child() -> None:
    """A child's significance changes with its spec; with auto_shutdown never that is refused and changes nothing."""
    async with open_sup([probe("a", restart=TRANSIENT)], auto_shutdown=ANY, intensity=Intensity(1, 5.0)) as sup:
        with pytest.raises(SpecError, match="needs a supervisor whose auto_shutdown is not"):
            await sup.ref.reconfigure(SupervisorSpec([significant("a")]))
        await sup.ref.reconfigure(SupervisorSpec([significant("a")], auto_shutdown=ANY))
        await sup.end("a", NORMAL)

        assert sup.is_alive is False
