"""Summary and ranking of 10³ to 10⁶ runs against the article's own pandas code: seconds, growth, peak memory. And 10⁵
run files of a sweep, read and resumed.

    python bench/rankings.py
"""
import json
import logging
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from measure import alternate, compared, line, report

from best_vision_models.fine_tune import row_before
from best_vision_models.models import find_model
from best_vision_models.run_sweep import run_sweep
from best_vision_models.runs import read_runs
from best_vision_models.scores import rank, read_summary, summarise
from best_vision_models.settings import read_config
from best_vision_models.sweep_files import read_sweep
from best_vision_models.sweeps import sweep_configs

SIZES = [10**3, 10**4, 10**5, 10**6]
FIGURES = ["GPU_mem", "error_rate", "valid_loss", "train_loss", "fit_time"] # of the published CSV


def make_table(n_runs: int) -> pd.DataFrame:
    "Runs in the form of the published CSV, of the published models, with random figures."
    rng = np.random.default_rng(n_runs)
    models = read_summary("fastai_timm").model_name.unique()
    texts = {"dataset": rng.choice(["pets", "planet"], n_runs), "model_name": rng.choice(models, n_runs)}
    return pd.DataFrame(texts | {name: rng.random(n_runs) for name in FIGURES})


def article(runs: pd.DataFrame) -> list[pd.DataFrame]:
    "What the article's notebook does with its table: a family for each run, a pivot table, the score, sorted."
    runs = runs.copy()
    runs["family"] = runs.model_name.str.extract(r"^([a-z]+?(?:v2)?)(?:\d|_|$)", expand=False)
    runs.loc[runs.family == "swinv2", "family"] = "swin"
    index = ["dataset", "family", "model_name"]
    best = runs.pivot_table(values=["error_rate", "fit_time", "GPU_mem"], index=index, aggfunc="min")
    best = best.reset_index()
    best["score"] = best.error_rate * (best.fit_time + 80)
    return [best[best.dataset == name].sort_values("score").reset_index(drop=True) for name in ("pets", "planet")]


def ours(runs: pd.DataFrame) -> pd.DataFrame: return rank(summarise(runs))


def same(runs: pd.DataFrame) -> bool:
    "Whether both sides give the same models in the same order with the same scores."
    theirs = pd.concat(article(runs))
    mine = ours(runs)
    return list(theirs.model_name) == list(mine.model_name) and bool(np.allclose(theirs.score, mine.score))


def peak(side: str, n_runs: int) -> float: # times the table's own size
    "Peak memory above that of a process that only holds the table, measured in a process of its own."
    done = subprocess.run([sys.executable, __file__, side, str(n_runs)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure_peak(side: str, n_runs: int):
    "Prints the table's size plus what the calculation needed on top at its highest, in tables. Linux only."
    runs = make_table(n_runs)
    {"ours": ours, "article": article}[side](runs.head(1000)) # imports and first calls are not the table's
    Path("/proc/self/clear_refs").write_text("5") # the kernel's mark of the highest use starts anew
    before = memory("VmRSS")
    {"ours": ours, "article": article}[side](runs)
    size = runs.memory_usage(deep=True).sum()
    print((size + memory("VmHWM") - before) / size)


def memory(name: str) -> int: # bytes
    text = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) * 1024 for row in text.splitlines() if row.startswith(name))


def folder_lines(folder: Path) -> list[dict]:
    """The runs of a sweep of 10⁵, a file each: read, by pandas too; read again, their table being kept beside them; and
    the sweep resumed, which does nothing more."""
    spec = {"method": "grid", "parameters": {
        "dataset": {"value": "digits"}, "seed": {"values": list(range(1000))},
        "learning_rate": {"values": [n / 1000 for n in range(1, 101)]}}}
    known = row_before(config := read_config(dataset="digits"), find_model(config.model_name))
    for key, own in sweep_configs(read_sweep(spec)).items():
        row = known | {"error_rate": 0.1, "fit_time": 9.0} | own | {"run_id": key, "config": own}
        (folder / f"{key}.json").write_text(json.dumps(row) + "\n")

    def plainly(): return pd.DataFrame([json.loads(file.read_text()) for file in folder.glob("*.json")])
    def first():
        (folder / ".runs.parquet").unlink(missing_ok=True)
        return read_runs(folder)
    each = alternate(5, json=plainly, first=first, again=lambda: read_runs(folder))
    first_time = {"json": each["json"], "ours": each["first"]}
    resumed = alternate(5, ours=lambda: run_sweep(spec, folder))["ours"]
    return [compared("100,000 run files, read for the first time; ours checked, too", first_time),
            goal_line("100,000 run files, read again", each["again"], 2),
            goal_line("a sweep of 100,000 runs, done, resumed", resumed, 5)]


def goal_line(measure: str, seconds: list[float], goal: float) -> dict:
    median = statistics.median(seconds)
    return line(f"{measure}; the peer is the goal", median, goal, goal / median, "s", 1, seconds=seconds)


def main():
    lines, seconds = [], []
    for n_runs in SIZES:
        runs = make_table(n_runs)
        assert same(runs)
        each = alternate(5, article=partial(article, runs), ours=partial(ours, runs))
        seconds.append({"runs": n_runs, **{side: statistics.median(taken) for side, taken in each.items()}})
        lines.append(compared(f"summary and ranking of {n_runs:,} runs", each, 2 if n_runs == 10**6 else None))
    sizes = np.log([one["runs"] for one in seconds])
    exponent = {side: float(np.polyfit(sizes, np.log([one[side] for one in seconds]), 1)[0])
                for side in ("article", "ours")}
    print(f"growth exponent over these sizes: ours {exponent['ours']:.2f}, article's {exponent['article']:.2f} "
          "(target: at most 1.1)")
    memory = {side: peak(side, 10**6) for side in ("article", "ours")}
    print(f"peak memory, times the table, 10^6 runs: ours {memory['ours']:.2f}, article's {memory['article']:.2f} "
          "(target: at most 3)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        make_table(10**6).to_csv(path, index=False)
        each = alternate(5, pandas=lambda: article(pd.read_csv(path)), ours=lambda: ours(read_runs(path)),
                         plain=lambda: pd.read_csv(path))
    plain = statistics.median(each.pop("plain"))
    lines.append(compared("the same from a CSV of 1,000,000 runs, read; ours checked, too", each, 3, plain_read=plain))
    with tempfile.TemporaryDirectory() as folder: lines += folder_lines(Path(folder))
    report("rankings", lines, seconds=seconds, exponent=exponent, peak_memory=memory)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    measure_peak(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else main()
