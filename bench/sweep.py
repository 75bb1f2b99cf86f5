"""The same runs as the article's script does them and by `bvm sweep run`: runs per hour, and where the time goes.

12 runs on digits, 4 on Planet; then, ours alone, 48 and 8, and the share of all workers' time that is data, training
or validation, from the start of the command to its end:

    python bench/sweep.py [digits] [planet] [--alone]

`--alone` measures only the latter, and leaves the rest of the result as it was, with the CPU it is of.

The article's side: `bench/article.py`, a fresh process for each run, one after another, as a `wandb agent` starts them
on a machine with one GPU; all cores are that process's. Our side: what `bvm sweep run` does with its defaults, in a
process of its own, as many workers as there are cores; starting it, Ray and the workers is in its time, and so is
making the image cache. W&B is offline on the article's side, and off on ours, where a run's numbers go to a JSON file;
the ratio without W&B is given, too. Our precision is `auto`: on a CPU with bf16 that is bf16 for resnet18, and fp32, as
the article's, for mobilenetv3.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from joblib import cpu_count
from measure import find_images, line, report

from best_vision_models.images import images_path
from best_vision_models.runs import read_run_files
from best_vision_models.sweep_files import read_sweep
from best_vision_models.sweeps import sweep_configs

SWEEPS = {
    "digits": {"model_name": "mobilenetv3_small_050", "img_size": 64}, # as small as real models get
    "planet": {"model_name": "resnet18", "img_size": 224},
}
# Runs beside the article's script; ours alone, and how often. On Planet a run takes a minute or more.
RUNS = {"digits": (12, 48, 5), "planet": (4, 8, 1)}


def make_sweep(dataset: str, n_runs: int) -> dict:
    "A grid of two poolings and half as many learning rates as runs."
    fixed = {"dataset": dataset, "pretrained": False, "resize_method": "squish", "batch_size": 32, "epochs": 1,
             "seed": 42, **SWEEPS[dataset]}
    rates = np.geomspace(0.001, 0.008, n_runs // 2).round(5).tolist()
    parameters = {name: {"value": value} for name, value in fixed.items()}
    parameters |= {"pool": {"values": ["concat", "avg"]}, "learning_rate": {"values": rates}}
    return {"method": "grid", "name": f"bench_{dataset}", "parameters": parameters}


def run_article(dataset: str, folder: Path) -> tuple[float, pd.DataFrame]:
    "A fresh process per run: the seconds for all, and the seconds per stage of each."
    rows, began = [], time.perf_counter()
    for number, config in enumerate(sweep_configs(read_sweep(make_sweep(dataset, RUNS[dataset][0]))).values()):
        options = {**{k: v for k, v in config.items() if k != "pretrained"}, "path": images_path(dataset)}
        out = folder / f"{number}.json"
        flags = [f"--{name}={value}" for name, value in options.items()]
        started = time.perf_counter()
        script = Path(__file__).parent / "article.py"
        subprocess.run([sys.executable, script, out, *flags], check=True, capture_output=True)
        took, result = time.perf_counter() - started, json.loads(out.read_text())
        stages = result["stages"]
        rows.append({**stages, "other": took - sum(stages.values()), "error_rate": result["error_rate"]})
    return time.perf_counter() - began, pd.DataFrame(rows)


def run_ours(dataset: str, folder: Path, n_runs: int) -> tuple[float, pd.DataFrame]: # as `run_article`
    "What `bvm sweep run` does, in a process and with an image cache of its own."
    (folder / "sweep.yaml").write_text(yaml.safe_dump(make_sweep(dataset, n_runs)))
    began = time.perf_counter()
    command = [sys.executable, Path(__file__).with_name("timed_sweep.py"), folder / "sweep.yaml", folder / "runs"]
    env = {**os.environ, "BVM_CACHE": str(folder / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    rows = read_run_files(folder / "runs")
    return took, pd.DataFrame([{**row["stages"], "error_rate": row["error_rate"]} for row in rows])


def used_line(dataset: str) -> dict:
    "What of a longer sweep's time its workers work; of several turns, that with the median share."
    _, n_runs, times = RUNS[dataset]
    turns = []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder: took, runs = run_ours(dataset, Path(folder), n_runs)
        used, all_workers = float(runs[["data", "training", "validation"]].sum().sum()), cpu_count() * took
        turns.append((used / all_workers, used, all_workers, runs.fillna(0).sum().drop("error_rate").to_dict()))
        print(f"  {dataset}: {used / all_workers:.1%} of {all_workers:.0f} s", flush=True)
    turns.sort(key=lambda turn: turn[0])
    share, used, all_workers, stages = turns[times // 2]
    return line(f"{dataset}, {n_runs} runs: data, training and validation, of all workers' time", used, all_workers,
                share, "s", 0.9, stages=stages, ratios=[turn[0] for turn in turns])


def main():
    args = argparse.ArgumentParser(description="The article's script and ours: runs per hour")
    args.add_argument("datasets", nargs="*")
    args.add_argument("--alone", action="store_true")
    args = args.parse_args()
    lines, stages = [], {}
    there = find_images()
    datasets = args.datasets or [name for name in ("digits", "planet") if name in there]
    if args.alone: return report("sweep", [used_line(dataset) for dataset in datasets], keep=True)
    for dataset in datasets:
        images_path(dataset)
        with ExitStack() as stack:
            folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
            ours, our_runs = run_ours(dataset, folders[0], RUNS[dataset][0])
            theirs, their_runs = run_article(dataset, folders[1])
        n_runs, untracked = len(their_runs), theirs - their_runs.tracking.sum()
        our_rate, rate, untracked_rate = (n_runs / seconds * 3600 for seconds in (ours, theirs, untracked))
        name = f"{dataset} at {SWEEPS[dataset]['img_size']} px, {n_runs} runs of {SWEEPS[dataset]['model_name']}"
        lines += [line(name, our_rate, rate, theirs / ours, "runs/h"),
                  line(f"{name}, W&B's time not counted", our_rate, untracked_rate, untracked / ours, "runs/h")]
        lines.append(used_line(dataset))
        sides = {"article": (theirs, their_runs), "ours": (ours, our_runs)}
        stages[dataset] = {side: {"seconds": took, **runs.fillna(0).to_dict("list")}
                           for side, (took, runs) in sides.items()}
    report("sweep", lines, stages=stages)


if __name__ == "__main__": main()
