"Everything about the package is said in settings.ini; this file hands it to setuptools."
from configparser import ConfigParser

from setuptools import setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
project = config["DEFAULT"]
library = project["lib_path"]

setup(
    name=project["lib_name"],
    version=project["version"],
    description=project["description"],
    keywords=project["keywords"],
    author=project["author"],
    license=project["license"],
    python_requires=f">={project['min_python']}",
    install_requires=project["requirements"].split(),
    extras_require={"dev": project["dev_requirements"].split()},
    entry_points={"console_scripts": [project["console_scripts"]]},
    # The tables in data/ travel with the library, so that an installed copy ranks without a network.
    packages=[library, f"{library}.data"],
    package_dir={library: library, f"{library}.data": "data"},
    package_data={f"{library}.data": ["sources.toml", "published/*.csv", "summaries/*.csv", "summaries/*.npz"]},
)
