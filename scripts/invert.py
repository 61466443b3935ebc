"""Photographs in, inversions out. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.build import build, build_task, with_size
from gan_inversion.jobs import album
from gan_inversion.jobs.inversions import invert_faces
from gan_inversion.report.progress import InversionBar
from gan_inversion.report.run_folder import Clock, open_folder
from gan_inversion.settings import hydra_files, job_of, plain, script


@script("invert")
def main(config: DictConfig) -> None:
    values, clock = plain(config), Clock()
    task = build_task(values)
    runner, store = build(values["runner"], "runner"), build(values["store"], "store")
    aligner = with_size(build(values["aligner"], "aligner"), task.make_inverter().generator.resolution)
    paths = album.find_photos(values["photos"])
    folder = open_folder(config.output_dir, job_of(values), hydra_files(config), config.overwrite)

    faces, failures = clock("align", album.align_all, paths, aligner, values["face"], folder)
    inverter = task.make_inverter()
    with InversionBar(len(faces), inverter.optimiser.steps) as bar:
        found = clock("invert", invert_faces, faces, [config.seed] * len(faces), task, runner, store, bar)
    clock("report", album.save_all, folder, paths, found, failures, inverter)
    album.say_goodbye(folder, paths, found, failures, clock.seconds)


if __name__ == "__main__":
    main()
