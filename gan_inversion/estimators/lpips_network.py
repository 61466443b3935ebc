"""LPIPS (Zhang 2018, arXiv 1801.03924): the lpips package's linear layers on backbones from `weights/`, frozen.

lpips 0.1.4 by itself downloads its backbones, leaves its linear layers trainable, computes the target's features anew at
every call, and imports torchvision, which imports torch's compiler: three seconds. So only its weights are read; the two
networks are a dozen convolutions each. Equal to the package: tests/losses/test_losses.py.
"""

from __future__ import annotations

import io
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..assets.catalogue import load_weights
from ..errors import UserError
from ..runtime import place_of
from ..storage import read_file

BACKBONES = {"alex": "lpips_alexnet", "vgg": "lpips_vgg16"}
# Of each slice, behind which features are taken: whether it begins with a maximum, and its convolutions' channels.
SLICES: dict[str, tuple[tuple[bool, tuple[int, ...]], ...]] = {
    "alex": ((False, (64,)), (True, (192,)), (True, (384,)), (False, (256,)), (False, (256,))),
    "vgg": ((False, (64, 64)), (True, (128, 128)), (True, (256,) * 3), (True, (512,) * 3), (True, (512,) * 3)),
}
MAXIMUM = {"alex": 3, "vgg": 2}  # pixels of a maximum's side; each second pixel has one
KERNELS = {"alex": (11, 5, 3, 3, 3), "vgg": (3,) * 13}
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of RGB in [-1, 1]: ImageNet's mean and deviation


class LPIPSNetwork(nn.Module):
    """`features` of an image, and `distance` between two sets of them, as a number or as `maps`."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise UserError(f"LPIPS backbone {backbone}: choose alex or vgg")
        self.backbone, self.slices = backbone, SLICES[backbone]
        state, before = load_weights(BACKBONES[backbone]), 3
        widths = [channels for _, part in self.slices for channels in part]
        if len(state) != 2 * len(widths):
            raise UserError(f"{BACKBONES[backbone]}: {len(state)} tensors for {len(widths)} convolutions")
        for i, (channels, side) in enumerate(zip(widths, KERNELS[backbone], strict=True)):
            self._keep(f"weight{i}", state.get(f"{i}.weight"), (channels, before, side, side))
            self._keep(f"bias{i}", state.get(f"{i}.bias"), (channels,))
            before = channels
        for i, weight in enumerate(_linear_layers(backbone)):
            self._keep(f"linear{i}", weight, (1, self.slices[i][1][-1], 1, 1))
        self.register_buffer("shift", torch.tensor(SHIFT)[None, :, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[None, :, None, None])
        self.eval()

    def _keep(self, name: str, value: Tensor | None, shape: tuple[int, ...]) -> None:
        if value is None or value.shape != shape:
            raise UserError(
                "LPIPS backbone: a tensor has another shape than the network's; run scripts/fetch_weights.py"
            )
        self.register_buffer(name, value)

    def features(self, image: Tensor) -> list[Tensor]:
        """[N, 3, H, W] in [-1, 1] -> per layer [N, C, h, w], of unit length along C."""
        x, i, found = (image - self.get_buffer("shift")) / self.get_buffer("scale"), 0, []
        for begins_with_maximum, convolutions in self.slices:
            if begins_with_maximum:
                x = F.max_pool2d(x, MAXIMUM[self.backbone], 2)
            for _ in convolutions:
                weight, bias = self.get_buffer(f"weight{i}"), self.get_buffer(f"bias{i}")
                side = weight.shape[-1]
                stride, padding = (4, 2) if side == 11 else (1, side // 2)  # AlexNet's first
                x, i = F.relu_(F.conv2d(x, weight, bias, stride, padding)), i + 1
            found.append(x)
        return [layer * torch.rsqrt(layer.square().sum(1, keepdim=True) + 1e-10) for layer in found]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """[N], 0 for equal images, about 0.7 for unrelated ones."""
        return torch.stack([part.mean((1, 2, 3)) for part in self.maps(a, b)]).sum(0)

    def maps(self, a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        """Per layer [N, 1, h, w]: the distance place by place."""
        pairs = zip(a, b, strict=True)
        return [F.conv2d((x - y).square(), self.get_buffer(f"linear{i}")) for i, (x, y) in enumerate(pairs)]


def _linear_layers(backbone: str) -> list[Tensor]:
    """Weights [1, C, 1, 1] of each slice, as they lie in the installed lpips package, which is not imported."""
    found = find_spec("lpips")
    if found is None or not found.submodule_search_locations:
        raise UserError("LPIPS needs the weights in the package lpips. Run: pip install lpips==0.1.4")
    data = read_file(Path(found.submodule_search_locations[0]) / "weights" / "v0.1" / f"{backbone}.pth")
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return [state[f"lin{i}.model.1.weight"] for i in range(len(SLICES[backbone]))]


def lpips_network(backbone: str, device: str = "cpu") -> LPIPSNetwork:
    """One network a backbone and device in a process: losses and metrics share it."""
    return _load(backbone, place_of(device))


@cache
def _load(backbone: str, device: torch.device) -> LPIPSNetwork:
    return LPIPSNetwork(backbone).to(device)
