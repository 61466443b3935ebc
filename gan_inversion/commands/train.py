"""Small networks from the generator's own samples: render, train, measure."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UserError
from ..generators.mobile_stylegan import MobileStyleGAN
from ..generators.preview import HEADS
from ..inversion.encoder import ENCODER, new_encoder
from ..report.run_folder import RunFolder
from ..training.encoder import EncoderLoss, measure_encoder
from ..training.preview_heads import HeadLoss, measure_heads, new_heads
from ..training.report import Training, fit, rendered
from ..training.trainer import CHECKPOINT
from .common import Common, Invocation, at_least, open_job


@dataclass(frozen=True, kw_only=True)
class Train(Common):
    held_out: int = at_least(1)
    steps: int = at_least(1)
    batch: int = at_least(1)
    learning_rate: float
    checkpoint_every: int = at_least(1)

    def training(self, **more: object) -> Training:
        settings = {key: getattr(self, key) for key in ("steps", "batch", "learning_rate", "seed")}
        return Training(settings | more, self.held_out, self.checkpoint_every)

    def opened(self, call: Invocation) -> RunFolder:
        """The folder; with overwrite=true, what another training has come to is not gone on with, but done anew."""
        folder, _ = open_job(self, call, ())
        if self.overwrite:
            folder.path(CHECKPOINT).unlink(missing_ok=True)
        return folder


@dataclass(frozen=True, kw_only=True)
class TrainEncoder(Train):
    passes: int = at_least(1)
    image_weight: float
    identity_weight: float

    def run(self, call: Invocation) -> None:
        generator = self.generator.load(self.device)
        folder = self.opened(call)
        weights = {"image_weight": self.image_weight, "identity_weight": self.identity_weight}
        training = self.training(passes=self.passes, **weights)
        encoder = new_encoder(generator, self.seed)
        loss = EncoderLoss(generator, encoder, self.batch, self.passes, **weights)
        fit(ENCODER, encoder, loss, measure_encoder, generator, training, folder)


@dataclass(frozen=True, kw_only=True)
class TrainPreviewHeads(Train):
    samples_dir: str
    samples: int = at_least(1)
    resolutions: tuple[int, ...]
    lpips_weight: float

    def run(self, call: Invocation) -> None:
        """Raises UserError for a generator that has no place for such heads."""
        generator = self.generator.load(self.device)
        if not isinstance(generator, MobileStyleGAN):
            raise UserError(f"generator={self.generator.name}: only MobileStyleGAN takes preview heads.")
        generator.use_previews({}, "")  # the goal is the true picture
        folder = self.opened(call)
        more = {"samples": self.samples, "resolutions": list(self.resolutions), "lpips_weight": self.lpips_weight}
        training = self.training(**more)
        samples = rendered(training, self.samples_dir, generator)
        heads = new_heads(generator, self.resolutions, self.seed)
        loss = HeadLoss(generator, heads, samples.images(), self.seed, self.batch, self.lpips_weight)
        fit(HEADS, heads, loss, measure_heads, generator, training, folder)
