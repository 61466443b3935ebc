"""How well faces are found: drawn faces, turned and scaled into larger pictures. `--help` explains every key."""

import json
from pathlib import Path

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("evaluate_alignment")
def main(config: DictConfig) -> None:
    from gan_inversion.components import build
    from gan_inversion.metrics.alignment import measure
    from gan_inversion.settings import plain
    from gan_inversion.storage import write_atomically

    generator = build({**plain(config)["generator"], "device": "cpu"}, "generator")
    rows = [measure(generator, config.faces, config.seed, landmarks) for landmarks in config.landmarks]
    text = json.dumps(rows, indent=2)
    write_atomically(Path(config.output), text.encode() + b"\n")
    print(text)


if __name__ == "__main__":
    main()
