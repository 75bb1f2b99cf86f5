"Sweeps with real processes: killed workers, drivers and machines, Ctrl-C; and bad sweep files of every kind."
import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml

import best_vision_models.run_sweep as engine
from best_vision_models import models, runs, sweep_checks, sweep_files, sweeps
from best_vision_models.models import weights_2022
from best_vision_models.preds import read_preds
from best_vision_models.run_sweep import run_sweep
from best_vision_models.runs import read_run_files, write_run
from best_vision_models.sources import BadInput
from best_vision_models.sweep_files import read_sweep
from best_vision_models.sweeps import sweep_configs, sweep_status

pytestmark = pytest.mark.xdist_group("ray")  # one process starts Ray
HERE = Path(__file__).parent
FILES = sorted((HERE.parent / "sweeps").glob("*.yaml"))
ENV = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{HERE}:{os.environ.get('PYTHONPATH', '')}",
       "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture(scope="module")
def ray_here():
    "Ray in this process, started once for the tests that don't kill it: `run_sweep` uses the one that it finds."
    before = os.environ.get("PYTHONPATH")
    os.environ.update(PYTHONPATH=ENV["PYTHONPATH"], RAY_USAGE_STATS_ENABLED="0")
    with engine.ray_cluster(None, 2): yield
    os.environ.update(PYTHONPATH=before or "")


def sweep_file(tmp_path, n, seconds=0.0, **more) -> Path:
    parameters = {"i": {"values": list(range(n))}, "seconds": {"value": seconds},
                  "log": {"value": str(tmp_path / "out" / "log.txt")}}
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"method": "grid", "parameters": parameters, **more}))
    return path


def drive(sweep, out, agents, run, **kwargs) -> subprocess.Popen:
    command = [sys.executable, HERE / "sweep_driver.py", sweep, out, str(agents), run]
    return subprocess.Popen([str(c) for c in command], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, **kwargs)


def log_lines(out) -> list[list[str]]: # what, key, pid, node, time, time
    path = out / "log.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def working(out) -> list[int]: # workers that have started a run and not ended it
    running = {}
    for what, key, pid, *_ in log_lines(out):
        if what == "start": running[pid] = key
        elif what == "end": running.pop(pid, None)
    alive = []
    for pid in map(int, running):
        try:
            if any("ray::" in word for word in psutil.Process(pid).cmdline()): alive.append(pid)
        except psutil.NoSuchProcess: pass
    return alive


@pytest.mark.slow
def test_killed_workers_and_drivers_lose_nothing(tmp_path):
    "200 runs, 4 workers; workers are killed 20 times or more and the driver 3 times; each run finishes exactly once."
    out, rng = tmp_path / "out", random.Random(1)
    sweep = sweep_file(tmp_path, 200, seconds=0.3)
    configs = sweep_configs(read_sweep(sweep))
    worker_kills = driver_kills = 0
    driver = drive(sweep, out, 4, "sleepy")
    while driver.poll() is None or worker_kills < 20 or driver_kills < 3:
        if driver.poll() is not None:
            pytest.fail(f"ended after {worker_kills} kills of workers, {driver_kills} of drivers: "
                        f"{driver.stdout.read()}")
        time.sleep(rng.uniform(0.3, 1.2))
        if worker_kills < 24 and (pids := working(out)):
            os.kill(rng.choice(pids), signal.SIGKILL)
            worker_kills += 1
        done = len(list(out.glob("*.json")))
        if driver_kills < 3 and worker_kills >= 6 * (driver_kills + 1) and done < 180:
            driver.kill()
            driver.wait()
            driver_kills += 1
            driver = drive(sweep, out, 4, "sleepy")
    driver.wait()
    while sweep_status(out)["left"]: # a run that three kills hit is left for the next command
        driver = drive(sweep, out, 4, "sleepy")
        assert driver.wait(timeout=900) == 0
    rows = read_run_files(out) # every file parses
    assert Counter(row["state"] for row in rows) == {"finished": 200}
    assert {row["run_id"] for row in rows} == set(configs)
    assert all(row["config"] == configs[row["run_id"]] for row in rows)
    assert not [line for line in log_lines(out) if line[0] == "AGAIN"] # no finished run was started again
    assert not list(out.glob(".*.part"))
    print(f"\n{worker_kills} workers and {driver_kills} drivers killed; "
          f"{sum(l[0] == 'start' for l in log_lines(out))} starts for 200 runs")
    assert worker_kills >= 20 and driver_kills == 3


CLUSTER = """
import subprocess, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster

command, out = sys.argv[1:-1], Path(sys.argv[-1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
doomed = cluster.add_node(num_cpus=1)
cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
sweep = subprocess.Popen([*command, cluster.address])
log = out / "log.txt"
def nodes(): return {words[3] for line in log.read_text().splitlines() if len(words := line.split()) > 3}
while not log.exists() or len(nodes()) < 3: time.sleep(0.1)
while len(list(out.glob("*.json"))) < 10: time.sleep(0.1) # early: a node takes its time to join a busy machine
cluster.remove_node(doomed, allow_graceful=False)
print("killed", doomed.node_id, flush=True)
print("joined", cluster.add_node(num_cpus=1).node_id, flush=True)
print("exit", sweep.wait(), flush=True)
cluster.shutdown()
"""


@pytest.mark.slow
def test_cluster_of_three_loses_one_and_gains_one(tmp_path):
    out, sweep = tmp_path / "out", sweep_file(tmp_path, 100, seconds=0.8)
    command = [sys.executable, HERE / "sweep_driver.py", sweep, out, "0", "sleepy"]
    done = subprocess.run([sys.executable, "-c", CLUSTER, *map(str, command), str(out)], env=ENV, capture_output=True,
                          text=True, timeout=900)
    events = dict(line.split()[:2] for line in done.stdout.splitlines()
                  if line.startswith(("killed", "joined", "exit")))
    assert events.get("exit") == "0", done.stderr[-2000:]
    rows = read_run_files(out)
    assert Counter(row["state"] for row in rows) == {"finished": 100}
    by_node = Counter(row["node"] for row in rows)
    assert len(by_node) == 4 and by_node[events["killed"]] and by_node[events["joined"]], (by_node, events)
    assert not [line for line in log_lines(out) if line[0] == "AGAIN"]
    print("\nruns by node:", sorted(by_node.values()), "of which killed:", by_node[events["killed"]],
          "joined:", by_node[events["joined"]])


@pytest.mark.slow
def test_failed_crashed_and_tried_again(tmp_path, ray_here):
    "A dead worker's run again, at most twice; one that fails by itself only if asked; NaN is null in the file."
    out, sweep = tmp_path / "out", sweep_file(tmp_path, 6)
    from sweep_driver import deadly
    run_sweep(sweep, out, agents=2, run=deadly)
    state = {row["i"]: (row["state"], row.get("reason")) for row in read_run_files(out)}
    assert state[1] == ("crashed", "its worker died 3 times")
    assert state[2] == ("failed", "ValueError: loss is NaN in epoch 1")
    assert state[3] == ("crashed", "ConnectionError: no route to the data")
    starts = lambda: Counter(line[1] for line in log_lines(out))
    key = {row["i"]: row["run_id"] for row in read_run_files(out)}
    assert [starts()[key[i]] for i in range(6)] == [1, 3, 1, 1, 1, 1]
    assert sweep_status(out) == {"total": 6, "finished": 3, "failed": 1, "crashed": 2, "left": 2}
    run_sweep(sweep, out, agents=2, run=deadly, retry_failed=True)
    assert [starts()[key[i]] for i in range(6)] == [1, 6, 2, 2, 1, 1] # what crashed and, asked for, what failed
    assert "NaN" not in (out / f"{key[4]}.json").read_text()


def interrupted(tmp_path, presses) -> tuple[subprocess.Popen, float]:
    out, sweep = tmp_path / "out", sweep_file(tmp_path, 40, seconds=2.0)
    driver = drive(sweep, out, 2, "sleepy", start_new_session=True)
    while len(log_lines(out)) < 6: time.sleep(0.05) # as a terminal does it: the whole group gets the signal
    began = time.time()
    for _ in range(presses):
        os.killpg(driver.pid, signal.SIGINT)
        time.sleep(0.3)
    driver.wait(timeout=900)
    return driver, time.time() - began


@pytest.mark.slow
def test_ctrl_c_once_finishes_what_runs(tmp_path):
    driver, _ = interrupted(tmp_path, 1)
    what = Counter(line[0] for line in log_lines(tmp_path / "out"))
    assert what["start"] == what["end"] == len(read_run_files(tmp_path / "out")) < 40
    assert driver.returncode == 0 and "those under way finish" in driver.stdout.read()


@pytest.mark.slow
def test_ctrl_c_twice_stops_now(tmp_path):
    out = tmp_path / "out"
    driver, _ = interrupted(tmp_path, 2)
    what = Counter(line[0] for line in log_lines(out))
    assert driver.returncode == 130 and what["start"] > what["end"]
    finished = len(read_run_files(out)) # every file parses
    assert 0 < finished <= what["end"]
    assert not list(out.glob(".*.part"))
    assert sweep_status(out)["left"] == 40 - finished


@pytest.mark.slow
def test_one_program_at_a_time(tmp_path):
    out, sweep = tmp_path / "out", sweep_file(tmp_path, 4, seconds=2.0)
    first = drive(sweep, out, 2, "sleepy")
    while not log_lines(out): time.sleep(0.05)
    second = drive(sweep, out, 2, "sleepy")
    assert second.wait(timeout=900) and "another program is running this sweep" in second.stdout.read()
    assert first.wait(timeout=900) == 0 and sweep_status(out)["left"] == 0


def test_full_disk_is_said_and_leaves_nothing_half_written(tmp_path):
    code = ("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))\n"
            "from best_vision_models.runs import write_run\n"
            f"try: write_run({{'run_id': 'a', 'x': 'y' * 99}}, {str(tmp_path)!r})\n"
            "except OSError as error: print(error)")
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True)
    assert "a.json: can't be written (File too large): make room" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def bayes_run(config): return {"error_rate": (config["x"] - 0.3) ** 2}


def hyperband_run(config, report):
    for epoch in range(9):
        time.sleep(0.05)
        if report({"error_rate": config["x"] / (1 + epoch)}):
            return {"error_rate": config["x"], "stopped_epoch": epoch + 1}
    return {"error_rate": config["x"] / 9, "stopped_epoch": None}


def test_bayes_goes_on_from_what_is_there(tmp_path, ray_here):
    spec = {"method": "bayes", "metric": {"name": "error_rate"}, "parameters": {"x": {"min": 0.0, "max": 1.5}},
            "run_cap": 12}
    out = tmp_path / "out"
    assert run_sweep(spec, out, agents=2, run=bayes_run)["finished"] == 12
    assert run_sweep({**spec, "run_cap": 20}, out, agents=2, run=bayes_run)["finished"] == 20
    assert min(row["error_rate"] for row in read_run_files(out)) < 0.01
    target = {**spec, "metric": {"name": "error_rate", "target": 0.2}}
    assert run_sweep(target, tmp_path / "target", agents=1, run=bayes_run)["finished"] < 12


def test_hyperband_stops_runs_that_are_behind(tmp_path, ray_here):
    spec = {"method": "grid", "metric": {"name": "error_rate"},
            "parameters": {"x": {"values": [1, 2, 3, 4, 5, 6, 7, 8, 9]}},
            "early_terminate": {"type": "hyperband", "min_iter": 2, "eta": 2}}
    assert run_sweep(spec, tmp_path / "out", agents=2, run=hyperband_run)["finished"] == 9
    stopped = {row["x"]: row["stopped_epoch"] for row in read_run_files(tmp_path / "out")}
    assert stopped[1] is None and stopped[8] is not None, stopped # the best and the last to start: 9 is among the first


@pytest.mark.slow
def test_hyperband_stops_real_training(tmp_path, ray_here):
    "Without a word of it in `fine_tune`: of two learning rates the hopeless one is stopped after its second epoch."
    pytest.importorskip("best_vision_models.fine_tune")
    settings = {"dataset": "digit_pairs", "model_name": "resnet10t", "pretrained": False, "img_size": 32, "epochs": 3,
                "resize_method": "squish", "save_preds": True}
    spec = {"method": "grid", "metric": {"name": "error_rate"}, "early_terminate": {"type": "hyperband", "min_iter": 1},
            "parameters": {**{k: {"value": v} for k, v in settings.items()},
                           "learning_rate": {"values": [0.008, 1e-7]}}}
    assert run_sweep(spec, tmp_path / "out", agents=1)["finished"] == 2
    good, bad = sorted(read_run_files(tmp_path / "out"), key=lambda row: -row["learning_rate"])
    assert good["fit_time"] > 0 and "stopped_epoch" not in good
    assert bad["stopped_epoch"] == 2 and bad["fit_time"] is None and bad["error_rate"] > good["error_rate"]
    kept = read_preds(tmp_path / "out")
    errors = ((kept.preds > 0.5) != kept.targets).mean((1, 2))
    assert errors == pytest.approx(kept.runs.error_rate.to_numpy(), abs=1e-6) and len(errors) == 2


@pytest.mark.slow
def test_six_real_runs_on_planet_resumed_and_ranked(tmp_path, monkeypatch):
    "1,000 Planet images at 32 px; the driver is killed after two runs, the same command goes on, `bvm rank` ranks."
    images = Path(os.environ.get("BVM_MIRROR") or HERE.parent / "../shared/data") / "images" / "planet_sample"
    if not images.is_dir(): pytest.skip("the mirror with the Planet sample is not here")
    pytest.importorskip("best_vision_models.fine_tune")
    (tmp_path / "planet").symlink_to(images.resolve())
    for name, folder in {"BVM_IMAGES": tmp_path, "BVM_CACHE": tmp_path / "cache"}.items():
        monkeypatch.setitem(ENV, name, str(folder))
    small = {"pretrained": False, "img_size": 32, "epochs": 1, "resize_method": "squish", "dataset": "planet"}
    lists = {"model_name": ["resnet10t", "mobilenetv3_small_050"], "learning_rate": [0.002, 0.008, 0.02]}
    sweep, out = tmp_path / "sweep.yaml", tmp_path / "out"
    parameters = {**{k: {"value": v} for k, v in small.items()}, **{k: {"values": v} for k, v in lists.items()}}
    sweep.write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}))
    driver = drive(sweep, out, 2, "fine_tune")
    while len(list(out.glob("*.json"))) < 2: assert driver.poll() is None, driver.stdout.read(); time.sleep(0.1)
    driver.kill()
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert len(before) < 6
    driver = drive(sweep, out, 2, "fine_tune")
    assert driver.wait(timeout=900) == 0, driver.stdout.read()
    rows = read_run_files(out)
    assert (Counter(row["state"] for row in rows) == {"finished": 6}
            and all(0 < row["error_rate"] < 0.5 for row in rows)), rows
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in before.items())
    pytest.importorskip("best_vision_models.cli")
    rank = [sys.executable, "-c", "import sys; from best_vision_models.cli import main; sys.exit(main())",
            "rank", str(out), "--format", "json"]
    ranked = subprocess.run(rank, env=ENV, capture_output=True, text=True)
    assert ranked.returncode == 0, ranked.stderr
    assert {row["model_name"] for row in json.loads(ranked.stdout)} == set(lists["model_name"])


BAD = {
    "a list": "- 1", "empty": "", "HTML": "<!DOCTYPE html><html><p>a: b</p></html>", "binary": "\x00\x01",
    "no method": "parameters: {a: {value: 1}}", "no parameters": "method: grid",
    "empty parameters": "method: grid\nparameters: {}",
    "parameter is a number": "method: grid\nparameters: {a: 1}", "nothing to try": "method: grid\nparameters: {a: {}}",
    "null parameter": "method: grid\nparameters: {a: }",
    "parameter is a list": "method: grid\nparameters: {a: [[1], [2]]}",
    "one for many": "method: grid\nparameters: {a: {values: 1}}",
    "two ways": "method: grid\nparameters: {a: {value: 1, values: [2]}}",
    "min = max": "method: random\nrun_cap: 3\nparameters: {a: {min: 1, max: 1}}",
    "min is NaN": "method: random\nparameters: {a: {min: .nan, max: 1}}",
    "max is inf": "method: random\nparameters: {a: {min: 1, max: .inf}}",
    "log of 0": "method: random\nparameters: {a: {distribution: log_uniform_values, min: 0, max: 1}}",
    "unknown distribution": "method: random\nparameters: {a: {distribution: zipf, min: 0, max: 1}}",
    "probabilities": "method: random\nparameters: {a: {values: [1, 2], probabilities: [0.1, 0.2]}}",
    "bayes without metric": "method: bayes\nparameters: {a: {min: 0.0, max: 1.0}}",
    "bayes of a normal": "method: bayes\nmetric: {name: x}\nparameters: {a: {distribution: normal}}",
    "goal": "method: bayes\nmetric: {name: x, goal: min}\nparameters: {a: {min: 0.0, max: 1.0}}",
    "hyperband without metric":
        "method: grid\nearly_terminate: {type: hyperband, min_iter: 1}\nparameters: {a: {value: 1}}",
    "hyperband without epochs":
        "method: grid\nmetric: {name: x}\nearly_terminate: {type: hyperband}\nparameters: {a: {value: 1}}",
    "run_cap": "method: grid\nrun_cap: 0\nparameters: {a: {value: 1}}",
    "too many": "method: grid\nparameters: {a: {min: 1, max: 1000000000}}",
    "fine q": "method: grid\nparameters: {a: {distribution: q_uniform, min: 0, max: 1, q: 1.0e-300}}",
    "command": "method: grid\ncommand: python\nparameters: {a: {value: 1}}",
    "launch": "method: grid\njob: x\nparameters: {a: {value: 1}}",
    "number as key": "method: grid\nparameters: {1: {value: 1}}",
    "list as key": "method: grid\nparameters: {[1]: {value: 1}}",
    "python object": "method: grid\nparameters: {a: {value: !!python/object/apply:os.system [ls]}}",
    "bytes": "method: grid\nparameters: {a: {value: !!binary aGk=}}",
    "itself": "method: grid\nparameters: &a {b: {parameters: *a}}",
    "deep": "method: grid\nparameters: " + "{a: {parameters: " * 2000 + "1" + "}}" * 2000,
}


@pytest.mark.parametrize("name", BAD)
def test_bad_sweep_files(tmp_path, name):
    "One line that names the file, and where it can the line in it."
    (tmp_path / "bad.yaml").write_text(BAD[name])
    with pytest.raises(BadInput) as error: run_sweep(tmp_path / "bad.yaml", tmp_path / "out")
    message = str(error.value)
    assert "bad.yaml" in message and "\n" not in message and len(message) < 400
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given, line", [
    ("learning_rate: 0.008", "learning_rate: {value: 0.008}"), ("pretrained: false", "pretrained: {value: false}"),
    ("pool: [avg, concat]", "pool: {values: [avg, concat]}"), ("group: {parameters: {x: 3}}", "x: {value: 3}"),
    ("model_name: {values: resnet18}", "model_name: {values: [resnet18]}"),
    ("epochs: [1, 2, 3, 4, 5, 6, 7, 8, 9]", "epochs: {values: [1, 2, 3, 4, 5, 6, 7, 8, …]}"),
])
def test_a_bare_parameter_is_answered_with_the_line_to_write(tmp_path, given, line):
    (tmp_path / "s.yaml").write_text(f"method: grid\nparameters:\n  {given}\n")
    with pytest.raises(BadInput) as error: read_sweep(tmp_path / "s.yaml")
    assert str(error.value).endswith(f"can't be read: write {line}")
    assert "s.yaml, line 3: parameters." in str(error.value)
    if "…" not in line: read_sweep({"method": "grid", "parameters": yaml.safe_load(line)}) # what we propose is right


def test_every_model_name_of_2022_and_of_timm_can_be_shown():
    "One by one: no name breaks `bvm sweep show`, and each stands for weights or an architecture that timm can build."
    import timm
    names = {*weights_2022(), *timm.list_models(), *timm.list_pretrained(), *timm.models.get_deprecated_models()}
    assert len(names) > 3000 and {"vit_base_patch16_224_sam", "vit_base_patch32_224_sam"} <= names
    for name in sorted(names):
        assert models.unresolved_models([name]) == {}, name
        means, moved = models.weights_named(name), models.moved_models([name])
        assert timm.is_model_pretrained(means) or "." not in means and timm.is_model(means), (name, means)
        assert set(moved.values()) <= {means}, (name, means, moved)
    assert models.moved_models(["vit_base_patch16_224_sam"]) == {
        "vit_base_patch16_224_sam": "vit_base_patch16_224.sam_in1k"}
    unresolved = models.unresolved_models(["vit_base_patch16_224.sam_in1k", "vit_base_patch16_224.sum"])
    assert unresolved.keys() == {"vit_base_patch16_224.sum"}
    shown = sweeps.show_sweep(read_sweep({"method": "grid", "parameters": {"model_name": {"values": sorted(names)}}}))
    assert shown["runs"] == len(names) and not shown["unresolved"]


def mutate_line(line: str, kind: int, rng: random.Random) -> str:
    "The line with a change of a kind from 2 to 7."
    match kind:
        case 2: return line[:rng.randrange(len(line) + 1)]
        case 3: return " " * rng.randint(1, 3) + line
        case 4: return line.lstrip()
        case 5: return "".join(c for c in line if rng.random() > 0.1)
        case 6:
            j = rng.randrange(len(line) + 1)
            odd = rng.choice([":", "{", "]", '"', "-", "\t", "#", "&a ", "*a", "null", "é", "1e999", "!!"])
            return line[:j] + odd + line[j:]
        case _:
            word = rng.choice(["value", "min", "grid", "0.0", ":"])
            return line.replace(word, rng.choice(["vlaue", "-1", "", "[]", "9e99"]))


def mutate(text: str, rng: random.Random) -> str:
    "One to three changes of the kinds that hands and editors make."
    for _ in range(rng.randint(1, 3)):
        lines = text.splitlines()
        i = rng.randrange(len(lines))
        match rng.randrange(9):
            case 0: del lines[i]
            case 1: lines.insert(i, lines[rng.randrange(len(lines))])
            case 8: lines = lines[:max(1, i)]
            case kind: lines[i] = mutate_line(lines[i], kind, rng)
        text = "\n".join(lines) + "\n"
        if not text.strip(): return text
    return text


@pytest.mark.parametrize("seed", range(200))
def test_mutated_sweep_files(tmp_path, seed):
    "A clear error or a valid sweep, never a traceback, never a run."
    rng = random.Random(seed)
    path = tmp_path / "mutated.yaml"
    path.write_text(mutate(rng.choice(FILES).read_text(), rng))
    try: spec = read_sweep(path)
    except BadInput as error:
        assert "mutated.yaml" in str(error) and "\n" not in str(error)
        return
    assert read_sweep(spec.as_dict()) == spec
    if spec.method != "bayes": assert 0 < len(sweep_configs(spec, None if spec.size() else 5)) <= (spec.size() or 5)


def test_the_articles_own_files_run_unchanged(tmp_path):
    "As in the article's repository: 1e-5 without a dot, num_experiments, its data set names, program: fine_tune.py."
    (tmp_path / "s.yaml").write_text(
        "program: fine_tune.py\nmethod: bayes\nmetric:\n  name: valid_loss\n  goal: minimize\nparameters:\n"
        "    dataset: \n        value: \"PLANETS\"\n    model_name:\n        values: [\n"
        "            'levit_128s',\n            'resnet18',\n            ]\n"
        "    num_experiments: \n        values: [1,2,3]\n"
        "    learning_rate:\n        distribution: uniform\n        min: 1e-5\n        max: 1e-2")
    spec = read_sweep(tmp_path / "s.yaml")
    assert spec.parameters["learning_rate"].bounds() == (1e-5, 1e-2, False)
    pytest.importorskip("best_vision_models.fine_tune")
    engine._check_program(spec)
    sweep_checks.check_settings(spec, sweep_checks.configs_to_check(spec))


REFUSED = {
    "a name": ({"model_nam": ["resnet18"]}, "model_nam is not a setting: did you mean model_name?"),
    "a value": ({"pool": ["avg", "max"], "repeat": [1, 2]}, "pool 'max' should be 'concat' or 'avg' (2 of 4 runs)"),
    "a combination": ({"batch_size": [32, 64], "accumulate": [1, 32]},
                      "accumulate 32 must divide batch_size 32 into parts of 2 or more (1 of 4 runs)"),
    "a model": ({"model_name": ["resnet18", "resnet19"]}, "timm has no model resnet19 (did you mean resnet1"),
    "weights": ({"model_name": ["resnet18", "resnet34"], "weights_dir": ["nowhere"]},
                "weights_dir nowhere holds no resnet18."),
    "no weights": ({"model_name": ["resnet14t", "vit_small_resnet26d_224"]},
                   "timm has no weights for vit_small_resnet26d_224:"),
    "images": ({"dataset": ["digits", "my_imges"], "pretrained": [False]},
               "no data set, folder or CSV is called 'my_imges'"),
    "one class": ({"dataset": ["one_class"], "pretrained": [False]}, "two"),
}


def grid_of(values) -> dict:
    return {"method": "grid", "parameters": {name: {"values": tried} for name, tried in values.items()}}


@pytest.fixture
def one_class(tmp_path, monkeypatch):
    from PIL import Image
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one_class" / "a").mkdir(parents=True)
    for i in range(4): Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "one_class" / "a" / f"{i}.png")


@pytest.mark.parametrize("what", REFUSED)
def test_a_look_finds_what_a_run_would_refuse(what, one_class):
    values, said = REFUSED[what]
    with pytest.raises(BadInput) as error: sweep_checks.check_sweep(read_sweep(grid_of(values)))
    assert said in str(error.value) and "\n" not in str(error.value), str(error.value)


@pytest.mark.parametrize("what", ["a name", "a value", "a combination"])
def test_a_run_refuses_wrong_settings_before_ray_starts(what, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "ray_cluster", lambda *_: pytest.fail("Ray was started"))
    values, said = REFUSED[what]
    with pytest.raises(BadInput) as error: run_sweep(grid_of(values), tmp_path / "out", agents=1)
    assert said in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["a model", "weights", "images", "one class"])
def test_a_run_refuses_what_its_first_worker_lacks(what, tmp_path, one_class, ray_here):
    values, said = REFUSED[what]
    values = {**values, "dataset": [str(tmp_path / "one_class")]} if what == "one class" else values
    with pytest.raises(BadInput) as error: run_sweep(grid_of(values), tmp_path / "out", agents=2)
    # mended otherwise, the folder is not another sweep's
    assert said in str(error.value) and {path.name for path in (tmp_path / "out").iterdir()} == {".lock"}


def test_weights_are_looked_for_in_the_cache_and_the_hub_is_asked_once(tmp_path, monkeypatch):
    import timm  # noqa: F401, imports huggingface_hub
    from huggingface_hub import constants

    from best_vision_models.sources import SourceUnavailable
    asked = []
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(sweep_checks, "answers", lambda address: asked.append(address) or address.startswith("https://github"))
    configs = [{"model_name": name, "repeat": i} for i in (1, 2)
               for name in ("resnet18", "resnet34.tv_in1k", "gcvit_tiny.in1k", "resnet10t")]
    snapshot = tmp_path / "models--timm--resnet34.tv_in1k" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    missing = "of 3 of 4 models are not in .*: resnet10t.c3_in1k, resnet18.tv_in1k, resnet34.tv_in1k: connect"
    with pytest.raises(SourceUnavailable, match=missing): sweep_checks.check_weights(configs)
    assert sorted(asked) == sorted([constants.ENDPOINT, "https://github.com"])
    (snapshot / "model.safetensors").touch()
    with pytest.raises(SourceUnavailable, match="2 of 4 models"): sweep_checks.check_weights(configs)
    monkeypatch.setattr(sweep_checks, "answers", lambda address: True)
    sweep_checks.check_weights(configs)
    sweep_checks.check_weights([{**config, "pretrained": False} for config in configs])


def test_a_hub_that_is_not_there_answers_no_within_seconds():
    began = time.time()
    assert not sweep_checks.answers("http://127.0.0.1:9") and not sweep_checks.answers("nonsense")
    assert time.time() - began < 20


def broken(config): raise ValueError(f"model m{config['i']} gave nan in batch {config['i']}")


def first_broken(config):
    if config["model_name"] == "m0": raise ValueError("can't be built")
    return {"error_rate": 0.1}


def test_first_runs_that_fail_alike_end_a_sweep(tmp_path, ray_here, capfd):
    "The first, the last and the middle one; a second command goes on from there, and all reasons are grouped."
    sweep = sweep_file(tmp_path, 30)
    status = run_sweep(sweep, tmp_path / "out", agents=2, run=broken)
    said = capfd.readouterr().err
    assert 3 <= status["failed"] <= 5 and status["left"] == 30 - status["failed"], status
    assert "the first 3 runs, which differ in most settings, failed alike: stopping here" in said
    assert {0, 15, 29} <= {row["i"] for row in read_run_files(tmp_path / "out")}
    assert said.count("\nfailed: ValueError: model m") == 1 # one kind, said once as it comes
    assert f"{status['failed']} failed: ValueError" in said and "--retry_failed" in said.splitlines()[-1]
    reasons = runs.failure_reasons(tmp_path / "out")
    assert [(entry["state"], entry["runs"]) for entry in reasons] == [("failed", status["failed"])]


def test_one_bad_model_does_not_end_a_sweep(tmp_path, ray_here, capfd):
    spec = grid_of({"model_name": ["m0", "m1", "m2"], "repeat": [1, 2, 3, 4]})
    assert run_sweep(spec, tmp_path / "out", agents=2, run=first_broken) == {
        "total": 12, "finished": 8, "failed": 4, "crashed": 0, "left": 0}
    said = capfd.readouterr().err
    assert "alike" not in said and "4 failed: ValueError: can't be built" in said
    assert run_sweep(spec, tmp_path / "out", agents=2, run=first_broken)["left"] == 0
    said = capfd.readouterr().err # nothing is left to do: why, and what would do them again
    assert "4 failed: ValueError: can't be built" in said and "--retry_failed" in said


def test_status_and_rank_say_why_runs_failed(tmp_path, bvm):
    out, spec = tmp_path / "out", read_sweep(grid_of({"model_name": ["resnet18", "levit_128"], "repeat": [1, 2]}))
    with sweeps.open_sweep_folder(spec, out): pass
    for key, config in sweep_configs(spec).items():
        write_run({**config, "run_id": key, "state": "failed",
                   "reason": f"{config['model_name']}: nan in batch {config['repeat']}", "config": config}, out)
    status = bvm("sweep", "status", out)
    told = json.loads(status.stdout)
    assert told["failed"] == 4 and [entry["runs"] for entry in told["reasons"]] == [4]
    assert "nan in batch" in told["reasons"][0]["reason"]
    assert "4 failed: " in status.stderr and "--retry_failed" in status.stderr
    ranked = bvm("rank", out)
    assert ranked.returncode == 2 and len(ranked.stderr.splitlines()) == 1, ranked.stderr
    assert "no run has an error_rate: 4 failed: " in ranked.stderr and "--retry_failed" in ranked.stderr
    done = {**config, "dataset": "digits", "run_id": key, "state": "finished", "error_rate": 0.1, "fit_time": 3.0}
    write_run(done, out)
    for path in out.glob("*.json"): write_run({**json.loads(path.read_text()), "dataset": "digits"}, out)
    ranked = bvm("rank", out)
    assert ranked.returncode == 0 and "levit_128" in ranked.stdout and "3 failed: " in ranked.stderr, ranked.stderr


def nice_run(config): return {"error_rate": 0.1, "nice": os.nice(0)}


@pytest.mark.slow
def test_workers_are_not_niced(tmp_path):
    "A sweep on a busy machine gets its share: its workers are as nice as the program that started them."
    code = ("import sys; from best_vision_models.run_sweep import run_sweep; from test_sweeps import nice_run\n"
            "run_sweep({'method': 'grid', 'parameters': {'i': {'values': [1, 2]}}}, sys.argv[1], "
            "agents=1, run=nice_run)")
    for nice in (0, 5):
        env = {name: value for name, value in ENV.items() if name != "RAY_worker_niceness"}
        done = subprocess.run(["nice", "-n", str(nice), sys.executable, "-c", code, str(tmp_path / str(nice))], env=env,
                              capture_output=True, text=True)
        assert [row["nice"] for row in read_run_files(tmp_path / str(nice))] == [os.nice(0) + nice] * 2, done.stderr


def test_progress_in_a_log_is_a_line_when_something_changed(monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr(engine.time, "time", lambda: now[0])
    progress = engine.Progress(Counter(), 40)
    for second in range(1200):
        now[0] += 1
        if second in (100, 101, 102, 103): progress.ended({"state": "finished"})
        if second == 150: progress.ended({"state": "failed", "reason": "nan in batch 3"})
        if second == 151: progress.ended({"state": "failed", "reason": "nan in batch 4"})
        progress.show(40 - sum(progress.status.values()) - 2, 2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("0 finished, 2 running, 38 waiting") and 6 <= len(lines) <= 10, lines # not 1200 / 15
    assert lines.count("failed: nan in batch 3") == 1 and not any("batch 4" in line for line in lines)
    assert all(len(line) < 120 and "\r" not in line for line in lines)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_sweeps_can_be_shown(path, capsys, monkeypatch):
    from best_vision_models import cli
    monkeypatch.setattr(sweep_checks, "answers", lambda address: False)
    status = cli.main(["sweep", "show", str(path)])
    shown, said = capsys.readouterr()
    assert "python -m best_vision_models.fine_tune" in shown and "our fine_tune" in shown
    dataset = yaml.safe_load(path.read_text())["parameters"]["dataset"]
    folders = [name for name in dataset.get("values", [dataset.get("value")]) if "/" in name] # of the user's
    if folders: assert status == 2 and f"no data set, folder or CSV is called '{folders[0]}'" in said
    else: assert (status, said) == (0, ""), said


def readme_sweep() -> str:
    "The sweep file that the README shows, `weights_dir` taken in."
    text = (HERE.parent / "README.md").read_text()
    block = text.split("write a sweep file, `mine.yaml`:")[1].split("Then look at it")[0]
    block = textwrap.dedent(block).strip()
    return block.replace("# weights_dir: {value: my_weights} ", "weights_dir: {value: my_weights} # ") + "\n"


@pytest.fixture
def my_images(tmp_path, monkeypatch):
    "A folder of one's own: 50 images of two classes, and weights for the models that the README names."
    import timm
    import torch
    from PIL import Image
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ENV["PYTHONPATH"])
    for n, label in enumerate(("cats", "dogs")):
        (tmp_path / "my_images" / label).mkdir(parents=True)
        for i in range(25):
            Image.new("RGB", (40, 30), (200 * n, 10 * i, 0)).save(tmp_path / "my_images" / label / f"{i}.jpg")
    (tmp_path / "my_weights").mkdir()
    torch.save(timm.create_model("resnet26d").state_dict(), tmp_path / "my_weights" / "resnet26d.bt_in1k.pth")
    for name in ("convnext_tiny.fb_in1k", "levit_256.fb_dist_in1k"):
        (tmp_path / "my_weights" / f"{name}.safetensors").touch()
    (tmp_path / "mine.yaml").write_text(readme_sweep())
    return tmp_path


def test_the_readmes_sweep_file_is_ten_lines_and_right(my_images, capsys):
    from best_vision_models import cli
    lines = readme_sweep().splitlines()
    assert len(lines) == 10 and "weights_dir" in lines[-1]
    assert cli.main(["sweep", "show", "mine.yaml"]) == 0
    shown, said = capsys.readouterr()
    assert "18" in shown.splitlines()[1] and "missing" not in shown and not said
    (my_images / "my_weights" / "levit_256.fb_dist_in1k.safetensors").unlink()
    assert cli.main(["sweep", "show", "mine.yaml"]) == 2
    assert "weights_dir my_weights holds no levit_256.fb_dist_in1k (.safetensors or .pth)" in capsys.readouterr().err


@pytest.mark.slow
def test_the_readmes_sweep_file_runs(my_images):
    "With one model and one epoch at 32 px: as a process, from a folder of one's own, paths relative to it."
    sweep = yaml.safe_load((my_images / "mine.yaml").read_text())
    sweep["parameters"].update(model_name={"value": "resnet26d.bt_in1k"}, epochs={"value": 1},
                               repeat={"values": [1, 2]}, img_size={"value": 32}, batch_size={"value": 4},
                               learning_rate={"value": 0.008})
    (my_images / "mine.yaml").write_text(yaml.safe_dump(sweep))
    code = ("import sys; from best_vision_models.cli import main; status = main(); "
            "assert 'torch' not in sys.modules, 'workers waited for that'; sys.exit(status)")
    bvm = lambda *words: subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True,
                                        timeout=900)
    done = bvm("sweep", "run", "mine.yaml", "--out", "runs/mine", "--agents", "1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"total": 2, "finished": 2, "failed": 0, "crashed": 0, "left": 0}
    lines = done.stderr.splitlines() # a log: short plain lines
    assert lines[0] == "2 runs to do: starting", done.stderr
    assert all(len(line) < 120 and "\r" not in line for line in lines), done.stderr
    assert json.loads(bvm("sweep", "status", "runs/mine").stdout)["finished"] == 2
    assert "resnet26d.bt_in1k" in bvm("rank", "runs/mine").stdout


def test_the_page_of_sweep_files_explains_every_key_and_setting():
    from best_vision_models.settings import FineTuneConfig
    page = (HERE.parent / "nbs" / "sweep_files.md").read_text()
    for model in (sweep_files.SweepSpec, sweep_files.EarlyTerminate, sweep_files.Metric, sweep_files.Parameter):
        for key in model.model_fields: assert re.search(rf"\b{key}\b", page), key
    for kind in (*sweep_files._LISTED, *sweep_files.UNIFORM, *sweep_files._NORMAL, *sweep_files._BETA):
        assert kind in page, kind
    for name, field in FineTuneConfig.model_fields.items():
        value = str(field.default).lower() if isinstance(field.default, bool) else field.default
        default = "" if field.default_factory or field.default is None else f"`{value}`"
        assert f"| `{name}` | {field.description} | {default} |\n" in page, name
    for shown in re.findall(r"```yaml\n(.*?)```", page, re.S): read_sweep(yaml.safe_load(shown))
    for form in re.findall(r"\| `(\{\w.*?\})`", page.split("## A parameter")[1].split("## The settings")[0]):
        if "…" in form: continue
        read_sweep({"method": "random", "run_cap": 3, "parameters": {"learning_rate": yaml.safe_load(form)}})


def test_a_sweep_without_a_command_runs_our_fine_tune(tmp_path, capsys):
    from best_vision_models import cli
    (tmp_path / "s.yaml").write_text("method: grid\nparameters: {dataset: {value: digits}, pretrained: {value: false}}")
    assert cli.main(["sweep", "show", str(tmp_path / "s.yaml")]) == 0
    assert "python -m best_vision_models.fine_tune --dataset=digits --pretrained=False" in capsys.readouterr().out
    spec, shipped = read_sweep(tmp_path / "s.yaml"), read_sweep(HERE.parent / "sweeps" / "demo.yaml")
    assert sweep_files.with_our_command(spec).command == shipped.command
    theirs = read_sweep({**spec.as_dict(), "program": "train.py"})
    assert sweep_files.with_our_command(theirs) == theirs
    assert sweeps.show_sweep(theirs)["program"] == "train.py, on W&B only"


def test_commands_are_those_of_a_real_agent():
    "Every macro, against wandb's own code."
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    config = {"model_name": "resnet18", "learning_rate": 0.008, "pretrained": False, "verbose": True}
    theirs = utils.create_sweep_command_args({"args": {k: {"value": v} for k, v in config.items()}})
    for macro in sweep_files._MACROS:
        if macro in ("env", "interpreter", "program", "args_json_file"): continue
        spec = read_sweep({"method": "grid", "command": ["python", f"${{{macro}}}"],
                           "parameters": {k: {"value": v} for k, v in config.items()}})
        assert sweep_files.run_command(spec, config) == ["python", *theirs[macro]], macro
    os.environ["SWEEP_TEST"] = "secret"
    word = "--token=${envvar:SWEEP_TEST}"
    spec = read_sweep({"method": "grid", "command": [word], "parameters": {"a": {"value": 1}}})
    assert utils.create_sweep_command([word]) == ["--token=secret"] # the agent puts it in, and we don't show it
    assert sweep_files.run_command(spec, {}) == [word]


def test_importing_sweeps_is_light():
    code = ("import sys, best_vision_models.sweep_files, best_vision_models.sweeps; "
            "print([m for m in ('torch', 'fastai', 'ray', 'wandb', 'optuna') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True).stdout.strip() == "[]"


OLD_SWEEP = """method: grid
parameters:
  dataset:
    value: digits
  model_name:
    values:
    - resnet18
    - test_resnet
  learning_rate:
    value: 0.008
  pretrained:
    value: false
"""
# As the library of 22 November 2026 wrote them: a sweep's run, and a run of its own, whose name was shorter.
OLD_CONFIG = {"dataset": "digits", "model_name": "resnet18", "learning_rate": 0.008, "pretrained": False}
OLD_RUN = {**OLD_CONFIG, "host": "vm", "started_at": "2026-11-22T06:33:04Z", "state": "finished", "error_rate": 0.08,
           "fit_time": 3.0, "GPU_mem": None, "sweep": "old", "run_id": "515fcacb30ba0ab0", "config": OLD_CONFIG}
OLD_SINGLE = {"sweep": None, "run_id": "d62c2442efed", "state": "finished", "dataset": "digits", "weights": None,
              "model_name": "test_resnet", "learning_rate": 0.002, "error_rate": 0.245, "fit_time": 2.4,
              "GPU_mem": None}


def test_an_older_library_s_sweep_is_read_and_completed(tmp_path, ray_here):
    from best_vision_models.runs import read_runs
    from best_vision_models.scores import rank, summarise

    old = tmp_path / "old"
    old.mkdir()
    (old / "sweep.yaml").write_text(OLD_SWEEP)
    (kept := old / "515fcacb30ba0ab0.json").write_text(json.dumps(OLD_RUN))
    before = kept.read_bytes()
    assert sweep_status(old) == {"total": 2, "finished": 1, "failed": 0, "crashed": 0, "left": 1}
    status = run_sweep(old / "sweep.yaml", old, agents=1, run=lambda config: {"error_rate": 0.2, "fit_time": 2.0})
    assert status == {"total": 2, "finished": 2, "failed": 0, "crashed": 0, "left": 0}
    assert kept.read_bytes() == before
    assert dict(zip((runs := read_runs(old)).model_name, runs.error_rate)) == {"resnet18": 0.08, "test_resnet": 0.2}
    (tmp_path / "single").mkdir()
    (tmp_path / "single" / "d62c2442efed.json").write_text(json.dumps(OLD_SINGLE))
    assert rank(summarise(read_runs(tmp_path / "single"))).model_name.tolist() == ["test_resnet"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_uses_only_the_cores_that_it_may_use():
    code = """
        import os
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        from best_vision_models.run_sweep import ray_cluster
        with ray_cluster(None, None) as ray: print(ray.cluster_resources()["CPU"])"""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.run(command, env=ENV, capture_output=True, text=True, check=True).stdout.split() == ["1.0"]
