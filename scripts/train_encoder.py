from gan_inversion.cli import run

run("train_encoder")
