"The benchmarks take up to an hour, so they run by `make bench` alone; here is what an edit of the library may break."
import ast
import json
from importlib import import_module
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"


def defined(module: str) -> set[str]: # names
    "What a script may import from a module of the library, or from another script."
    beside = BENCH / f"{module}.py"
    if not beside.is_file(): return set(dir(import_module(module)))
    tree = ast.parse(beside.read_text())
    named = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
             if isinstance(target, ast.Name)}
    return named | {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("script", sorted(path.stem for path in BENCH.glob("*.py")))
def test_a_benchmark_imports_what_exists(script):
    imports = [node for node in ast.walk(ast.parse((BENCH / f"{script}.py").read_text()))
               if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports
            if node.module.startswith(("best_vision_models", "book")) or (BENCH / f"{node.module}.py").is_file()]
    missing = {f"{node.module}.{name.name}" for node in ours for name in node.names} - {
        f"{node.module}.{name}" for node in ours for name in defined(node.module)}
    assert not missing


def test_a_call_keeps_what_it_does_not_measure(monkeypatch, tmp_path):
    "A line measured anew replaces the earlier one; what another machine measured stays, and says so."
    monkeypatch.syspath_prepend(BENCH)
    measure = import_module("measure")
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    for cpu, lines, keep in (("slow", [("a", 1), ("b", 1)], False), ("fast", [("b", 2)], True)):
        monkeypatch.setattr(measure, "machine", lambda cpu=cpu: {"cpu": cpu})
        measure.report("some", [{"measure": name, "ours": ours} for name, ours in lines], keep)
    stored = json.loads((tmp_path / "some.json").read_text())
    assert stored["machine"]["cpu"] == "fast"
    assert stored["lines"] == [{"cpu": "slow", "measure": "a", "ours": 1}, {"measure": "b", "ours": 2}]
