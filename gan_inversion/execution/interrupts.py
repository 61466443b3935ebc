"""Ctrl-C: the first asks for an orderly end, the second is meant."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any

log = logging.getLogger(__name__)


@contextlib.contextmanager
def asking(stop: Any) -> Iterator[None]:
    """The first Ctrl-C only sets `stop`: it cuts no message, measurement or file in two. The second is meant."""

    def ask(*_: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        log.warning("interrupted: handing in what there is (once more to drop it)")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
