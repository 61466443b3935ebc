"""Photographs in, latents out in one pass of the encoder. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("encode")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.invert import invert_photos
    from gan_inversion.settings import hydra_files, plain

    invert_photos(plain(config), hydra_files(config))


if __name__ == "__main__":
    main()
