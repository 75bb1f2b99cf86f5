"""Run a notebook and fill the numbers of its prose in: `python -m book.fill nbs/20_imagenet.ipynb …`

A sentence is Markdown, and a number in it comes from the data. Behind the number stands, invisible on every page,
the expression that gives it: `wrong in 4.5%<!--= best.error_rate:.1% --> of the images`. What is filled in is the
word before the comment, or the code span, or, between `<!--(-->` and the comment, several words.
"""
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell
from traitlets.config import Config

FILLED = re.compile(r"(?P<open><!--\(-->)?(?P<shown>(?(open).*?|(?:`[^`]*`|[-−+>\w.,%]+)))"
                    r"<!--= (?P<expression>.+?) -->", re.DOTALL)


def expressions(text: str) -> list[str]: # as they would stand in an f-string
    "The expressions in a Markdown text, in order."
    return [found["expression"] for found in FILLED.finditer(text)]


def fill(text: str, values: list[str]) -> str: # one value an expression
    "The text with its values filled in; a code span stays one."
    values = iter(values)

    def filled(found) -> str:
        value = next(values)
        if found["shown"].startswith("`") and not found["open"]: value = f"`{value}`"
        return f"{found['open'] or ''}{value}<!--= {found['expression']} -->"
    return FILLED.sub(filled, text)


def without_expressions(text: str) -> str:
    "The text as a reader sees it."
    return re.sub(r"<!--(\(|= .+?) ?-->", "", text, flags=re.DOTALL)


def run(notebook, folder: str | Path, **environment): # `folder`: where its cells run
    "The notebook, executed, with the values of its prose filled in."
    asked = {n: found for n, cell in enumerate(notebook.cells)
             if cell.cell_type == "markdown" and (found := expressions(cell.source))}
    code = nbformat.from_dict(notebook)
    for n, found in asked.items():
        asks = ", ".join(f"f{'{' + expression + '}'!r}" for expression in found)
        code.cells[n] = new_code_cell(f"import json; print(json.dumps([{asks}]))")
    with tempfile.TemporaryDirectory() as sockets: # files: of two kernels that start at once, both may pick one port
        local = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
        client = NotebookClient(code, timeout=1800, startup_timeout=600, config=local,
                                resources={"metadata": {"path": str(folder)}})
        client.execute(env=os.environ | environment)
    for n, cell in enumerate(notebook.cells):
        if n in asked: # what is printed may come in several pieces
            printed = "".join(out.text for out in code.cells[n].outputs if out.get("name") == "stdout")
            cell.source = fill(cell.source, json.loads(printed))
        elif cell.cell_type == "code": cell.update(outputs=code.cells[n].outputs, execution_count=None)
    return notebook


if __name__ == "__main__":
    for name in sys.argv[1:]:
        notebook = run(nbformat.read(name, as_version=4), Path(name).parent)
        nbformat.write(notebook, name)
