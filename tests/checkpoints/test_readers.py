"""Foreign files: what is read, and what is refused without being run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from gan_inversion.assets.convert import lpips_backbone
from gan_inversion.assets.openvino_ir import read_constants
from gan_inversion.checkpoints import stand_ins
from gan_inversion.checkpoints.unpickle import read_arrays
from gan_inversion.errors import UserError
from tests.checkpoints.byte_code import name, text, whole

XML = b"""<net><layers>
<layer id="0" name="a" type="Const"><data element_type="f32" shape="2,2" offset="4" size="16"/></layer>
<layer id="1" name="n" type="Const"><data element_type="i64" shape="1" offset="0" size="8"/></layer>
<layer id="2" name="mul" type="MatMul"/></layers>
<edges><edge from-layer="0" to-layer="2"/></edges></net>"""


def test_openvino_constants() -> None:
    binary = np.arange(5, dtype="<f4").tobytes()
    (constant,) = read_constants(XML, binary)
    assert (constant.name, constant.consumer) == ("a", "MatMul")
    assert constant.value.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("xml", "binary", "message"),
    [
        (XML, b"short", "does not fit"),
        (XML[:50], b"", "damaged"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + XML, b"\0" * 20, "entities"),
    ],
)
def test_openvino_refuses(xml: bytes, binary: bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_constants(xml, binary)


def test_arrays_are_read() -> None:
    tree = {
        "AlexNet_0": {"Conv_0": {"kernel": np.arange(24, dtype="f4").reshape(1, 2, 3, 4), "bias": np.ones(4, "f4")}}
    }
    read = read_arrays(pickle.dumps(tree, protocol=3))
    assert np.array_equal(read["AlexNet_0"]["Conv_0"]["kernel"], tree["AlexNet_0"]["Conv_0"]["kernel"])


def test_kernels_are_transposed_to_torch_order() -> None:
    """Flax HWIO -> torch OIHW: out channel 3, in channel 2, row 0, column 1."""
    kernel = np.arange(24, dtype="f4").reshape(1, 2, 3, 4)
    tree = {"VGG16_0": {"Conv_0": {"kernel": kernel, "bias": np.arange(4, dtype="f4")}}}
    state = lpips_backbone({"vgg16.ckpt": pickle.dumps(tree, protocol=3)})
    assert state["0.weight"].shape == (4, 3, 1, 2)
    assert state["0.weight"][3, 2, 0, 1] == kernel[0, 1, 2, 3]
    assert state["0.bias"].tolist() == [0, 1, 2, 3]


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(UserError, match=r"asks for posix.system"):
        read_arrays(pickle.dumps({"a": Evil(canary)}))
    assert not canary.exists()


@pytest.mark.parametrize("state", [b"}" + text("make") + b"Ns", b"N}" + text("__defaults__") + b")s\x86", b"N"])
@pytest.mark.parametrize(
    "full", [*stand_ins._NAMES, "torch.FloatStorage", "torch.float32", "torch.nn.modules.linear.Linear"]
)
def test_what_stands_in_for_names_cannot_be_changed(full: str, state: bytes) -> None:
    """BUILD sets attributes of objects, and would of these, for all files that are read after this one."""
    before = repr(stand_ins.find(*full.rsplit(".", 1)))
    with pytest.raises(UserError):
        read_arrays(whole(name(full) + state + b"b"))
    assert repr(stand_ins.find(*full.rsplit(".", 1))) == before


@pytest.mark.parametrize("data", [b"", b"\x80", b"garbage", pickle.dumps([1, 2])])
def test_damaged_pickles_are_one_clear_error(data: bytes) -> None:
    with pytest.raises(UserError, match="pickle refused"):
        read_arrays(data)
