"""`generator=file`: any StyleGAN checkpoint, read without running it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any, ClassVar

from ..assets.catalogue import checkpoint_file, path_of, public_checkpoint
from ..checkpoints.checkpoint import FAMILIES, Checkpoint, printable
from ..checkpoints.foreign import read_checkpoint
from ..errors import UserError
from ..storage import content_of
from .family import StyleGAN
from .options import normalised

COLOURS, LARGEST_SIDE = 3, 4096
WIDEST, DEEPEST = 4096, 32  # numbers of z and w; layers of the mapping network. Generators have 512, and 8
MULTIPLICATIONS, HELD = 5e12, 2e9  # of one picture; numbers that its largest layer holds. StyleGAN2 at 1024: 7e10, 3e8
DOMAINS, PRECISIONS = ("face", "other"), ("float32", "original")


@dataclass(frozen=True)
class CheckpointSource:
    """`generator=file`: a file of any format that `checkpoints.foreign` reads, family and sizes deduced from it.

    path: a file, or an entry of weights/catalogue.yaml that was put where the entry says.
    domain: "face", photographs are aligned as FFHQ; "other", they are cropped to their middle; None: what the entry says,
    else "face". class_label: of conditional generators, from 0. precision: "original" computes those layers in 16 bit
    that the family's authors did.
    """

    name: ClassVar[str] = "file"

    path: str
    domain: str | None = None
    class_label: int | None = None
    precision: str = "float32"

    def settings(self) -> dict[str, Any]:
        """The checkpoint by its content."""
        entry = public_checkpoint(self.path)
        return {**asdict(self), "path": content_of(str(path_of(entry)) if entry else self.path)}

    def load(self, device: str) -> StyleGAN:
        """Raises UserError: no such file, not a generator, damaged, hostile, or not what the catalogue says it is."""
        entry = public_checkpoint(self.path)
        domain = self.domain or (entry.domain if entry else DOMAINS[0])
        if domain not in DOMAINS:
            raise UserError(f"generator.domain={domain}: choose one of {', '.join(DOMAINS)}.")
        if self.precision not in PRECISIONS:
            raise UserError(f"generator.precision={self.precision}: choose one of {', '.join(PRECISIONS)}.")
        file = checkpoint_file(self.path)
        checkpoint = read_checkpoint(file)
        try:
            generator = build_checkpoint(checkpoint, device, self.class_label, domain, self.precision)
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
        if entry:
            found = {"family": generator.name, "resolution": generator.resolution, "num_ws": generator.num_ws}
            wrong = [f"{key} {found[key]}, not {value}" for key, value in entry.expects.items() if found[key] != value]
            if wrong:
                raise UserError(
                    f"{entry.file}: this is not {entry.name}: it has {'; '.join(wrong)}. Get it from {entry.page}"
                )
            generator.licence = entry.licence
        return generator


def from_file(path: str, device: str = "cpu", **options: Any) -> StyleGAN:
    """The generator in a file; options: the other fields of `CheckpointSource`."""
    return CheckpointSource(path, **options).load(device)


def build_checkpoint(
    checkpoint: Checkpoint,
    device: str = "cpu",
    class_label: int | None = None,
    domain: str = "face",
    precision: str = "float32",
) -> StyleGAN:
    """A generator of the checkpoint's family. Raises UserError if its tensors do not make one."""
    assert checkpoint.family in FAMILIES  # of our own making, never of a file's
    family = import_module(f".{checkpoint.family}", __package__)
    try:
        _check_tensors(checkpoint)
        _check_cost(checkpoint)
        checkpoint = replace(checkpoint, options=normalised(checkpoint, precision))
        generator: StyleGAN = family.build(checkpoint, device, class_label, domain, precision)
    except UserError as error:
        raise UserError(printable(str(error))) from None
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = printable(f"{type(error).__name__}: {str(error)[:200]}")
        raise UserError(f"not a complete {checkpoint.family} generator, or a changed one ({reason}).") from None
    return generator


def _check_tensors(checkpoint: Checkpoint) -> None:
    """Raises UserError for what no generator has: empty tensors, numbers that are none, other than three channels."""
    for name, tensor in checkpoint.state.items():
        if not tensor.numel():
            raise UserError(f"not a complete {checkpoint.family} generator: its tensor {name[:100]} is empty.")
        if not bool(tensor.isfinite().all()):
            raise UserError(
                f"damaged: the tensor {name[:100]} of this {checkpoint.family} has numbers that are not finite."
            )
        if name.endswith(".torgb.weight") and tensor.shape[:1] != (COLOURS,):
            raise _other_colours(checkpoint, tensor.shape[0] if tensor.ndim else 0)
    layers = (re.fullmatch(r"synthesis\.L\d+_\d+_(\d{1,9})\.bias", name) for name in checkpoint.state)
    last = [int(match[1]) for match in layers if match]
    if last and COLOURS not in last:  # layers in any order; no other of a StyleGAN3 has three channels
        raise _other_colours(checkpoint, min(last))


def _other_colours(checkpoint: Checkpoint, channels: int) -> UserError:
    return UserError(
        f"this {checkpoint.family} makes pictures of {channels} channels; what is drawn here has three: red, green, blue. "
        "Take a generator that was trained on colour pictures without transparency."
    )


def _check_cost(checkpoint: Checkpoint) -> None:
    """Raises UserError, with the number, for what would take hours or all memory, though its file is small."""
    multiplications = held = 0
    for name, tensor in checkpoint.state.items():
        if (found := re.match(r"synthesis\.(?:b|L\d{1,9}_)(\d+)[._]", name)) is not None:
            side = int(found[1][:9])
            if side > LARGEST_SIDE * (1.1 if "L" in name else 1):  # StyleGAN3's layers have margins
                raise UserError(
                    f"no {checkpoint.family} generator: it draws {side} pixels; the limit is {LARGEST_SIDE}."
                )
            if name.endswith("weight") and tensor.ndim == 4:
                multiplications += tensor.numel() * side**2
                held = max(held, tensor[0].numel() * side**2, len(tensor) * side**2)
    for name, tensor in checkpoint.state.items():
        if name.startswith("mapping.fc") and max(tensor.shape, default=0) > WIDEST:
            raise UserError(
                f"no {checkpoint.family} generator: {name[:60]} is {list(tensor.shape)}; the limit is {WIDEST}."
            )
    if sum(name.startswith("mapping.fc") for name in checkpoint.state) > 2 * DEEPEST:
        raise UserError(f"no {checkpoint.family} generator: its mapping network has more than {DEEPEST} layers.")
    if multiplications > MULTIPLICATIONS or held > HELD:
        raise UserError(
            f"one picture of it would take {multiplications:.1e} multiplications and {4e-9 * held:.1f} GB for one layer; "
            f"the limits are {MULTIPLICATIONS:.0e} and {4e-9 * HELD:.0f} GB."
        )
