"""Process-wide settings, applied by scripts and workers only; importing the package changes nothing."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

import cv2
import numpy as np
import torch

from . import __version__
from .errors import UserError

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def cores() -> int:
    """Cores this process may use: fewer than the machine's in a container or under taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def configure(threads: int | None) -> None:
    """Threads a face (None: one a core), deterministic kernels in true float32, and memory that is kept instead of returned.

    glibc gives each tensor above 32 MB fresh pages from the kernel, which zeroes them: at 1024 pixels that is more than
    half of a step's time. Keeping freed memory in the process makes a step about twice as fast, and changes no bit.
    """
    torch.set_num_threads(threads or cores())
    # As use_deterministic_algorithms(True, warn_only=True), which first imports torch's compiler: three seconds.
    torch.set_deterministic_debug_mode("warn")
    # Deterministic mode fills each new tensor with NaN to expose reads of unwritten memory: a tenth of a step's time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # float32 is what keys and summaries say: cuDNN would multiply with 10 bits of mantissa (TF32) unless told not to.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL("libc.so.6").mallopt
        except (OSError, AttributeError):
            return  # another C library: only slower
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)  # an int: anything larger would wrap around, 1 << 34 to zero


def check_device(device: str, remedy: str = "Use device=cpu.") -> None:
    """Raises UserError, with the remedy, if torch cannot compute there."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device={device} cannot be used here ({reason}). {remedy}") from error


def place_of(device: str) -> torch.device:
    """Where a tensor that is put there lies: "cuda" and "cuda:0" are one place, and have one copy of a network."""
    return torch.empty(0, device=device).device


def versions() -> dict[str, str]:
    return {
        "gan_inversion": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "machine": platform.machine(),
    }
