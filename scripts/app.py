from gan_inversion.cli import run

if __name__ == "__main__":  # workers import this file too
    run("app")
