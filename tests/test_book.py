"What makes the site: parts, settings of a chapter, reference."
import re

import nbformat
from conftest import ROOT

from book import house
from book.contents import exported_module, front_page, notebooks, number, parts, read_cells, sidebar
from book.fill import expressions, fill, run, without_expressions
from book.pages import settings_apart
from book.reference import api_reference

NBS = ROOT / "nbs"
SET_UP = """import pandas as pd
from x import (
    y, set_renderer,
)

set_renderer()
FAMILIES = ["vit"]  # change me: families
DEVICES = {  # change me
    "a": 1,
}
# change me: seconds
allowed = 3
rows = y(FAMILIES)"""


def code(source): return {"cell_type": "code", "source": source, "outputs": [{"text": "…"}], "metadata": {}}


def test_a_page_shows_the_settings_apart_from_the_imports():
    settings, rest, other = settings_apart([code(SET_UP), code("import this")])
    assert settings["source"] == "\n".join(SET_UP.splitlines()[6:12]) and settings["outputs"] == []
    assert rest["source"].startswith("import pandas") and "change me" not in rest["source"]
    assert other == code("import this")


def test_each_notebook_is_in_one_part():
    found = [path for paths in parts(NBS).values() for path in paths]
    assert sorted(found) == notebooks(NBS)
    for text, name in ((sidebar(NBS), "<{0.stem}>"), (front_page(NBS), "({0.name})")):
        for path in found: assert text.count(name.format(path)) == 1, path
        assert all(title in text for title in parts(NBS))


def test_reference_has_each_exported_module_in_the_order_of_the_notebooks():
    modules = [module for path in notebooks(NBS) if (module := exported_module(read_cells(path)))]
    assert re.findall(r"(?m)^## (\w+)$", api_reference("", NBS)) == modules
    assert sorted(modules) == sorted(path.stem for path in (ROOT / "best_vision_models").glob("[a-z]*.py"))


def test_a_module_imports_only_modules_with_smaller_numbers():
    "One notebook, one module of its name; none has more than 400 lines."
    numbers = {exported_module(read_cells(path)): number(path) for path in notebooks(NBS)}
    del numbers[None]
    assert [path.stem.partition("_")[2] for path in notebooks(NBS)
            if exported_module(read_cells(path))] == list(numbers)
    for module, its_number in numbers.items():
        text = (ROOT / "best_vision_models" / f"{module}.py").read_text()
        assert len(text.splitlines()) <= 400, module
        imported = re.findall(r"from (?:\.|best_vision_models\.)(\w+) import", text)
        upwards = [name for name in imported if numbers[name] > its_number]
        assert upwards == [], module
    assert all(its_number < "2" for its_number in numbers.values()) # chapters export nothing


SENTENCE = "Wrong in 4.5%<!--= 0.05:.1% -->, `a`<!--= name -->, <!--(-->one, two<!--= ', '.join('ab') -->."


def test_numbers_of_a_sentence_are_filled_in():
    assert expressions(SENTENCE) == ["0.05:.1%", "name", "', '.join('ab')"]
    filled = fill(SENTENCE, ["5.0%", "resnet18", "a, b"])
    assert without_expressions(filled) == "Wrong in 5.0%, `resnet18`, a, b."
    assert expressions(filled) == expressions(SENTENCE) and fill(filled, ["5.0%", "resnet18", "a, b"]) == filled


def test_a_notebook_fills_in_its_own_numbers(tmp_path):
    cells = [nbformat.v4.new_code_cell("name = 'resnet18'\n1 + 1"), nbformat.v4.new_markdown_cell(SENTENCE)]
    notebook = run(nbformat.v4.new_notebook(cells=cells), tmp_path)
    assert notebook.cells[0].outputs[0].data["text/plain"] == "2"
    assert without_expressions(notebook.cells[1].source) == "Wrong in 5.0%, `resnet18`, a, b."


def test_no_chapter_builds_its_sentences_in_code():
    for path in notebooks(NBS):
        cells = read_cells(path)
        if exported_module(cells): continue
        built = [cell["id"] for cell in cells
                 if cell["cell_type"] == "code" and re.search(r"Markdown\(f", "".join(cell["source"]))]
        assert built == [], path.stem


def test_the_house_is_in_order():
    "Imports only to smaller numbers; no long module; what is exported is soon shown. The figures are printed."
    figures = house.measure()
    for name, value in figures.items(): print(f"{name:24} {value}")
    assert figures["upward imports"] == [] and figures["longest stretch unshown"] == {}
    assert int(figures["longest module"].split("(")[1].split()[0]) <= house.MAX_MODULE
    assert figures["median module"] < 250 and figures["shown per exported line"] >= house.MIN_SHOWN


def test_a_call_is_not_an_import():
    assert house.is_imports("import x\nset_renderer()") and not house.is_imports("test_eq(f(1), 2)")
    shown = house.shown_and_exported(["#| export\nx = 1\ny = 2", "test_eq(x, 1)", "#| export\nz = 3"])
    assert shown == {"exported": 3, "shown": 1, "unshown": 2}
