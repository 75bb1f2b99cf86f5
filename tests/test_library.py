"The exported library: in step with its notebooks, light to import, whole when installed."
import importlib
import inspect
import io
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from conftest import ROOT

from best_vision_models import charts
from best_vision_models.charts import accuracy_by_speed, error_by_fit_time
from best_vision_models.preds import read_preds
from best_vision_models.scores import pick_models, rank, read_summary
from best_vision_models.sources import BadInput, data_dir
from best_vision_models.timm_benchmarks import (
    choose_benchmark,
    list_benchmarks,
    merge_benchmark,
    models_on_devices,
    read_benchmark,
    unmatched,
)

LIGHT = ["sources", "runs", "scores", "timm_benchmarks", "shipped_tables", "tables", "drawing", "charts", "settings",
         "sweep_files", "cli"]


@pytest.mark.parametrize("module", LIGHT)
def test_import_is_light(module):
    "Readers of results don't wait for torch; how long they do wait is measured in bench/."
    code = (f"import sys, best_vision_models.{module}; "
            "print([m for m in ('torch', 'timm', 'fastai', 'wandb', 'ray') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("command", ["--help", "fine-tune --help", "sweep --help"])
def test_help_needs_no_tables(command):
    "What a command is for is said before pandas, which takes half a second, is imported."
    code = (f"import sys; from best_vision_models.cli import main; status = main({command.split()}); "
            "print([m for m in ('pandas', 'numpy', 'pooch') if m in sys.modules], status)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[] 0\n"), done.stdout


def test_library_is_what_the_notebooks_export(tmp_path):
    for part in ("nbs", "best_vision_models", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    subprocess.run([Path(sys.executable).parent / "nbdev-export"], cwd=tmp_path, check=True)
    for module in sorted((ROOT / "best_vision_models").glob("*.py")):
        exported = (tmp_path / "best_vision_models" / module.name).read_text()
        assert module.read_text() == exported, f"{module.name}: run make prepare"


@pytest.mark.slow # builds and installs
def test_wheel_carries_its_tables(tmp_path):
    "Installed without the checkout, the library still ranks."
    pip = [sys.executable, "-m", "pip"]
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "_site", "build", "*.egg-info"))
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source], check=True)
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", tmp_path / "site", *tmp_path.glob("*.whl")],
                   check=True)
    code = ("import best_vision_models.scores as s; print(s.__file__); "
            "print(s.rank(s.read_summary('final_sweep_published')).model_name[0])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
                          env={"PYTHONPATH": str(tmp_path / "site")})
    assert str(tmp_path) in done.stdout and "convnext_tiny_in22k" in done.stdout


PUBLISHED = read_summary("final_sweep_published")

# Each exported function of the light modules that keeps only the rows of a name it is given, called with a typo.
TYPOS = {
    "charts.error_by_fit_time": (lambda: error_by_fit_time(PUBLISHED, ["vit", "convnxt"]), "convnext"),
    "charts.accuracy_by_speed": (lambda: accuracy_by_speed(read_benchmark("infer", "timm_2022"), "infer", ["levitt"]),
                                 "levit"),
    "scores.rank": (lambda: rank(PUBLISHED, "planets"), "planet"),
    "scores.pick_models": (lambda: pick_models(PUBLISHED, "pest", 60), "pets"),
    "preds.read_preds": (lambda: read_preds(data_dir() / "summaries" / "ensembles_pets.csv", "pest"), "pets"),
    "timm_benchmarks.choose_benchmark": (lambda: choose_benchmark("infer", "timm_2026", device="rtx390"), "rtx3090"),
    "timm_benchmarks.read_benchmark": (lambda: read_benchmark("infer", "timm_2026", device="509O"), "5090"),
    "timm_benchmarks.unmatched": (lambda: unmatched("infer", "timm_2026", device="rtx3900"), "rtx3090"),
    "timm_benchmarks.models_on_devices": (lambda: models_on_devices({"mine": dict(device="pro6000maq")}),
                                          "pro6000maxq"),
}


@pytest.mark.parametrize("function", TYPOS)
def test_a_typo_in_a_name_is_an_error_with_the_nearest_one(function):
    call, meant = TYPOS[function]
    with pytest.raises(BadInput, match=f": did you mean .*{meant}.*\\(.* has .*{meant}") as error: call()
    assert "\n" not in str(error.value)


def test_no_function_that_takes_a_name_is_left_out_of_typos():
    """`tables` take a column, a table of models, or each model's family: nothing is chosen by a name.

    `weights_named` gives None for an unknown name; `find_model` has tests of its own.
    """
    takes = {"family", "families", "dataset", "datasets", "device", "devices", "model_name", "models", "choice"}
    tables = {"family", "family_colour", "ranks_by_offset", "behind_front", "shortlist", "near_other_fronts",
              "weights_of", "weights_named", "find_model"}
    for name in ("models", "runs", "timm_benchmarks", "scores", "uncertainty", "comparisons", "ensembles", "charts"):
        module = importlib.import_module(f"best_vision_models.{name}")
        for function in (getattr(module, exported) for exported in module.__all__):
            if not inspect.isfunction(function) or function.__name__ in tables: continue
            if takes & {*inspect.signature(function).parameters}: assert f"{name}.{function.__name__}" in TYPOS


PAIRS = { # today's name: the retired one
    "efficientnet_b2": "efficientnet_b2a", "efficientnet_b3": "efficientnet_b3a", "mnasnet_100": "mnasnet_b1",
    "semnasnet_100": "mnasnet_a1", "seresnext26t_32x4d": "seresnext26tn_32x4d",
    "vit_base_r50_s16_384": "vit_base_resnet50_384"}


@pytest.mark.parametrize("source", ["timm_2022", "timm_2026"])
def test_one_checkpoint_is_one_row_under_its_current_name(sources, source):
    "In every benchmark file of timm, of 2022 and of today."
    sources(source)
    twice = set()
    for file in list_benchmarks(source).itertuples():
        choice = {column: getattr(file, column)
                  for column in ("precision", "layout", "torch", "cuda", "device", "compiled")}
        benchmark = read_benchmark(file.part, source, **choice)
        assert not benchmark.duplicated(["weights", "img_size"]).any(), file.file
        merged = merge_benchmark(file.part, source, file.file).dropna(subset="result_model")
        for weights, names in merged[merged.weights.notna()].groupby(["weights", f"{file.part}_img_size"]).model:
            if names.nunique() < 2: continue
            current, = [name for name in names if name.split(".")[0] == weights[0].split(".")[0]]
            assert benchmark.model[benchmark.model.isin(names)].tolist() == [current], file.file
            twice |= {(current, name) for name in names if name != current}
    assert twice == set(PAIRS.items())


def test_imagenet_shows_the_current_name(bvm, offline):
    done = bvm("imagenet", "--source", "timm_2022", "--format", "csv", env=offline)
    names = set(pd.read_csv(io.StringIO(done.stdout)).model)
    assert names >= {*PAIRS} and not names & {*PAIRS.values()}


def run_chapter(monkeypatch, name, line, instead):
    "The code of a chapter with `instead` put before `line`, as a reader does who changes a value marked `change me`."
    monkeypatch.setattr(charts, "set_renderer", lambda: None)
    notebook = nbformat.read(ROOT / "nbs" / f"{name}.ipynb", as_version=4)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(source.count(f"\n{line}") for source in cells) == 1
    scope = {"display": lambda *tables: None}
    for source in cells: exec(source.replace(f"\n{line}", f"\n{instead}\n{line}"), scope)
    return scope


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("torch", ["pt111", "pt112"])
def test_chapter_10_with_each_file_that_its_comment_names(monkeypatch, sources, torch, layout):
    sources("timm_2022")
    choice = dict(source="timm_2022", torch=torch, layout=layout)
    assert run_chapter(monkeypatch, "20_imagenet", "newer = ", f"FILE = {choice}")["FILE"] == choice


def other_devices(devices: dict) -> dict:
    "Each set of devices that the comment of chapter 17 allows, by what is different in it."
    new_names = list_benchmarks("timm_2026").query("part == 'infer' and torch != 'pt113'")
    columns = ["precision", "layout", "torch", "device", "compiled"]
    every = {f"{'CPU ' if 'cpu' in file.device else ''}{file.Index}{' c' if file.compiled else ''}":
             {column: getattr(file, column) for column in columns} for file in new_names.itertuples()}
    fewest = ("RTX 4090", "RTX 4090 c", "RTX 5090", "RTX 5090 c", "CPU i7 c")
    return {"all others too": devices | every, "the fewest": {name: devices[name] for name in fewest}} | {
        f"without {one}": {name: choice for name, choice in devices.items() if name != one}
        for one in devices if "5090" not in one}


@pytest.mark.slow
def test_chapter_17_with_other_devices(monkeypatch, sources):
    sources("timm_2026")
    devices = run_chapter(monkeypatch, "40_today", "RULE = ", "")["DEVICES"]
    sets = other_devices(devices)
    assert len(sets["all others too"]) > len(devices) + 10
    for what, changed in sets.items():
        assert run_chapter(monkeypatch, "40_today", "RULE = ", f"DEVICES = {changed}")["DEVICES"] == changed, what
