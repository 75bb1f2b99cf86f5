"""`precision: auto` against fp32: seconds of training, and whether the error changes by more than from run to run.

    python bench/precision.py [REPEATS]

The same repeats, seeds 1, 2, …, in both precisions, taken in turn, in one warm process. On a CPU without bf16, and
there alone, `auto` is fp32, and nothing is measured.
"""
import contextlib
import statistics
import sys

from measure import line, report
from scipy.stats import ttest_rel

from best_vision_models.fine_tune import fine_tune
from best_vision_models.probe import find_precision
from best_vision_models.settings import read_config

CASES = [("digits", "resnet10t", 32), ("digit_pairs", "resnet10t", 48)]


def run(dataset: str, model_name: str, img_size: int, precision: str, repeat: int) -> dict:
    config = read_config(dataset=dataset, model_name=model_name, pretrained=False, resize_method="squish",
                         img_size=img_size, epochs=1, learning_rate=0.008, repeat=repeat, precision=precision)
    with contextlib.redirect_stdout(sys.stderr): return fine_tune(config)


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if find_precision() == "fp32": return print("precision: not measured, this machine has no bf16, and auto is fp32")
    lines = []
    for case in CASES:
        run(*case, "fp32", 1) # the image cache, and all that is slower for the first time
        rows = {"auto": [], "fp32": []}
        for repeat in range(1, repeats + 1):
            for precision, done in rows.items(): done.append(run(*case, precision, repeat))
        errors = {precision: [row["error_rate"] for row in done] for precision, done in rows.items()}
        seconds = {precision: statistics.median(row["fit_time"] for row in done) for precision, done in rows.items()}
        difference = [a - b for a, b in zip(errors["auto"], errors["fp32"], strict=True)]
        lines.append(line(
            f"{case[1]} on {case[0]} at {case[2]} px, {rows['auto'][0]['precision']}", seconds["auto"],
            seconds["fp32"], seconds["fp32"] / seconds["auto"], "s", errors=errors,
            mean_difference=statistics.mean(difference), spread=statistics.stdev(errors["fp32"]),
            p=float(ttest_rel(errors["auto"], errors["fp32"]).pvalue)))
        print(f"  error: auto {statistics.mean(errors['auto']):.4f}, fp32 {statistics.mean(errors['fp32']):.4f}, "
              f"spread of fp32's repeats {lines[-1]['spread']:.4f}, p of a difference {lines[-1]['p']:.2f}", flush=True)
    report("precision", lines)


if __name__ == "__main__": main()
