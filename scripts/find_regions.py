"""Find which numbers of StyleSpace move which region of a face. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("find_regions")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.find_directions import find_regions
    from gan_inversion.components import build
    from gan_inversion.settings import plain

    values = plain(config)
    find_regions(values, build({**values["generator"], "device": config.device}, "generator"))


if __name__ == "__main__":
    main()
