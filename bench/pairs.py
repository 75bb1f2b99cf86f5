"Trainings in pairs: the same repeats with two values of one setting, taken in turn, in one warm process."
import contextlib
import statistics
import sys

from measure import line
from scipy.stats import ttest_rel

from best_vision_models.fine_tune import fine_tune
from best_vision_models.settings import read_config


def paired(measure: str, setting: str, ours: str, peer: str, repeats: int, **config) -> dict: # a line
    "Median seconds of training with each value, and whether the errors differ by more than from run to run."
    rows = {ours: [], peer: []}
    for repeat in range(1, repeats + 1):
        for value, done in rows.items():
            with contextlib.redirect_stdout(sys.stderr):
                done.append(fine_tune(read_config(**config, repeat=repeat, **{setting: value})))
    seconds = {value: statistics.median(row["fit_time"] for row in done) for value, done in rows.items()}
    errors = {value: [row["error_rate"] for row in done] for value, done in rows.items()}
    more = [a - b for a, b in zip(errors[ours], errors[peer], strict=True)]
    found = line(measure, seconds[ours], seconds[peer], seconds[peer] / seconds[ours], "s", errors=errors,
                 mean_difference=statistics.mean(more), spread=statistics.stdev(errors[peer]),
                 p=float(ttest_rel(errors[ours], errors[peer]).pvalue), precision=rows[ours][0]["precision"])
    print(f"  error: {ours} {statistics.mean(errors[ours]):.4f}, {peer} {statistics.mean(errors[peer]):.4f}, spread of "
          f"{peer}'s repeats {found['spread']:.4f}, p of a difference {found['p']:.2f}", flush=True)
    return found
