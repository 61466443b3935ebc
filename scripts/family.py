"""Two photographs in, a child's face out: load, align, invert, blend, decode, report. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("family")
def main(config: DictConfig) -> None:
    from gan_inversion.components import build, build_aligner, build_conception, build_task
    from gan_inversion.report import family
    from gan_inversion.report.progress import InversionBar, bar_of
    from gan_inversion.report.run_folder import Clock, open_folder
    from gan_inversion.settings import hydra_files, plain
    from gan_inversion.store.inversions import invert_faces
    from gan_inversion.store.keys import job_of

    values, clock = plain(config), Clock()
    task = build_task(values)
    runner, store = build(values["runner"], "runner"), build(values["store"], "store")
    inverter = clock("load", task.make_inverter)
    generator = inverter.generator
    conceive = build_conception(values, generator)

    paths = {role: values[role] for role in ("father", "mother")}
    photos = clock("load", family.load, paths)
    job = job_of(values) | {f"{role}_sha256": photo.sha256 for role, photo in photos.items()} | conceive.files
    folder = open_folder(config.output_dir, job, hydra_files(config), config.overwrite, paths.values())
    aligner = build_aligner(values["aligner"], generator.resolution, generator.domain)
    faces = clock("align", family.align, photos, aligner, {role: values[f"{role}_face"] for role in photos}, folder)
    with InversionBar(len(faces), inverter.optimiser.steps) as bar:
        inverted, failed = clock("invert", invert_faces, faces, [config.seed] * 2, task, runner, store, bar)
    father, mother = family.both(inverted, failed)
    children = clock("blend", conceive, father, mother, generator, bar_of("children", "child"))
    drawn = {"father": father.latents, "mother": mother.latents, **{name: c.latents for name, c in children.items()}}
    pictures = clock("decode", family.decode, drawn, generator)
    sheet = clock("report", family.report, folder, photos, inverted, children, pictures, inverter, job)
    family.save_timings(folder, clock.seconds)
    family.say_goodbye(sheet, inverted)


if __name__ == "__main__":
    main()
