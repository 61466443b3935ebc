"""Recipes against each other: seconds, quality, arithmetic, memory. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("benchmark")
def main(config: DictConfig) -> None:
    from pathlib import Path

    from gan_inversion.components import build, build_aligner, build_inverter
    from gan_inversion.metrics import benchmark
    from gan_inversion.report import album
    from gan_inversion.report.run_folder import Clock
    from gan_inversion.report.speed import save_benchmark, say
    from gan_inversion.settings import plain, recipe

    values, clock = plain(config), Clock()
    generator = clock("load", build, {**values["generator"], "device": config.device}, "generator")
    aligner = build_aligner(values["aligner"], generator.resolution, generator.domain)
    shared = {"device": config.device, "generator": values["generator"]}
    inverters = {name: build_inverter(recipe(extra) | shared) for name, extra in values["recipes"].items()}

    faces, failures = clock("align", album.load_and_align, album.find_photos(values["photos"]), aligner, None)
    results = benchmark.compare_all(inverters, faces, config.seed, values["metrics"], config.points, say)
    peak = benchmark.machine_peak()
    document = {
        "hardware": benchmark.hardware(),
        "peak_gigaflops": peak / 1e9,
        "peak_memory_gb": benchmark.peak_memory(),
        "seconds": clock.seconds,
        "failed": failures,
        "settings": {name: inverter.settings(config.seed) for name, inverter in inverters.items()},
        "steps": {name: benchmark.step_costs(inverter, faces[0], peak) for name, inverter in inverters.items()},
        "mean": benchmark.summary(results),
        "faces": results,
    }
    save_benchmark(Path(config.output_dir), document)


if __name__ == "__main__":
    main()
