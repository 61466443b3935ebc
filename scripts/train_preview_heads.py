"""Preview heads from the generator's own samples: render, train, measure. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("train_preview_heads")
def main(config: DictConfig) -> None:
    from gan_inversion.components import build
    from gan_inversion.generators.preview import HEADS
    from gan_inversion.settings import plain
    from gan_inversion.training.preview_heads import HeadLoss, measure_heads, new_heads
    from gan_inversion.training.report import fit, rendered

    values = plain(config)
    generator = build({**values["generator"], "device": "cpu"}, "generator")
    generator.use_previews({}, "")  # the goal is the true picture
    samples = rendered(values, generator)
    heads = new_heads(generator, config.resolutions, config.seed)
    loss = HeadLoss(generator, heads, samples.images(), config.seed, config.batch, config.lpips_weight)
    fit(HEADS, heads, loss, measure_heads, generator, values, samples.held_out(config.held_out))


if __name__ == "__main__":
    main()
