"""`wasup run`: the daemon."""

from __future__ import annotations

import faulthandler
import resource
from argparse import Namespace
from pathlib import Path
from typing import Final

import trio

from actors.daemon.outputs import Outputs
from actors.daemon.signals import Signals
from config.disk import probe
from config.load import load
from config.reserve import Reserve
from config.state import hold_state_dir

DESCRIPTORS: Final = 65_536
"""Enough for a thousand companies, their engines and a thousand HTTP connections, with room to spare."""


def raise_descriptor_limit() -> None:
    """Raise the soft limit as far as this user may, up to `DESCRIPTORS`: 1024, the usual soft limit, is too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def make_room(devices: Path) -> None:
    """On a full disk, release the reserve, so that a daemon starts on a full disk too, and says what is wrong."""
    if devices.is_dir() and probe(devices) is not None:
        Reserve(devices).release()


def run(arguments: Namespace) -> int:
    """Return the daemon's exit status: 0 after a stop that was asked for, however early."""
    signals: Signals = arguments.signals
    settings = load(config_file=arguments.config)
    outputs = Outputs(settings.log)
    try:
        outputs.configure_log(settings.log_level, settings.log)
        # Imported after the settings are read: a mistake in them is reported within a tenth of a second, before these libraries load.
        from actors.daemon.daemon import Process, serve

        raise_descriptor_limit()
        signals.begin()
        with hold_state_dir(settings.state_dir):
            make_room(settings.devices_dir)
            # Print to standard error what the watchdog's SIGABRT, or a crash of a library, interrupted.
            faulthandler.enable()
            process = Process(signals=signals, outputs=outputs, config_file=arguments.config)
            return trio.run(serve, settings, process)
    finally:
        outputs.close()
