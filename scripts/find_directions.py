"""Find what changes age, gender, pose, smile and eyes in a generator's W. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("find_directions")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.find_directions import find_directions
    from gan_inversion.components import build
    from gan_inversion.settings import plain

    values = plain(config)
    find_directions(values, build({**values["generator"], "device": config.device}, "generator"))


if __name__ == "__main__":
    main()
