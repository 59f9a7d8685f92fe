"""The wheel carries the top-level configs/ as maskmm/configs; all other settings are in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["maskmm*", "tokenizers_vq*", "datamodules*"]), "maskmm.configs"],
    package_dir={"maskmm.configs": "configs"},
    package_data={"": ["py.typed"], "maskmm.configs": ["**/*.yaml"]},
)
