"""A list of couples in, a folder for each and a report out. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("batch")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.batch import run_batch
    from gan_inversion.settings import hydra_files, plain

    run_batch(plain(config), hydra_files(config))


if __name__ == "__main__":
    main()
