"""Decides which version of WhatsApp Web engine processes announce, and what to do when WhatsApp refuses it. No I/O.

`auto` begins with the library's own version, or the newest one that was found, and changes to another when that is refused: the newest that
web.whatsapp.com names, or else the one before. When none is left it is `exhausted`: companies wait, and retry now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, final

import trio

from actors.daemon.metric_types import Sample
from actors.engine.protocol.versions import LIBRARY_ANNOUNCES, LIBRARY_ANNOUNCES_SINCE
from config.values import revision_of

Source = Literal["library", "found", "set"]
FARTHEST_JUMP: Final = 50_000_000
"""A revision this far above all known ones is not believed: they grew by 2.1 million from August to September 2026."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version, its source, and since when it is known (Unix seconds)."""

    text: str
    source: Source
    since: float


@final
class VersionState:
    """The announced version. Outlives the actor's crashes. Companies and engines read it, and report what WhatsApp accepts and refuses."""

    def __init__(self, setting: str, wall_clock: Callable[[], float]) -> None:
        """``setting``: `auto`, `library`, or a version."""
        library = Version(LIBRARY_ANNOUNCES, "library", LIBRARY_ANNOUNCES_SINCE)
        self.is_auto = setting == "auto"
        self.current = library if setting in ("auto", "library") else Version(setting, "set", wall_clock())
        self.newest = library
        """The newest known version, in use or not."""
        self.is_exhausted = False
        """Whether the version in use was refused and there is no other."""
        self.fault = ""
        """Why engines announce the library's own version whatever the setting; empty when they do not."""
        self.refusals = 0
        self.doubted = trio.Event()
        """Set when the version in use was refused."""
        self.changed = trio.Event()
        """Set, and replaced by a new event, at each decision."""
        self._before: Version = library
        self._refused: set[str] = set()
        self._wall_clock = wall_clock

    def is_stale(self, version: str) -> bool:
        """Whether ``version`` is not the one that new engine processes announce. An empty one is not known, and not stale."""
        return version not in ("", self.current.text)

    def refused(self, version: str) -> None:
        """WhatsApp refused a client that announced ``version``."""
        self.refusals += 1
        if version != self.current.text or version in self._refused:
            return
        self._refused.add(version)
        if self.is_auto and not self.fault:
            self.doubted.set()
        else:
            self._decide(self.current, exhausted=True)

    def accepted(self, version: str) -> None:
        """WhatsApp accepted a client that announced ``version``. If it had refused it before, other versions may be tried again too."""
        if version in self._refused:
            self._refused.clear()  # WhatsApp now accepts what it refused: try the others again as well
            if version == self.current.text:
                self._decide(self.current, exhausted=False)

    def found(self, version: str, since: float | None = None) -> str:
        """Note the newest version that web.whatsapp.com names, first at ``since``. Return why it is not believed; empty when it is."""
        known, number = revision_of(self.newest.text), revision_of(version)
        if number < known:
            return f"{version} is older than {self.newest.text}"
        if number > known + FARTHEST_JUMP:
            return f"{version} is too far above {self.newest.text}"
        if number > known:
            self.newest = Version(version, "found", self._wall_clock() if since is None else since)
        return ""

    def settle(self, *, renew_after_s: float) -> None:
        """Decide after a look-up: keep the version in use, unless it was refused, or is ``renew_after_s`` older than the newest."""
        if self.current.text not in self._refused:
            if self.newest.since - self.current.since >= renew_after_s and self.newest.text not in self._refused:
                self._use(self.newest)
        elif (other := self._another()) is not None:
            self._use(other)
        else:
            self._decide(self.current, exhausted=True)

    def cannot_change(self, why: str) -> None:
        """Engines could not set the wanted version: announce the library's own from now on."""
        self.fault = why
        self._decide(Version(LIBRARY_ANNOUNCES, "library", LIBRARY_ANNOUNCES_SINCE), exhausted=self.is_exhausted)

    def _another(self) -> Version | None:
        return next((each for each in (self.newest, self._before) if each.text not in self._refused), None)

    def _use(self, version: Version) -> None:
        self._before = self.current
        self._decide(version, exhausted=False)

    def _decide(self, version: Version, *, exhausted: bool) -> None:
        self.current, self.is_exhausted = version, exhausted
        self.changed.set()
        self.changed = trio.Event()

    def samples(self) -> Iterator[Sample]:
        """For the metrics."""
        labels = {"version": self.current.text, "source": self.current.source}
        yield Sample("wasup_whatsapp_version", "1: the version new engine processes announce", 1.0, labels)
        age_s = max(0.0, self._wall_clock() - self.current.since)
        yield Sample("wasup_whatsapp_version_age_seconds", "Seconds since it was made or found", age_s)
        yield Sample(
            "wasup_whatsapp_version_exhausted", "1: it was refused and there is no other", float(self.is_exhausted)
        )
        yield Sample("wasup_whatsapp_version_refusals", "Refused clients (405)", self.refusals, kind="counter")
