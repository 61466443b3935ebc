"""What is shown while a command runs fits a terminal of 80 columns."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios

import pytest
import torch

from gan_inversion.interfaces import Step
from gan_inversion.report.progress import BatchBar, InversionBar, Showing, bar_of

COLUMNS = 80
LOSSES = {"total": 10.123, "lpips": 0.123, "pixel": 0.01, "identity": 0.2, "delta_norm": 12.9, "p_norm": 4639.5}


def everything(terminal: int) -> bytes:
    """What was written to the other end, which is closed."""
    told = b""
    with os.fdopen(terminal, "rb", buffering=0) as end:
        try:
            while piece := end.read(1 << 12):
                told += piece
        except OSError:  # so Linux says that nobody writes any more
            pass
    return told


def test_bars_fit_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal as the kernel makes them; its lines are read back from the other end."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        empty = torch.zeros(1)
        with InversionBar(2, 500) as bar:
            for step in (0, 250, 500):
                bar(Step(0, step, 500, LOSSES, empty, empty))
        with BatchBar(100_000, before=1000) as batch:
            batch.show(2000, 123_456, 23_456, 1234)
            batch.step(Step(0, 3, 48, LOSSES, empty, empty))
        with Showing("training an encoder", 6000) as shown:
            shown.step(3000, LOSSES)
        assert [*bar_of("children", "child")(range(3))] == [0, 1, 2]
    told = everything(ours).decode()
    lines = [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[\w+", "", told)) if line.strip()]
    assert len(lines) > 6
    assert max(map(len, lines)) <= COLUMNS
    assert any("loss 10.123" in line for line in lines)
    assert any("123456 faces inverted" in line for line in lines)
