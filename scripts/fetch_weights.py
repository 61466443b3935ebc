from gan_inversion.cli import run

run("fetch_weights")
