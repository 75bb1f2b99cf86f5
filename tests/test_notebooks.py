"Every notebook runs top to bottom in a clean kernel, and what it stores is what that run gives."
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from conftest import OFFLINE, ROOT

from best_vision_models.runs import read_run_files, write_run
from best_vision_models.sweep_files import read_sweep
from best_vision_models.sweeps import sweep_configs
from book import fill

NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
MEASURED = {"41_your_dataset"}  # trains for real, so its numbers are this machine's
DEMO = ("16_run_sweep", "41_your_dataset")  # do the demo sweep
LONG = "17c_race", "18_recommend", "18a_simulated_choices", "18b_regret"  # train; test_recommend has quick tests, too
READERS = [path for path in NOTEBOOKS if path.stem == "index" or path.stem >= "20"]
HOMES = {tempfile.gettempdir(), "/tmp", "/var", "/private", "/root", "/home", "/Users",
         str(Path.home()), str(ROOT)} - {"/"}
# A folder of this machine (not a part of an address, nor of base64), the moment of a run, or a bar that has stopped.
OF_A_MACHINE = re.compile(rf"(?<![\w.:/+])({'|'.join(map(re.escape, HOMES))})/|\b20\d\d-\d\d-\d\dT\d\d:|<progress ")


def tables(notebook) -> list[str]:
    "What a reader reads in the outputs: tables and computed sentences, not pictures."
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in outputs if "data" in output
            for kind in ("text/html", "text/markdown") if kind in output["data"]]


def figures(notebook) -> list[tuple]:
    "Title and number of marks of each figure."
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.get("outputs", [])]
    plots = [output["data"]["application/vnd.plotly.v1+json"] for output in outputs
             if "application/vnd.plotly.v1+json" in output.get("data", {})]
    return [(plot["layout"]["title"]["text"], [trace["name"] for trace in plot["data"]]) for plot in plots]


def printed(notebook) -> list[str]: # a text a cell
    "What each cell prints; warnings and progress are another stream's."
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.text for o in cell.get("outputs", []) if o.output_type == "stream" and o.name == "stdout")
            for cell in code]


def texts(output) -> list[str]:
    "All that an output holds, besides pictures."
    kinds = {"text": output.text} if output.output_type == "stream" else output.data
    return [shown if isinstance(shown, str) else json.dumps(shown)
            for kind, shown in kinds.items() if not kind.startswith("image/")]


def prose(notebook) -> list[str]: # with the numbers that the notebook has filled in
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def run(path, **environment): return fill.run(nbformat.read(path, as_version=4), path.parent, **environment)


def by_name(paths):
    "One test a notebook; those that share the demo sweep's runs follow each other."
    marks = {name: pytest.mark.xdist_group("demo") for name in DEMO} | {name: pytest.mark.slow for name in LONG}
    return pytest.mark.parametrize("path", [
        pytest.param(path, id=path.stem, marks=marks.get(path.stem, ())) for path in paths])


@pytest.fixture
def no_chrome(tmp_path):
    "No pictures: they aren't compared, and two browsers that start at once have hung."
    return {"BROWSER_PATH": str(tmp_path / "no_chrome")}


@pytest.fixture
def shipped(tmp_path, no_chrome):
    "The environment of a machine that has only what the project ships: no source, and no Chrome."
    return OFFLINE | no_chrome | {"BVM_MIRROR": "", "BVM_CACHE": str(tmp_path)}


@pytest.fixture(scope="session")
def runs(once):
    "A folder for runs in which one of the demo sweep's is missing: the first notebook to do the sweep trains that one."
    def make(folder):
        configs = sweep_configs(read_sweep(ROOT / "sweeps" / "demo.yaml"))
        missing = next(key for key, config in configs.items() if config["dataset"] == "digit_pairs") # the fastest
        for key, config in configs.items():
            if key == missing: continue
            row = {"run_id": key, "state": "finished", "error_rate": 0.1, "fit_time": 10.0, "device": "cpu",
                   "config": config}
            write_run(config | row, folder / "demo")

    return once("runs", make)


@pytest.mark.slow # minutes of training; `make run` does it, too
@by_name([path for path in NOTEBOOKS if path.stem in MEASURED])
def test_trains(path, runs):
    assert tables(stored := nbformat.read(path, as_version=4)) and figures(stored)
    run(path, BVM_RUNS=str(runs))


@by_name([path for path in NOTEBOOKS if path not in READERS])
def test_prints_what_is_stored(path, shipped, runs):
    both = zip(printed(run(path, BVM_RUNS=str(runs), **shipped)), printed(nbformat.read(path, as_version=4)),
               strict=True)
    # What needs a full source says that it is left out; what follows from it is left out without a word.
    both = [(now, stored) for now, stored in both if not now.startswith("left out here")]
    assert [now for now, _ in both if now] == [stored for now, stored in both if now]
    assert any(now for now, _ in both) or not any(stored for _, stored in both)


@pytest.mark.slow
def test_demo_trains_all_its_runs(tmp_path):
    run(ROOT / "nbs" / f"{DEMO[0]}.ipynb", BVM_RUNS=str(tmp_path))
    assert len(read_run_files(tmp_path / "demo")) == 6


@by_name([path for path in NOTEBOOKS if path.stem not in MEASURED and path in READERS])
def test_gives_what_is_stored(path, shipped):
    now, stored = run(path, **shipped), nbformat.read(path, as_version=4)
    assert tables(stored) and figures(stored)
    assert (tables(now), figures(now)) == (tables(stored), figures(stored))
    assert prose(now) == prose(stored)


@pytest.mark.slow
@by_name([path for path in NOTEBOOKS if path.stem not in MEASURED])
def test_full_sources_give_it_too(path, sources, runs, no_chrome):
    sources("fastai_timm")
    now, stored = run(path, BVM_RUNS=str(runs), **no_chrome), nbformat.read(path, as_version=4)
    if path in READERS:
        assert (tables(now), figures(now), prose(now)) == (tables(stored), figures(stored), prose(stored))


@by_name(NOTEBOOKS)
def test_stored_form(path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert path.stat().st_size < 2 * 2**20
    for text in [text for output in outputs for text in texts(output)]:
        assert not OF_A_MACHINE.search(text), text[:2000]
    sources = "\n".join(cell.source for cell in notebook.cells)
    assert not any(f"{folder}/" in sources for folder in {str(ROOT), str(Path.home())} - {"/"})
    if path in READERS:
        assert "#| export" not in path.read_text()
        plots = [output["data"] for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
        assert all("image/png" in data for data in plots)


@pytest.mark.parametrize("text, depends", {
    f"{tempfile.gettempdir()}/x/cache: no image cache": True, "saved '/home/me/runs'": True, f"{ROOT}/data": True,
    "/Users/me/x": True, "2026-11-23T01:37:49+00:00": True, '<progress max="44" value="1"></progress>': True,
    "https://example.org/tmp/a.csv": False, "two lines\n/tmp/a": True, "…/cache, ../home/a and data/tmp/": False,
    "a/var/b": False, "/usr/bin/env python": False, "progress { appearance: none }": False,
    "2026-11-23": False}.items())
def test_what_depends_on_a_machine(text, depends): assert bool(OF_A_MACHINE.search(text)) == depends


def test_a_chapter_runs_without_a_word(tmp_path):
    "As `make run` executes it: no warning stands in the log."
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), tmp_path / "chapter.ipynb")
    command = [sys.executable, "-m", "book.fill", tmp_path / "chapter.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=ROOT)
    # libzmq can fail in a kernel that is already told to end (zeromq/libzmq#3715): not ours, and nothing is lost
    words = re.sub(r"^Assertion failed: .*\(src/\w+\.cpp:\d+\)\n", "", done.stderr, flags=re.M)
    assert (done.returncode, done.stdout, words) == (0, "", "")
    assert nbformat.read(tmp_path / "chapter.ipynb", as_version=4).cells[0].outputs[0].data["text/plain"] == "2"


def test_without_chrome_one_warning_and_no_picture(tmp_path):
    "No Chrome on the path: the figure is there, the PNG isn't, nothing fails."
    cells = ["from best_vision_models.charts import set_renderer; set_renderer()",
             "import plotly.express as px; px.scatter(x=[1], y=[1])"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    fill.run(notebook, tmp_path, BROWSER_PATH=str(tmp_path / "no_chrome"))
    warning, figure = notebook.cells[0].outputs, notebook.cells[1].outputs
    assert [output.name for output in warning] == ["stderr"] and warning[0].text.count("no PNG beside the figures") == 1
    assert "application/vnd.plotly.v1+json" in figure[0].data and "image/png" not in figure[0].data


@by_name([path for path in READERS if path.stem not in MEASURED | {"44_speed", "index"}])
def test_tables_are_for_readers(path):
    "Headings and three digits (notebook 07b), no exponents, nothing missing in Python's words, no index from 0."
    for table in [text for text in tables(nbformat.read(path, as_version=4)) if "<table" in text]:
        assert 'class="dataframe"' not in table
        cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", table)
        assert not [cell for cell in cells if re.search(r"\d\.0*[1-9]\d{3}|\de[-+]\d|^(nan|NaN|None|<NA>)$", cell)]
        assert not re.search(r'row_heading level0 row0" >0<', table), path.stem
