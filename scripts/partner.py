"""From a stored child and one stored parent, plausible faces of the other parent. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("partner")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.partner import find_partners
    from gan_inversion.components import build
    from gan_inversion.settings import hydra_files, plain

    values = plain(config)
    generator = build({**values["generator"], "device": config.device}, "generator")
    find_partners(values, hydra_files(config), generator)


if __name__ == "__main__":
    main()
