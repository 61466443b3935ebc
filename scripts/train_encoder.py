"""An encoder from the generator's own samples: render, train, measure. `--help` explains every key."""

from pathlib import Path

from omegaconf import DictConfig

from gan_inversion.commands import script


@script("train_encoder")
def main(config: DictConfig) -> None:
    from gan_inversion.build import build
    from gan_inversion.checkpoints.trained import save_trained
    from gan_inversion.inversion.encoder import ENCODER, Encoder
    from gan_inversion.settings import plain
    from gan_inversion.training.encoder import EncoderLoss, measure_encoder
    from gan_inversion.training.report import Showing, facts_of, report
    from gan_inversion.training.samples import Samples
    from gan_inversion.training.trainer import train

    values, folder = plain(config), Path(config.output_dir)
    generator = build({**values["generator"], "device": "cpu"}, "generator")
    facts = facts_of(values, generator)
    samples = Samples(Path(config.samples_dir), config.samples, config.seed)
    with Showing("rendering", config.samples) as bar:
        samples.render(generator, bar.reach)
    encoder = Encoder(generator.num_ws, generator.w_dim)
    encoder.initialise(config.seed, generator.statistics())
    loss = EncoderLoss(
        generator, encoder, samples.ws(generator), samples.images(), config.batch, config.drawn, config.image_weight
    )
    with Showing("training", config.steps) as bar:
        curve = train(
            encoder,
            loss,
            config.steps,
            config.learning_rate,
            config.seed,
            folder,
            facts,
            config.checkpoint_every,
            bar.step,
        )
    with Showing("measuring", config.held_out) as bar:
        numbers = measure_encoder(generator, encoder, samples.held_out(config.held_out), config.seed, bar.update)
    save_trained(folder / "encoder.safetensors", ENCODER, encoder, generator, {"settings": facts, "held_out": numbers})
    report(folder, curve, numbers)


if __name__ == "__main__":
    main()
