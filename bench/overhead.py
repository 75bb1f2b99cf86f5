"""Overhead of the Ray engine: what a run costs beside its own work, from 200 to 2,000 runs that do nothing.

python bench/overhead.py [AGENTS]     peers: the same runs in a plain loop, and each in a fresh `python` process

A W&B agent starts a fresh process for each run, which is the second peer's cost before it has imported anything.
"""
import subprocess
import sys
import tempfile
import time

import ray
from measure import line, report

from best_vision_models.run_sweep import run_sweep
from best_vision_models.runs import write_run
from best_vision_models.settings import config_key
from best_vision_models.sweep_files import read_sweep
from best_vision_models.sweeps import sweep_configs

# The article's grid: 86 models x 2 learning rates x 2 poolings x 3 repeats x 2 data sets.
ARTICLE = {"network": 86, "learning_rate": 2, "pool": 2, "repeat": 3, "dataset": 2}


def grid(n_models: int) -> dict:
    sizes = {**ARTICLE, "network": n_models}
    return {"method": "grid", "parameters": {name: {"values": list(range(size))} for name, size in sizes.items()}}


def nothing(config): return {"error_rate": 0.5}


def engine(sweep: dict, agents: int) -> tuple[int, float]: # runs, seconds for all
    spec = read_sweep(sweep)
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        status = run_sweep(spec, out, agents, run=nothing)
        seconds = time.perf_counter() - began
    assert status["left"] == 0
    return status["total"], seconds


def plain(sweep: dict) -> float: # seconds a run
    with tempfile.TemporaryDirectory() as out:
        began, configs = time.perf_counter(), sweep_configs(read_sweep(sweep))
        for config in configs.values():
            write_run({**nothing(config), "state": "finished", "run_id": config_key(config), "config": config}, out)
        return (time.perf_counter() - began) / len(configs)


def fresh(times: int = 10) -> float: # seconds a run
    began = time.perf_counter()
    for _ in range(times): subprocess.run([sys.executable, "-c", "pass"])
    return (time.perf_counter() - began) / times


if __name__ == "__main__":
    agents = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    ray.init(address="local", num_cpus=agents, include_dashboard=False, log_to_driver=False)
    measured = [engine(grid(n_models), agents) for n_models in (9, 42, 86)] # 216, 1,008 and 2,064 runs
    (n1, t1), (n2, t2), (n3, t3) = measured
    loop, process = plain(grid(86)), fresh()
    print(f"with {agents} agents; starting them is in it, starting Ray is not")
    lines = [line(f"overhead of each of {n:,} runs, against an empty Python process", t / n * 1000, process * 1000,
                  process / (t / n), "ms") for n, t in measured]
    lines.append(line(f"overhead of each of {n3:,} runs, against a plain loop", t3 / n3 * 1000, loop * 1000,
                      loop / (t3 / n3), "ms"))
    growth = (t3 - t2) / (n3 - n2) / ((t2 - t1) / (n2 - n1))
    print(f"each further run from {n2:,} to {n3:,} costs {growth:.2f} of one from {n1:,} to {n2:,} (flat: 1)")
    report("overhead", lines, growth=growth, agents=agents)
