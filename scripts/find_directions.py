from gan_inversion.cli import run

run("find_directions")
