from gan_inversion.cli import run

run("family")
