"""Traces as TensorBoard reads them."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from gan_inversion.errors import UserError
from gan_inversion.report.trace import check_events
from tests.conftest import CHILD, TINY, Ran


def test_a_trace_for_tensorboard(run: Callable[..., Ran], couple: tuple[Path, Path], tmp_path: Path) -> None:
    """tensorboard: one file beside the others, the same bytes each time, in family and invert."""
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="TensorBoard is an extra: pip install 'gan-inversion[tensorboard]'",
    )
    given = [f"father={couple[0]}", f"mother={couple[1]}", *TINY, *CHILD, "trace=2", "store.path=null"]
    for name in ("out", "again"):
        run("family", *given, "tensorboard=true", f"output_dir={name}")
    path = tmp_path / "out" / "trace.tfevents"
    assert path.read_bytes() == (tmp_path / "again" / "trace.tfevents").read_bytes()
    events = reading.EventAccumulator(str(path))
    events.Reload()
    kept = load_file(tmp_path / "out" / "father_trace.safetensors")
    losses = {key.removeprefix("loss."): values for key, values in kept.items() if key.startswith("loss.")}
    tags = events.Tags()
    assert {*tags["scalars"]} == {f"{role}/{loss}" for role in ("father", "mother") for loss in losses}
    for loss, values in losses.items():
        told = events.Scalars(f"father/{loss}")
        assert [one.step for one in told] == [*range(len(values))]
        assert np.allclose([one.value for one in told], values, rtol=1e-6)
    frames = events.Images("father/picture")
    assert [frame.step for frame in frames] == [0, 2, 3]
    picture = Image.open(io.BytesIO(frames[-1].encoded_image_string))
    assert picture.size == (256, 256)
    assert "trainedAlgorithmicMedia" in picture.info["XML:com.adobe.xmp"]

    album = [f"photos=[{couple[0]}]", *TINY, "trace=2", "store.path=null"]
    for name, more in (("with", ["tensorboard=true"]), ("without", [])):
        run("invert", *album, *more, f"output_dir={name}")
    assert (tmp_path / "with" / "trace.tfevents").is_file()
    assert not (tmp_path / "without" / "trace.tfevents").exists()


def test_events_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="tensorboard=true shows the trace: set trace=1"):
        check_events(0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install"):
        check_events(1)
