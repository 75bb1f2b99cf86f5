"""Time to an answer on one half of an image set; the other half judges. Seconds, and the error of what was taken.

    python bench/answer.py DATASET … [--images N] [--repeats 3] [--turns 5] [--minutes 2] [--folder FOLDER]

- *The sweep*: three weights, two learning rates, two poolings and some repeats; the setting with the lowest error on
  the images held back is taken, and its repeats' mean error counts. Each run is a process of its own with all cores,
  one after another, in fp32, and decodes its images in every epoch, as the article's script does. It is
  `bvm fine-tune` with the script's four fastai lines, because the script can't read weights from a package; no W&B.
- *The four lines once*: the sweep's first setting, each repeat. *A probe*, so many turns: of the same weights,
  `bvm fine-tune` with its defaults.
- *`bvm recommend`*, as many turns, with the three weights and so many minutes, nothing kept from before. Its seconds
  are those that it states, without the start of its process (some seconds); all others count theirs.

A line has the median of a way's seconds, its ratio in each turn, and the mean of its errors, with each of them.

A run that stands in FOLDER isn't done again, so the sweep can be stopped and gone on with. DATASET is as for
`bvm fine-tune`; of N images, chosen by chance, if it has more. What a call doesn't measure stays in the result as it
was, with the CPU it is of.
"""
import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from measure import find_images, line, report

from best_vision_models.datasets import understand_images
from best_vision_models.judges import write_csv
from best_vision_models.regret import RECIPES, judge, read_answer, write_halves
from best_vision_models.runs import read_run_files

WEIGHTS = [f"tf_efficientnet_lite{size}.in1k" for size in (0, 1, 2)]
RATES, POOLS = [0.002, 0.008], ["concat", "avg"]
AS_THE_SCRIPT = {"epochs": 5, "precision": "fp32", "image_cache": "off"}
BVM = [sys.executable, "-c", "from best_vision_models.cli import main; raise SystemExit(main())"]


def bvm(*words) -> float: # seconds
    "Runs the command in a process of its own, with nothing in its cache."
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        done = subprocess.run([*BVM, *map(str, words)], capture_output=True, text=True,
                              env={**os.environ, "BVM_CACHE": cache})
        assert done.returncode == 0, done.stderr
        return time.perf_counter() - began


def fine_tuned(half: Path, **settings) -> dict: # `seconds`, `held_back`, `later`, and the settings
    "One run on the user's half; its file says how long it took, and how wrong it is on the other half."
    out = half / "alone" / "_".join(f"{value}" for value in settings.values())
    if not (out / "known.json").exists():
        options = [word for name, value in settings.items() for word in (f"--{name}", value)]
        seconds = bvm("fine-tune", "--dataset", half / "yours.csv", *options, "--save_model", True, "--out", out)
        (row,) = read_run_files(out)
        judged = judge(half, out / f"{row['run_id']}.model")
        (out / "known.json").write_text(json.dumps({
            **settings, "seconds": seconds, "held_back": row["error_rate"], "later": float(judged["later"])}))
    known = json.loads((out / "known.json").read_text())
    print("  ", *settings.values(), {name: round(known[name], 3) for name in ("seconds", "held_back", "later")},
          flush=True)
    return known


def recommended(half: Path, minutes: float, turn: int) -> dict: # `seconds`, `later`, and `images`: how many judge
    "One answer of `bvm recommend`."
    kept = half / f"recommend_{minutes:g}_{turn}.json"
    if not kept.exists():
        out = half / f"{minutes:g}_minutes"
        shutil.rmtree(out, ignore_errors=True)
        bvm("recommend", half / "yours.csv", "--minutes", minutes, "--out", out, "--models", ",".join(WEIGHTS))
        answer = read_answer(half, minutes)
        kept.write_text(json.dumps({name: float(answer[name]) for name in ("seconds", "later", "images")}))
    known = json.loads(kept.read_text())
    print("  ", f"recommend, {minutes:g} minutes", known, flush=True)
    return known


def write_some(dataset: str, n_images: int, path: Path) -> str: # a data set
    "So many of its images as a CSV; itself where it has no more."
    images = understand_images(dataset)
    if len(images.table) <= n_images: return dataset
    path.parent.mkdir(parents=True, exist_ok=True)
    some = replace(images, table=images.table.sample(n_images, random_state=42))
    write_csv(some, np.ones(n_images, bool), (some.table.part == "valid").to_numpy(), path)
    return str(path)


def measure(dataset: str, folder: Path, n_images: int | None, repeats: int, turns: int, minutes: list[float],
            ) -> list[dict]:
    "A line for each other way to an answer, against the sweep."
    name = Path(dataset).stem
    there = folder / f"{name}_{n_images or 'all'}"
    half = there / "half0"
    if not (half / "all.csv").exists():
        write_halves(write_some(dataset, n_images, there / "some.csv") if n_images else dataset, there)
    ways = {f"recommend, {limit:g} minutes": pd.DataFrame([
        recommended(half, limit, turn) for turn in range(1, turns + 1)]) for limit in minutes}
    judged = int(ways[f"recommend, {minutes[0]:g} minutes"].images[0])
    ways["a probe of one model"] = pd.DataFrame([
        fine_tuned(half, model_name=WEIGHTS[0], **RECIPES["probe"], repeat=turn) for turn in range(1, turns + 1)])
    runs = pd.DataFrame([
        fine_tuned(half, model_name=weights, learning_rate=rate, pool=pool, repeat=repeat, **AS_THE_SCRIPT)
        for repeat, weights, rate, pool in itertools.product(range(1, repeats + 1), WEIGHTS, RATES, POOLS)])
    setting = ["model_name", "learning_rate", "pool"]
    by_setting = runs.groupby(setting)[["held_back", "later"]].mean()
    taken, seconds = by_setting.loc[by_setting.held_back.idxmin()], runs.seconds.sum()
    ways["the four lines once"] = runs[(runs[setting] == runs[setting].iloc[0]).all(axis=1)]
    one_error = (taken.later * (1 - taken.later) / judged) ** 0.5 # a standard error; of several labels at most
    return [line(f"{name}: {way}", took.seconds.median(), seconds, seconds / took.seconds.median(), "s", dataset=name,
                 error=took.later.mean(), errors=took.later.tolist(), ratios=sorted(seconds / took.seconds),
                 sweep_error=float(taken.later), sweep_least=float(by_setting.later.min()), standard_error=one_error,
                 sweep_runs=len(runs), judged_by=judged)
            for way, took in ways.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    photos = find_images()[:-1]
    parser.add_argument("datasets", nargs="*", default=photos)
    parser.add_argument("--images", type=int)
    parser.add_argument("--repeats", type=int, default=3, help="of each setting of the sweep")
    parser.add_argument("--turns", type=int, default=5, help="of recommend, and of the probe")
    parser.add_argument("--minutes", type=float, nargs="+", default=[2])
    parser.add_argument("--folder", type=Path, help="keeps the runs; a temporary one if not given")
    args = parser.parse_args()
    if len({Path(name).stem for name in args.datasets}) < len(args.datasets): parser.error("two sets of one name")
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(name, args.folder or Path(folder), args.images, args.repeats, args.turns,
                         args.minutes)
                 for name in args.datasets]
    report("answer", [one for lines in found for one in lines], keep=True)


if __name__ == "__main__": main()
