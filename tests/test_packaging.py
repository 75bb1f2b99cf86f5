"What an index and an installer are told, and that the core requirements are enough to rank."
import ast
import re
import runpy
import subprocess
import sys

import nbformat
import pytest
import setuptools
from conftest import ROOT

import best_vision_models


@pytest.fixture
def told(monkeypatch):
    "What setup.py hands to setuptools."
    given = {}
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
    runpy.run_path("setup.py")
    return given


def names(requirements: list[str]) -> set[str]: return {re.match(r"[\w-]+", one)[0].lower() for one in requirements}


def test_extras_add_to_the_core(told):
    core, extras = names(told["install_requires"]), told["extras_require"]
    assert not core & {"torch", "timm", "fastai", "ray", "wandb"} and not core & names(extras["train"])
    assert names(extras["train"]) < names(extras["dev"])
    pinned = names([line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")])
    assert core | names(extras["dev"]) <= pinned


def test_the_index_shows_no_link_that_leads_nowhere(told):
    text = told["long_description"]
    assert text.startswith("# best-vision-models") and "convnext_tiny.fb_in1k" in text
    assert re.findall(r"\]\((?!https?:)[^)]*\)", text) == []


def test_version_is_the_one_of_the_settings(told): assert best_vision_models.__version__ == told["version"]


def without_training(told, code: str) -> str:
    "What `code` prints where nothing of [train] is installed."
    imported = {"scikit-learn": "sklearn", "pillow": "PIL"}
    missing = [imported.get(name, name) for name in sorted(names(told["extras_require"]["train"]))]
    block = f"""
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {missing}: raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
    return subprocess.run([sys.executable, "-c", block + code], capture_output=True, text=True, check=True).stdout


def test_ranking_needs_the_core_alone(told):
    code = """
from best_vision_models import charts, cli, comparisons, ensembles, models, runs, scores, settings, sources
from best_vision_models import sweep_files, timm_benchmarks, uncertainty
sys.exit(cli.main(["rank", "final_sweep_published", "--dataset", "pets", "--top", "1", "--format", "csv"]))
"""
    assert "convnext_tiny_in22k" in without_training(told, code)


@pytest.mark.parametrize("name", ["20_imagenet", "21_pets", "22_planet", "30_hyperparameters", "31_how_sure",
                                  "32_replication", "33_transfer", "34_other_tables"])
def test_a_chapter_imports_the_core_alone(told, name):
    "The chapters on published runs, read where only the core is installed; another test executes them."
    cells = nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4).cells
    statements = [node for cell in cells if cell.cell_type == "code" for node in ast.walk(ast.parse(cell.source))
                  if isinstance(node, ast.Import | ast.ImportFrom)]
    assert without_training(told, "\n".join([*map(ast.unparse, statements), "print('imported')"])) == "imported\n"


@pytest.mark.parametrize("command", ["fine-tune --dataset digits", "sweep show sweeps/demo.yaml",
                                     "sweep run sweeps/demo.yaml --out {out}"])
def test_what_needs_more_says_what_to_type(told, tmp_path, command):
    words = command.format(out=tmp_path / "out").split()
    told_by = without_training(told, f"""
import contextlib, io
from best_vision_models import cli
with contextlib.redirect_stderr(io.StringIO()) as said: status = cli.main({words})
print("\\n".join(["", str(status), said.getvalue()]))
""")
    status, problem, *more = told_by.split("\n")[-4:]
    assert (status, more) == ("2", ["", ""]), told_by
    assert re.fullmatch(r"bvm: this needs \w+: type pip install 'best-vision-models\[train\]'", problem)


def test_parquet_without_pyarrow_is_one_line(told, tmp_path):
    (tmp_path / "runs.parquet").write_bytes(b"PAR1")
    code = f"""
from best_vision_models.runs import read_runs
from best_vision_models.sources import BadInput
try: read_runs({str(tmp_path / "runs.parquet")!r})
except BadInput as error: print(error)
"""
    assert "pip install pyarrow" in without_training(told, code)
