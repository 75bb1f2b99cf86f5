"Trainings in pairs: the same repeats with two values of one setting, taken in turn, in one warm process."
import contextlib
import statistics
import sys

from measure import line
from scipy.stats import ttest_1samp, ttest_rel

from best_vision_models.fine_tune import fine_tune
from best_vision_models.settings import read_config

MARGIN = 0.02 # two errors that are nearer than that count as equal


def p_unequal(differences: list[float]) -> float:
    "Two one-sided t tests: how likely means like this one are if the true one is `MARGIN` away; small says equal."
    return max(float(ttest_1samp(differences, side, alternative=other).pvalue)
               for side, other in ((-MARGIN, "greater"), (MARGIN, "less")))


def paired(measure: str, setting: str, ours: str, peer: str, repeats: int, **config) -> dict: # a line
    "Median seconds of training with each value; whether the errors differ by more than from run to run, or are equal."
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
                 p=float(ttest_rel(errors[ours], errors[peer]).pvalue), margin=MARGIN, p_unequal=p_unequal(more),
                 precision=rows[ours][0]["precision"])
    print(f"  error: {ours} {statistics.mean(errors[ours]):.4f}, {peer} {statistics.mean(errors[peer]):.4f}, spread of "
          f"{peer}'s repeats {found['spread']:.4f}, p of a difference {found['p']:.2f}, of {MARGIN} or more "
          f"{found['p_unequal']:.3f}", flush=True)
    return found
