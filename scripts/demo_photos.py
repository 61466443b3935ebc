from gan_inversion.cli import run

run("demo_photos")
