"""Stored inversions in, children out; nothing is inverted. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("blend")
def main(config: DictConfig) -> None:
    from gan_inversion.blending.recipes import check_parents
    from gan_inversion.components import build, build_conception
    from gan_inversion.latents import hash_of_latents, load_latents
    from gan_inversion.report import family
    from gan_inversion.report.progress import bar_of
    from gan_inversion.report.run_folder import open_folder
    from gan_inversion.settings import hydra_files, plain
    from gan_inversion.store.keys import job_of

    values = plain(config)
    father, mother = load_latents(config.father, "father"), load_latents(config.mother, "mother")
    generator = build({**values["generator"], "device": config.device}, "generator")
    conceive = build_conception(values, generator)
    check_parents(father, mother, generator)

    hashes = {"father_sha256": hash_of_latents(father.latents), "mother_sha256": hash_of_latents(mother.latents)}
    job = job_of(values) | hashes | conceive.files
    inputs = (config.father, config.mother)
    folder = open_folder(config.output_dir, job, hydra_files(config), config.overwrite, inputs)
    children = conceive(father, mother, generator, bar_of("children", "child"))
    pictures = family.decode({name: child.latents for name, child in children.items()}, generator)
    family.report_children(folder, children, pictures, generator, (father, mother), job)
    print(f"children: {folder.root}")


if __name__ == "__main__":
    main()
