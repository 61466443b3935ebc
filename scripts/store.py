"""What is in the store; whether it is whole; forgetting a photograph. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("store")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.store import tend_store
    from gan_inversion.settings import plain

    tend_store(plain(config))


if __name__ == "__main__":
    main()
