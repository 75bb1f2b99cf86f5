"Every notebook runs top to bottom in a clean kernel, and a chapter's stored tables are what that run gives."
import os
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from conftest import OFFLINE, ROOT
from nbclient import NotebookClient

from best_vision_models.sources import SourceUnavailable, fetch

NOTEBOOKS = sorted((ROOT / "nbs").glob("*.ipynb"))
MEASURED = {"19_your_dataset", "20_demo"}  # train for real, so their numbers are this machine's
READERS = [path for path in NOTEBOOKS if path.stem == "index" or path.stem >= "10"]


def tables(notebook) -> list[str]:
    "What a reader reads in the outputs: tables and computed sentences, not pictures."
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in outputs if "data" in output for kind in ("text/html", "text/markdown") if kind in output["data"]]


def figures(notebook) -> list[tuple]:
    "Title and number of marks of each figure."
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.get("outputs", [])]
    plots = [output["data"]["application/vnd.plotly.v1+json"] for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    return [(plot["layout"]["title"]["text"], [trace["name"] for trace in plot["data"]]) for plot in plots]


def run(path, **environment):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute(env=os.environ | environment)
    return notebook


@pytest.fixture(scope="session")
def full_sources() -> bool:
    try: return bool(fetch("fastai_timm"))
    except SourceUnavailable: return False


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path not in READERS or path.stem in MEASURED], ids=lambda path: path.stem)
def test_runs(path):
    if path.stem in MEASURED: assert tables(stored := nbformat.read(path, as_version=4)) and figures(stored)
    run(path)


@pytest.mark.parametrize("path", [path for path in READERS if path.stem not in MEASURED], ids=lambda path: path.stem)
def test_gives_what_is_stored(path, tmp_path, full_sources):
    "From data/ alone, without Chrome (and so without pictures), and at the same time with the full sources, where they can be had."
    stored = nbformat.read(path, as_version=4)
    shipped = OFFLINE | {"BVM_MIRROR": "", "BVM_CACHE": str(tmp_path), "BROWSER_PATH": str(tmp_path / "no_chrome")}
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda environment: run(path, **environment), [shipped, {}] if full_sources else [shipped]))
    assert tables(stored) and figures(stored)
    for now in runs: assert (tables(now), figures(now)) == (tables(stored), figures(stored))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_form(path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert path.stat().st_size < 2 * 2**20
    text = path.read_text()
    assert str(ROOT.parent) + os.sep not in text and os.path.expanduser("~") + os.sep not in text
    if path in READERS:
        assert "#| export" not in text
        plots = [output["data"] for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
        assert all("image/png" in data for data in plots)


def test_without_chrome_one_warning_and_no_picture(monkeypatch, tmp_path):
    "No Chrome on the path: the figure is there, the PNG isn't, nothing fails."
    cells = ["from best_vision_models.charts import set_renderer; set_renderer()", "import plotly.express as px; px.scatter(x=[1], y=[1])"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no_chrome"))
    NotebookClient(notebook, timeout=120).execute()
    warning, figure = notebook.cells[0].outputs, notebook.cells[1].outputs
    assert [output.name for output in warning] == ["stderr"] and warning[0].text.count("no PNG beside the figures") == 1
    assert "application/vnd.plotly.v1+json" in figure[0].data and "image/png" not in figure[0].data
