"""Process-wide settings: what results depend on is set, whatever was set before."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch

from gan_inversion.runtime import configure


@pytest.fixture
def as_before() -> Iterator[None]:
    """Process-wide settings outlive a test."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
    torch.use_deterministic_algorithms(deterministic)


def test_float32_is_float32(as_before: None) -> None:
    """Neither matrix products nor convolutions are rounded to TF32, and torch has nothing to remark on how we say so."""
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        configure(1)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"


def test_threads_and_determinism(as_before: None) -> None:
    configure(2)
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
