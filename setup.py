"Everything about the package is said in settings.ini; this file hands it to setuptools."
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
project = config["DEFAULT"]
library = project["lib_path"]
FOLDERS = {"data": ["sources.toml", "published/*.csv", "summaries/*.csv", "summaries/*.npz"],
           "sweeps": ["*.yaml"], "bench/results": ["*.json"]}
INSIDE = {f"{library}.{name.replace('/', '.')}": name for name in FOLDERS}
train, dev = project["train_requirements"].split(), project["dev_requirements"].split()


def long_description() -> str:
    "The README without its links and images inside the repository, which lead nowhere from a package index."
    readme = Path("README.md").read_text(encoding="utf-8")
    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:)[^)\s]*\)", lambda link: "" if link[1] else link[2], readme)


setup(
    name=project["lib_name"],
    version=project["version"],
    description=project["description"],
    long_description=long_description(),
    long_description_content_type="text/markdown",
    keywords=project["keywords"],
    author=project["author"],
    license_expression=project["license"],
    license_files=["LICENSE"],
    classifiers=project["classifiers"].strip().splitlines(),
    python_requires=f">={project['min_python']}",
    install_requires=project["requirements"].split(),
    extras_require={"train": train, "dev": train + dev},
    entry_points={"console_scripts": [project["console_scripts"]]},
    # What the chapters read travels with the library, so that an installed copy runs them without a network.
    packages=[library, *INSIDE],
    package_dir={library: library, **INSIDE},
    package_data={package: FOLDERS[name] for package, name in INSIDE.items()},
)
