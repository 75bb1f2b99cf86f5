"""How fast the explorer re-ranks a table of your own, of 10,000 models; the target is 100 ms.

python bench/explorer.py [SITE] [MODELS]     SITE: the folder of a rendered book, `_site` unless given
peer: `scores.rank` of pandas on the same table
"""
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from measure import line, report

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browser import find_browser
from playwright.sync_api import sync_playwright

from best_vision_models.scores import rank, summarise

TIMES = 20
MEASURE = """([name, values]) => values.map(value => {
    form.elements.time.value = value;
    const began = performance.now();
    const parts = {all: () => form.dispatchEvent(new Event("input")), table: () => {
        const table = chosenTable(), chosen = choice(table);
        drawTable(rank(table.rows, chosen), table, chosen);
    }};
    parts[name]();
    return performance.now() - began;
})"""


def table(models: int) -> pd.DataFrame:
    "Made-up models with the spread of the real ones."
    draw = np.random.default_rng(0)
    families = np.array(["vit", "convnext", "resnet", "swin", "levit", "regnetx"])
    names = [f"{family}_{n}" for n, family in enumerate(draw.choice(families, models))]
    measured = {"error_rate": (0.03, 0.2), "fit_time": (50, 300), "GPU_mem": (1, 10)}
    numbers = {column: draw.uniform(*limits, models) for column, limits in measured.items()}
    return pd.DataFrame({"dataset": "mine", "model_name": names, **numbers})


if __name__ == "__main__":
    site = Path(sys.argv[1] if len(sys.argv) > 1 else "_site").resolve()
    models = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    budgets = np.linspace(100, 300, TIMES).tolist()
    runs = table(models)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        runs.to_csv(Path(folder) / "mine.csv", index=False)
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto((site / "explorer.html").as_uri())
        began = time.perf_counter()
        page.set_input_files("#own", Path(folder) / "mine.csv")
        page.wait_for_selector("#yours", state="attached")
        page.locator("#chart").scroll_into_view_if_needed()
        page.wait_for_selector("#chart .main-svg", state="attached")
        print(f"{models:,} models read, ranked and drawn: {time.perf_counter() - began:.2f} s")
        milliseconds = {name: np.median(page.evaluate(MEASURE, [name, budgets])) for name in ("table", "all")}
        browser.close()
    summary, pandas = summarise(runs), []
    for budget in budgets:
        began = time.perf_counter()
        rank(summary, "mine", max_fit_time=budget, top=15)
        pandas.append(1000 * (time.perf_counter() - began))
    table_ms, all_ms, pandas_ms = milliseconds["table"], milliseconds["all"], np.median(pandas)
    report("explorer", [
        line(f"rank {models:,} models and write the table, in the browser", table_ms, pandas_ms,
             pandas_ms / table_ms, "ms"),
        line("with the chart drawn", all_ms, pandas_ms, pandas_ms / all_ms, "ms"),
    ], models=models, limit_ms=100)
