"The explorer's page and its tables: from data/ alone, so that the site builds without a network."
import json
import re
from pathlib import Path

from best_vision_models.charts import family_colour
from best_vision_models.models import benchmark_family, family, weights_of
from best_vision_models.sources import data_dir, read_table
from best_vision_models.timm_benchmarks import choose_benchmark, comparable, each_checkpoint_once
from best_vision_models.uncertainty import PLANET_ANSWERS
from book.figures import as_script

FIRST, FINAL = "summaries/fastai_timm.csv", "published/final_sweep.csv"
SWEEPS = {
    "pets_first": ("pets", "Pets: first sweep of 2022, all models", FIRST),
    "planet_first": ("planet", "Planet: first sweep of 2022, all models", FIRST),
    "pets": ("pets", "Pets: final sweep of 2022, the models the article printed", FINAL),
    "planet": ("planet", "Planet: final sweep of 2022, the models the article printed", FINAL),
}
# How many independent answers an error is counted from: chapter 31.
ANSWERS = {"pets": 1478, "planet": PLANET_ANSWERS, "imagenet": 50_000}
RESULTS = {"today": "timm_2026", "2022": "timm_2022"}


def explorer_page(text: str) -> str:
    return f"{text}\n```{{raw}} html\n{Path(__file__).with_name('explorer.html').read_text()}\n```\n"


def as_lists(columns: dict) -> dict:
    return {name: json.loads(column.to_json(orient="values", double_precision=15)) for name, column in columns.items()}


def sweep_table(dataset: str, title: str, file: str) -> dict:
    table = read_table(data_dir() / file)
    table = table[table.dataset == dataset]
    columns = {"model_name": table.model_name, "weights": weights_of(table.model_name),
               "family": family(table.model_name), "error_rate": table.error_rate, "fit_time": table.fit_time,
               "GPU_mem": table.GPU_mem}
    if file == FIRST: # beside it what the final sweep says of the same models
        final = read_table(data_dir() / FINAL).query("dataset == @dataset").set_index("model_name")
        columns |= {f"final_{name}": table.model_name.map(final[name]) for name in ("error_rate", "fit_time")}
    return {"title": title, "several": dataset == "planet", "answers": ANSWERS[dataset], "columns": as_lists(columns)}


def benchmark_table(part: str, source: str):
    "timm's speeds and accuracies as they are shipped, each checkpoint once per image size."
    merged = read_table(data_dir() / "summaries" / f"{source}.{choose_benchmark(part, source)}")
    return each_checkpoint_once(merged.dropna(subset="result_model"))


def imagenet_table(part: str, source: str) -> dict:
    newer = benchmark_table("infer", "timm_2026")
    table = comparable(benchmark_table(part, source), part, newer).dropna(subset="weights")
    device = re.sub(r"[a-z]*(\d+)", r"RTX \1", choose_benchmark(part, source).removesuffix(".csv").rsplit("-", 1)[1])
    columns = {"model_name": table.model, "weights": table.weights, "family": benchmark_family(table.model),
               "error_rate": (100 - table.top1).round(3) / 100,
               "fit_time": (1000 * table.secs).map("{:.6g}".format).astype(float), # milliseconds
               "img_size": table[f"{part}_img_size"]}
    return {"device": device, "answers": ANSWERS["imagenet"], "columns": as_lists(columns)}


def explorer_tables() -> dict:
    tables = {name: sweep_table(*about) for name, about in SWEEPS.items()}
    for part in ("infer", "train"):
        for when, source in RESULTS.items(): tables[f"{part}_{when}"] = imagenet_table(part, source)
    return tables


def write_tables(app):
    "The explorer's tables, and one colour a family, as in the charts."
    static, tables = Path(app.outdir) / "_static", explorer_tables()
    colours = {name: family_colour(name) for table in tables.values() for name in table["columns"]["family"]}
    static.mkdir(parents=True, exist_ok=True)
    (static / "explorer_tables.js").write_text(as_script(TABLES=tables, COLOURS=colours))
