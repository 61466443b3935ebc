"""Are the children like children of their parents? Against baselines and real families. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("evaluate_children")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.evaluate_children import evaluate_children
    from gan_inversion.components import build
    from gan_inversion.settings import plain

    values = plain(config)
    evaluate_children(values, build({**values["generator"], "device": config.device}, "generator"))


if __name__ == "__main__":
    main()
