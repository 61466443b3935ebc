"""Photographs in, inversions out. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.commands import script


@script("invert")
def main(config: DictConfig) -> None:
    from gan_inversion.build import build, build_task, with_size
    from gan_inversion.jobs import album
    from gan_inversion.jobs.family import save_timings
    from gan_inversion.jobs.inversions import invert_faces
    from gan_inversion.report.progress import InversionBar
    from gan_inversion.report.run_folder import Clock, open_folder
    from gan_inversion.settings import hydra_files, job_of, plain

    values, clock = plain(config), Clock()
    task = build_task(values)
    runner, store = build(values["runner"], "runner"), build(values["store"], "store")
    inverter = clock("load", task.make_inverter)
    aligner = with_size(build(values["aligner"], "aligner"), inverter.generator.resolution)

    paths = album.find_photos(values["photos"])
    photos, unread = clock("load", album.load_all, paths)
    job = job_of(values) | {"photos": {name: photo.sha256 for name, photo in photos.items()}}
    folder = open_folder(config.output_dir, job, hydra_files(config), config.overwrite, paths.values())
    faces, unaligned = clock("align", album.align_all, photos, aligner, values["face"], folder)
    with InversionBar(len(faces), inverter.optimiser.steps) as bar:
        found, failed = clock("invert", invert_faces, faces, [config.seed] * len(faces), task, runner, store, bar)
    rows = clock("report", album.save_all, folder, list(paths), found, failed, {**unread, **unaligned}, inverter)
    save_timings(folder, clock.seconds)
    album.say_goodbye(folder, rows)


if __name__ == "__main__":
    main()
