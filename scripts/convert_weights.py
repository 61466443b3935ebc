from gan_inversion.cli import run

run("convert_weights")
