"What the book holds: its parts, their notebooks, and which of these export a module."
import json
import re
from pathlib import Path

# A notebook's first digit → its part, in the order in which a reader meets them.
PARTS = {"2": "The two analyses", "3": "How far to trust them", "4": "Your turn",
         "0": "The library: tables and settings", "1": "The library: training"}


def notebooks(folder: Path) -> list[Path]: # in the order of their numbers
    return sorted(folder.glob("[0-9]*.ipynb"), key=number)


def number(notebook: Path) -> str: return notebook.stem.partition("_")[0] # 15, 15a, …


def parts(folder: Path) -> dict[str, list[Path]]: # title of the part → its notebooks
    "The parts that have notebooks."
    return {title: [path for path in notebooks(folder) if PARTS[path.name[0]] == title] for title in PARTS.values()}


def exported_module(cells: list[dict]) -> str | None:
    "The module that a notebook's cells export; a chapter has none."
    found = (re.match(r"#\| ?default_exp (\w+)", "".join(cell["source"])) for cell in cells)
    return next((match[1] for match in found if match), None)


def read_cells(notebook: Path) -> list[dict]: return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def first_lines(notebook: Path) -> list[str]: # heading, subtitle, … without their marks
    return [line.lstrip("#> ") for line in "".join(read_cells(notebook)[0]["source"]).splitlines() if line]


def title(notebook: Path) -> str: return first_lines(notebook)[0]


def about(notebook: Path) -> str:
    "One line of the front page: a chapter asks a question, a module says what it does."
    text = first_lines(notebook)[1 if exported_module(read_cells(notebook)) else 0]
    return f"- [{notebook.stem.replace('_', ' ')}]({notebook.name}): {text.strip()}"


def front_page(folder: Path) -> str:
    "The book's notebooks, a list for each part."
    return "\n\n".join(f"**{part}**\n\n" + "\n".join(map(about, paths)) for part, paths in parts(folder).items())


def sidebar(folder: Path) -> str:
    "The same as Sphinx's tables of contents; a number stands before its title, since the text refers to it."
    captions = {"Ask": ["explorer", "sweep_files"]}
    for part, paths in parts(folder).items():
        captions[part] = [f"{number(path)} {title(path)} <{path.stem}>" for path in paths]
    captions["About"] = ["api", "cite"]
    return "".join("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```\n"])
                   for caption, names in captions.items())
