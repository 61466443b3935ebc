"""LPIPS (Zhang 2018, arXiv 1801.03924) through the lpips package, with backbones from `weights/`, frozen.

lpips 0.1.4 by itself downloads its backbones, leaves its linear layers trainable and computes the target's features
anew at every call; here they are loaded from checked files, frozen, and computed once.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor, nn

from ..assets.catalogue import load_weights
from ..errors import UserError
from ..runtime import place_of

BACKBONES = {"alex": "lpips_alexnet", "vgg": "lpips_vgg16"}


class LPIPSNetwork(nn.Module):
    """`features` of an image, and `distance` between two sets of them, as a number or as `maps`."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise UserError(f"LPIPS backbone {backbone}: choose alex or vgg")
        state = load_weights(BACKBONES[backbone])
        import lpips  # here, because it imports torchvision: two seconds that runs without LPIPS need not wait

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torchvision, about an argument that lpips passes
            self.network = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
        convolutions = [layer for layer in self.network.net.modules() if isinstance(layer, nn.Conv2d)]
        if len(state) != 2 * len(convolutions):
            raise UserError(f"{BACKBONES[backbone]}: {len(state)} tensors for {len(convolutions)} convolutions")
        with torch.no_grad():
            for i, layer in enumerate(convolutions):
                _copy(layer.weight, state[f"{i}.weight"])
                _copy(layer.bias, state[f"{i}.bias"])
        self.requires_grad_(False).eval()

    def features(self, image: Tensor) -> list[Tensor]:
        """[N, 3, H, W] in [-1, 1] -> per layer [N, C, h, w], of unit length along C."""
        layers = self.network.net(self.network.scaling_layer(image))
        return [layer * torch.rsqrt(layer.square().sum(1, keepdim=True) + 1e-10) for layer in layers]

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """[N], 0 for equal images, about 0.7 for unrelated ones."""
        return torch.stack([part.mean((1, 2, 3)) for part in self.maps(a, b)]).sum(0)

    def maps(self, a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        """Per layer [N, 1, h, w]: the distance place by place."""
        return [lin((x - y).square()) for lin, x, y in zip(self.network.lins, a, b, strict=True)]


def _copy(parameter: Tensor | None, value: Tensor) -> None:
    if parameter is None or parameter.shape != value.shape:
        raise UserError("LPIPS backbone: a tensor has another shape than the network's; run scripts/fetch_weights.py")
    parameter.copy_(value)


def lpips_network(backbone: str, device: str = "cpu") -> LPIPSNetwork:
    """One network a backbone and device in a process: losses and metrics share it."""
    return _load(backbone, place_of(device))


@cache
def _load(backbone: str, device: torch.device) -> LPIPSNetwork:
    return LPIPSNetwork(backbone).to(device)
