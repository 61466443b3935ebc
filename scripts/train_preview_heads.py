"""Preview heads from the generator's own samples: render, train, measure. `--help` explains every key."""

from pathlib import Path

from omegaconf import DictConfig

from gan_inversion.commands import script


@script("train_preview_heads")
def main(config: DictConfig) -> None:
    from gan_inversion.build import build
    from gan_inversion.checkpoints.trained import save_trained
    from gan_inversion.generators.preview import HEADS
    from gan_inversion.settings import plain
    from gan_inversion.training.preview_heads import HeadLoss, measure_heads, new_heads
    from gan_inversion.training.report import Showing, facts_of, report
    from gan_inversion.training.samples import Samples
    from gan_inversion.training.trainer import train

    values, folder = plain(config), Path(config.output_dir)
    generator = build({**values["generator"], "device": "cpu"}, "generator")
    generator.use_previews({}, "")  # the goal is the true picture
    facts = facts_of(values, generator)
    samples = Samples(Path(config.samples_dir), config.samples, config.seed)
    with Showing("rendering", config.samples) as bar:
        samples.render(generator, bar.reach)
    heads = new_heads(generator, config.resolutions, config.seed)
    loss = HeadLoss(generator, heads, samples.images(), config.seed, config.batch, config.lpips_weight)
    with Showing("training", config.steps) as bar:
        curve = train(
            heads,
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
        numbers = measure_heads(generator, heads, samples.held_out(config.held_out), config.seed, bar.update)
    save_trained(folder / "heads.safetensors", HEADS, heads, generator, {"settings": facts, "held_out": numbers})
    report(folder, curve, numbers)


if __name__ == "__main__":
    main()
