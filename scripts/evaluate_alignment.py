from gan_inversion.cli import run

run("evaluate_alignment")
