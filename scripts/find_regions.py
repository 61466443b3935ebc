from gan_inversion.cli import run

run("find_regions")
