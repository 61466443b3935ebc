"""Configs and the small weights lie beside the package in a clone, and inside it where it is installed."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["gan_inversion*"]), "gan_inversion.configs", "gan_inversion.weights"],
    package_dir={"gan_inversion.configs": "configs", "gan_inversion.weights": "weights"},
    package_data={
        "gan_inversion.app": ["page.css"],
        "gan_inversion.report": ["templates/*.html"],
        "gan_inversion.configs": ["*.yaml", "*/*.yaml"],
        "gan_inversion.weights": ["*.yaml", "*.md", "*.csv", "*.safetensors"],
    },
)
