"""Stored inversions in, children out; nothing is inverted. `--help` explains every key."""

from pathlib import Path

from omegaconf import DictConfig

from gan_inversion.blending.blends import children
from gan_inversion.build import build
from gan_inversion.jobs import family
from gan_inversion.jobs.store import load_latents
from gan_inversion.report.run_folder import open_folder
from gan_inversion.settings import hydra_files, job_of, plain, script


@script("blend")
def main(config: DictConfig) -> None:
    values = plain(config)
    recipes = children(build(values["blend"], "blend"), config.siblings, values["siblings_only"], config.seed)
    father, mother = load_latents(config.father, "father"), load_latents(config.mother, "mother")
    generator = build({**values["generator"], "device": config.device}, "generator")
    latents = family.blend(recipes, father, mother, generator)
    folder = open_folder(Path(config.output_dir), job_of(values), hydra_files(config), config.overwrite)
    pictures = family.decode(latents, generator)
    family.report_children(folder, recipes, latents, pictures, generator, job_of(values))
    print(f"children: {folder}")


if __name__ == "__main__":
    main()
