"""Stored faces on a map among the population of W: a picture and a page. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("atlas")
def main(config: DictConfig) -> None:
    from gan_inversion.components import build
    from gan_inversion.estimators.identity import dlib_resnet
    from gan_inversion.report import atlas
    from gan_inversion.report.atlas_page import save_atlas
    from gan_inversion.report.family import facts_of
    from gan_inversion.report.run_folder import open_folder
    from gan_inversion.settings import hydra_files, plain
    from gan_inversion.store.keys import job_of

    values = plain(config)
    network = dlib_resnet(config.device) if config.identity else None
    generator = build({**values["generator"], "device": config.device}, "generator")
    faces = atlas.find_faces(values["latents"], generator)
    points = [*faces, *atlas.population(generator, config.samples, config.seed)]
    w = atlas.whitened(points, generator.statistics())
    coordinates, explained = atlas.project(w, len(faces), config.method, config.dimensions, config.seed)

    job = job_of(values) | {"latents": atlas.hashes(faces), "previews_sha256": generator.previews_sha256}
    inputs = [face.path for face in faces if face.path]
    folder = open_folder(config.output_dir, job, hydra_files(config), config.overwrite, inputs)
    pictures = atlas.draw_all(points, generator)
    near = {"latent": atlas.nearest(w[: len(faces)] / w.shape[1] ** 0.5, config.neighbours)}
    if network:
        near["identity"] = atlas.nearest(
            atlas.embed_all(pictures[: len(faces)], network, config.device), config.neighbours
        )
    rows = atlas.describe_points(points, coordinates, near)
    facts = facts_of(generator, [face.inversion for face in faces])
    print(f"atlas: {save_atlas(folder, rows, pictures, explained, facts, job)}")


if __name__ == "__main__":
    main()
