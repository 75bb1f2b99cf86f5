"""Time to an answer on one half of an image set; the other half judges. Seconds, and the error of what was taken.

    python bench/answer.py DATASET … [--images N] [--repeats 3] [--minutes 2] [--folder FOLDER]

- *The sweep*: three weights, two learning rates, two poolings and some repeats; the setting with the lowest error on
  the images held back is taken, and its repeats' mean error counts. Each run is a process of its own with all cores,
  one after another, in fp32, and decodes its images in every epoch, as the article's script does. It is
  `bvm fine-tune` with the script's four fastai lines, because the script can't read weights from a package; no W&B.
- *The four lines once*: the sweep's first run. *A probe*: of the same weights, `bvm fine-tune` with its defaults.
- *`bvm recommend`*, with the three weights and so many minutes, nothing kept from before. Its seconds are those that it
  states, without the start of its process (some seconds); all others count theirs.

A run that stands in FOLDER isn't done again, so the sweep can be stopped and gone on with. DATASET is as for
`bvm fine-tune`; of N images, chosen by chance, if it has more. What a call doesn't measure stays in the result as it
was, with the CPU it is of.
"""
import argparse
import itertools
import json
import os
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


def write_some(dataset: str, n_images: int, path: Path) -> str: # a data set
    "So many of its images as a CSV; itself where it has no more."
    images = understand_images(dataset)
    if len(images.table) <= n_images: return dataset
    path.parent.mkdir(parents=True, exist_ok=True)
    some = replace(images, table=images.table.sample(n_images, random_state=42))
    write_csv(some, np.ones(n_images, bool), (some.table.part == "valid").to_numpy(), path)
    return str(path)


def measure(dataset: str, folder: Path, n_images: int | None, repeats: int, minutes: list[float]) -> list[dict]:
    "A line for each other way to an answer, against the sweep."
    name = Path(dataset).stem
    half = folder / name / "half0"
    if not half.exists():
        write_halves(write_some(dataset, n_images, folder / name / "some.csv") if n_images else dataset, folder / name)
    ways = {}
    for limit in minutes:
        out = half / f"{limit:g}_minutes"
        if not (out / "answer.json").exists():
            bvm("recommend", half / "yours.csv", "--minutes", limit, "--out", out, "--models", ",".join(WEIGHTS))
        answer = read_answer(half, limit)
        ways[f"recommend, {limit:g} minutes"] = answer["seconds"], float(answer["later"])
    probe = fine_tuned(half, model_name=WEIGHTS[0], **RECIPES["probe"])
    runs = pd.DataFrame([
        fine_tuned(half, model_name=weights, learning_rate=rate, pool=pool, repeat=repeat, **AS_THE_SCRIPT)
        for repeat, weights, rate, pool in itertools.product(range(1, repeats + 1), WEIGHTS, RATES, POOLS)])
    by_setting = runs.groupby(["model_name", "learning_rate", "pool"])[["held_back", "later"]].mean()
    taken, seconds = by_setting.loc[by_setting.held_back.idxmin()], runs.seconds.sum()
    ways |= {"a probe of one model": (probe["seconds"], probe["later"]),
             "the four lines once": (runs.seconds[0], runs.later[0])}
    judged = int(answer["images"])
    one_error = (taken.later * (1 - taken.later) / judged) ** 0.5 # a standard error; of several labels at most
    return [line(f"{name}: {way}", took, seconds, seconds / took, "s", dataset=name, error=error,
                 sweep_error=float(taken.later), sweep_least=float(by_setting.later.min()), standard_error=one_error,
                 sweep_runs=len(runs), judged_by=judged)
            for way, (took, error) in ways.items()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    photos = find_images()[:-1]
    parser.add_argument("datasets", nargs="*", default=photos)
    parser.add_argument("--images", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--minutes", type=float, nargs="+", default=[2])
    parser.add_argument("--folder", type=Path, help="keeps the runs; a temporary one if not given")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(name, args.folder or Path(folder), args.images, args.repeats, args.minutes)
                 for name in args.datasets]
    report("answer", [one for lines in found for one in lines], keep=True)


if __name__ == "__main__": main()
