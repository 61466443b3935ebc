"""Any StyleGAN checkpoint in, safetensors out, nothing of it executed. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("convert_weights")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.convert_weights import convert

    convert(config.input, config.output, config.overwrite)


if __name__ == "__main__":
    main()
