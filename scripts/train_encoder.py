"""An encoder from the generator's own samples: render, train, measure. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("train_encoder")
def main(config: DictConfig) -> None:
    from gan_inversion.components import build
    from gan_inversion.inversion.encoder import ENCODER, Encoder
    from gan_inversion.settings import plain
    from gan_inversion.training.encoder import EncoderLoss, measure_encoder
    from gan_inversion.training.report import fit, rendered

    values = plain(config)
    generator = build({**values["generator"], "device": "cpu"}, "generator")
    samples = rendered(values, generator)
    encoder = Encoder(generator.num_ws, generator.w_dim)
    encoder.initialise(config.seed, generator.statistics())
    ws, images = samples.ws(generator), samples.images()
    loss = EncoderLoss(generator, encoder, ws, images, config.batch, config.drawn, config.image_weight)
    fit(ENCODER, encoder, loss, measure_encoder, generator, values, samples.held_out(config.held_out))


if __name__ == "__main__":
    main()
