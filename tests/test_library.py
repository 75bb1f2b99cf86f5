"The exported library: in step with its notebooks, light to import, whole when installed."
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

LIGHT = ["sources", "runs", "scores", "timm_benchmarks", "charts", "settings", "cli"]


@pytest.mark.parametrize("module", LIGHT)
def test_import_is_light(module):
    "Readers of results don't wait for torch; how long they do wait is measured in bench/."
    code = f"import sys, best_vision_models.{module}; print([m for m in ('torch', 'timm', 'fastai', 'wandb', 'ray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_library_is_what_the_notebooks_export(tmp_path):
    for part in ("nbs", "best_vision_models", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    subprocess.run([Path(sys.executable).parent / "nbdev-export"], cwd=tmp_path, check=True)
    for module in sorted((ROOT / "best_vision_models").glob("*.py")):
        assert module.read_text() == (tmp_path / "best_vision_models" / module.name).read_text(), f"{module.name}: run make prepare"


def test_wheel_carries_its_tables(tmp_path):
    "Installed without the checkout, the library still ranks."
    pip = [sys.executable, "-m", "pip"]
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv", "_site", "build", "*.egg-info"))
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source], check=True)
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", tmp_path / "site", *tmp_path.glob("*.whl")], check=True)
    code = "import best_vision_models.scores as s; print(s.__file__); print(s.rank(s.read_summary('final_sweep_published')).model_name[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})
    assert str(tmp_path) in done.stdout and "convnext_tiny_in22k" in done.stdout
