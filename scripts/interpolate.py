"""Stored latents in, a film of the walk through them out. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("interpolate")
def main(config: DictConfig) -> None:
    import numpy as np

    from gan_inversion.blending import walk
    from gan_inversion.components import build
    from gan_inversion.image import to_tensor
    from gan_inversion.report import video
    from gan_inversion.report.family import facts_of
    from gan_inversion.report.run_folder import open_folder
    from gan_inversion.runtime import versions
    from gan_inversion.settings import hydra_files, plain
    from gan_inversion.store.keys import job_of

    values = plain(config)
    walk.check(config.path, config.easing, config.size)
    generator = build({**values["generator"], "device": config.device}, "generator")
    stops = walk.load_stops(values["latents"], generator)
    latents = [stop.inversion.latents for stop in stops]
    route = walk.Walk(latents + latents[:1] * config.loop, config.path, generator.statistics().mean)
    job = job_of(values) | {"latents": [stop.identity for stop in stops]}
    inputs = [stop.file for stop in stops]
    folder = open_folder(config.output_dir, job, hydra_files(config), config.overwrite, inputs)

    knots, lengths, ratios = np.arange(route.legs + 1.0), np.ones(route.legs), {}
    if config.equal_speed:
        knots, lengths, ratios = walk.equal_speed(generator, route, config.probes)
    positions = walk.frame_positions(knots, lengths, config.frames, config.easing)
    frames = video.draw_frames(generator, route, positions, min(config.size, generator.resolution))
    facts = facts_of(generator, [stop.inversion for stop in stops])
    video.save_walk(folder, frames[:-1] if config.loop else frames, config.fps, facts)
    document = {**facts, "positions": positions.tolist(), "settings": job, "versions": versions()}
    if config.equal_speed:  # else LPIPS need not be there
        steps = walk.distances(map(to_tensor, frames))
        ratios["film"] = walk.max_to_mean(steps)  # with its easing
        document |= {"step_lpips": steps.tolist(), "max_to_mean_step": ratios}
    folder.finish("walk.json", document)
    print(f"walk: {folder.root / 'walk.mp4'}")


if __name__ == "__main__":
    main()
