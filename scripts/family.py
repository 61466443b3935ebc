"""Two photographs in, a child's face out: load, align, invert, blend, decode, report. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.blending.blends import children
from gan_inversion.build import build, build_task, with_size
from gan_inversion.jobs import family
from gan_inversion.jobs.inversions import invert_faces
from gan_inversion.report.progress import InversionBar
from gan_inversion.report.run_folder import Clock, open_folder
from gan_inversion.settings import hydra_files, job_of, plain, script


@script("family")
def main(config: DictConfig) -> None:
    values, clock = plain(config), Clock()
    task, blend = build_task(values), build(values["blend"], "blend")
    runner, store = build(values["runner"], "runner"), build(values["store"], "store")
    recipes = children(blend, config.siblings, values["siblings_only"], config.seed)
    inverter = clock("load", task.make_inverter)
    generator = inverter.generator

    photos = clock("load", family.load, {role: values[role] for role in ("father", "mother")})
    job = job_of(values) | {f"{role}_sha256": photo.sha256 for role, photo in photos.items()}
    folder = open_folder(config.output_dir, job, hydra_files(config), config.overwrite)
    aligner = with_size(build(values["aligner"], "aligner"), generator.resolution)
    numbers = {role: values[f"{role}_face"] for role in photos}
    faces = clock("align", family.align, photos, aligner, numbers, folder)
    with InversionBar(len(faces), inverter.optimiser.steps) as bar:
        inverted = clock("invert", invert_faces, faces, [config.seed] * len(faces), task, runner, store, bar)
    father, mother = (item.inversion for item in inverted)
    latents = family.blend(recipes, father, mother, generator)
    pictures = clock("decode", family.decode, {"father": father.ws, "mother": mother.ws, **latents}, generator)
    sheet = clock(
        "report", family.report, folder, photos, inverted, recipes, latents, pictures, generator, inverter.losses, job
    )
    family.save_timings(folder, clock.seconds)
    family.say_goodbye(sheet, inverted)


if __name__ == "__main__":
    main()
