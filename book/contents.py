"What the book holds: its parts, their notebooks, and which of these export a module."
import json
import re
from pathlib import Path

from book.fill import without_expressions

MAIN = {"21", "22", "31", "40a", "41"} # the chapters to read first
# A notebook's first digit → its part, in the order in which a reader meets them.
PARTS = {"2": "The two analyses", "3": "How far to trust them", "4": "Your turn",
         "0": "The library: tables and settings", "1": "The library: training"}


def notebooks(folder: Path) -> list[Path]: # in the order of their numbers
    return sorted(folder.glob("[0-9]*.ipynb"), key=number)


# What is no plain text: code, links, comments, headings. Then: chapter 21, notebooks 02 and 06, chapters 20 to 33.
NO_TEXT = re.compile(r"(```.*?```|`[^`]*`|\[[^\]]*\]\([^)]*\)|<!--.*?-->|^#.*?$)", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"\b(?:chapter|notebook)s? \d+[a-z]?\b(?:(?:,| and|, and| to| or) \d+[a-z]?\b)*", re.IGNORECASE)


def with_links(text: str, folder: Path) -> str:
    "A Markdown text in which each chapter and notebook that it names by number is a link."
    pages = {number(path): path.name for path in notebooks(folder)}

    def link(named) -> str: return f"[{named[0]}]({pages[named[1]]})" if named[1] in pages else named[0]

    def links(found) -> str: return re.sub(r"(?:(?:chapter|notebook)s? )?(\d+[a-z]?)", link, found[0], flags=re.I)
    parts = NO_TEXT.split(text)
    return "".join(part if n % 2 else NAMED.sub(links, part) for n, part in enumerate(parts))


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


def answer(notebook: Path) -> str:
    "A chapter's first sentence after its title, without marks and links."
    cell = next(cell for cell in read_cells(notebook)[1:] if cell["cell_type"] == "markdown")
    text = without_expressions("".join(cell["source"])).replace("**", "")
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)
    return re.match(r".+?[.!?](?=\s|$)", text, re.DOTALL)[0]


def about(notebook: Path) -> str:
    "One line of the front page: a chapter asks a question and answers it, a module says what it does."
    link = f"[{notebook.stem.replace('_', ' ')}]({notebook.name})"
    if exported_module(read_cells(notebook)): return f"- {link}: {first_lines(notebook)[1].strip()}"
    if number(notebook) in MAIN: link = f"**{link}**"
    return f"- {link}: {title(notebook).strip()} {answer(notebook)}"


def front_page(folder: Path) -> str:
    "The book's notebooks, a list for each part."
    return "\n\n".join(f"**{part}**\n\n" + "\n".join(map(about, paths)) for part, paths in parts(folder).items())


def sidebar(folder: Path) -> str:
    "The same as Sphinx's tables of contents; a number stands before its title, since the text refers to it."
    captions = {"Ask": ["explorer", "sweep_files"]}
    for part, paths in parts(folder).items():
        captions[part] = [f"{number(path)} {title(path)} <{path.stem}>" for path in paths]
    captions["About"] = ["terms", "api", "cite"]
    return "".join("\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```\n"])
                   for caption, names in captions.items())
