"Intervals and probabilities hold what they promise, in simulated sweeps where the truth is set."
import numpy as np
import pandas as pd
import pytest

from best_vision_models.uncertainty import error_interval, probability_in_top


def simulate(true_error: np.ndarray, run_std: np.ndarray, n_runs: np.ndarray, rng) -> pd.DataFrame:
    "The summary of a sweep with normal errors of `run_std` around `true_error`."
    errors = true_error[:, None] + run_std[:, None] * rng.standard_normal((len(true_error), n_runs.max()))
    errors[np.arange(n_runs.max()) >= n_runs[:, None]] = np.nan
    return pd.DataFrame({
        "dataset": "pets", "model_name": [f"model{i}" for i in range(len(true_error))], "n_runs": n_runs,
        "error_rate": np.nanmin(errors, 1), "error_rate_mean": np.nanmean(errors, 1),
        "error_rate_std": np.nanstd(errors, 1, ddof=1)})


def binomial_std(error): return 0.02 * (error * (1 - error)) ** 0.5


@pytest.mark.slow
def test_intervals_cover():
    "90% intervals hold the truth 87 to 93% of the time in 1,000 sweeps, with few runs or many, that vary alike or not."
    rng, rows = np.random.default_rng(1), []
    for sweep in range(1000):
        true_error, n_runs, differently = rng.uniform(0.04, 0.15, 20), rng.choice([3, 6, 12], 20), sweep % 2 == 1
        varies = (4 / rng.chisquare(4, 20)) ** 0.5 if differently else np.ones(20)
        table = error_interval(simulate(true_error, binomial_std(true_error) * varies, n_runs, rng))
        inside = (table.error_rate_low <= true_error) & (true_error <= table.error_rate_high)
        rows += zip([differently] * 20, n_runs, inside)
    covered = pd.DataFrame(rows, columns=["differently", "n_runs", "inside"])
    covered = covered.groupby(["differently", "n_runs"]).inside.mean()
    assert len(covered) == 6 and covered.between(0.87, 0.93).all(), covered


def test_intervals_for_new_images_cover():
    "Each image has its own chance to be got wrong; all runs are judged by the same images, then by all there are."
    rng, covered, same_images = np.random.default_rng(3), [], []
    for _ in range(100):
        hard = rng.beta(0.15, 2.5, (400, 1))  # of 400 images; a population with mean 0.0566
        chance = np.broadcast_to(hard, (400, 20))
        errors = np.array([(rng.random((400, 20)) < chance).mean(axis=0) for _ in range(3)])
        table = error_interval(pd.DataFrame({
            "dataset": "pets", "model_name": [f"model{i}" for i in range(20)], "n_runs": 3,
            "error_rate": errors.min(axis=0), "error_rate_mean": errors.mean(axis=0),
            "error_rate_std": errors.std(axis=0, ddof=1)}), images=400)
        true_error = 0.15 / 2.65
        covered.append(((table.new_images_low <= true_error) & (true_error <= table.new_images_high)).mean())
        same_images.append(((table.error_rate_low <= true_error) & (true_error <= table.error_rate_high)).mean())
    assert 0.87 < np.mean(covered) < 0.99  # rather too wide than too narrow
    assert np.mean(same_images) < 0.8      # repeats alone say nothing about new images


def test_probability_of_the_top_five_is_calibrated():
    rng, tables = np.random.default_rng(4), []
    for sweep in range(250):
        true_error = 0.06 * np.exp(rng.normal(0, 0.15, 40))
        summary = simulate(true_error, binomial_std(true_error) * 1.25, rng.choice([3, 6, 12], 40), rng)
        in_top = np.argsort(np.argsort(true_error)) < 5
        tables.append(pd.DataFrame({"said": probability_in_top(summary, draws=500, seed=sweep), "happened": in_top}))
    table = pd.concat(tables)
    bins = table.groupby(pd.cut(table.said, [0, 0.05, 0.2, 0.4, 0.6, 0.8, 1], include_lowest=True),
                         observed=True).mean()
    assert len(bins) == 6 and (bins.said - bins.happened).abs().max() < 0.07, bins


def test_among_equal_models_nobody_is_best():
    rng, equal = np.random.default_rng(5), np.full(86, 0.06)
    summaries = [simulate(equal, binomial_std(equal), np.full(86, 3), rng) for _ in range(60)]
    highest = [probability_in_top(summary, draws=500).max() for summary in summaries]
    first = [probability_in_top(summary, top=1, draws=500).max() for summary in summaries]
    assert np.median(highest) < 0.3 and np.median(first) < 0.1
    assert np.mean(np.array(first) > 0.5) < 0.05
