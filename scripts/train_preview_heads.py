from gan_inversion.cli import run

run("train_preview_heads")
