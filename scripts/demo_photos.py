"""The demo's two photographs. Mother: skimage's astronaut (NASA, public domain). Father: a face that the generator draws.

So nobody's picture ships with this project. `--help` explains every key.
"""

from pathlib import Path

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("demo_photos")
def main(config: DictConfig) -> None:
    from gan_inversion.commands.demo_photos import astronaut, drawn_photograph
    from gan_inversion.components import build
    from gan_inversion.settings import plain

    generator = build({**plain(config)["generator"], "device": "cpu"}, "generator")
    folder = Path(config.output_dir)
    drawn_photograph(folder / "father.jpg", generator, config.seed)
    astronaut(folder / "mother.png")
    print(f"photographs: {folder}")


if __name__ == "__main__":
    main()
