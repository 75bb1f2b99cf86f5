"The rendered book, read as a reader does: from its folder, in a real browser."
import ast
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from html import unescape
from itertools import product
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pandas as pd
import pytest
from browser import find_browser
from conftest import ROOT
from PIL import Image
from playwright.sync_api import Error, sync_playwright

from best_vision_models.models import family
from best_vision_models.runs import read_runs
from best_vision_models.scores import pareto_front, rank, summarise
from best_vision_models.sources import data_dir, read_table
from book.contents import NAMED, exported_module, notebooks, read_cells

pytestmark = pytest.mark.xdist_group("site")  # one process renders it and has the browser
PAGES = sorted(path.stem for path in (ROOT / "nbs").glob("*.ipynb")) + [
    "explorer", "sweep_files", "api", "cite", "search"]
CHAPTERS = [path.stem for path in notebooks(ROOT / "nbs") if not exported_module(read_cells(path))]
TRAINING = ["41_your_dataset"]  # chapters that need [train]
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def browser():
    "Without one the tests that need it are skipped and say why; in CI they fail."
    if not (path := find_browser()):
        reason = "no Chrome or Chromium (make test says how to get one): the rendered pages are not tested"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=300_000)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(once):
    "The folder that `make site` makes."
    def make(out):
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-d", f"{out}_doctrees", ROOT / "nbs", out]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr

    return once("site", make)


@pytest.fixture(scope="session")
def context(browser):
    context = browser.new_context(viewport=WIDE)
    context.set_default_timeout(60_000)  # on a machine that does much else
    yield context
    context.close()


@pytest.fixture
def page(context, site):
    "A tab in which nothing may go wrong: no error in the console, no request that leaves the folder, no pop-up."
    page, wrong = context.new_page(), []
    page.requested = []
    page.on("console", lambda message: message.type == "error" and wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: page.requested.append(request.url))
    page.visit = lambda name, address="": page.goto((site / f"{name}.html").as_uri() + address)
    yield page
    outside = [url for url in page.requested if not url.startswith((site.as_uri(), "data:", "blob:"))]
    page.close()
    assert not wrong and not outside, (wrong, outside)


def stored_figures(name: str) -> list[dict]:
    "The Plotly figures in a notebook, in order."
    file = ROOT / "nbs" / f"{name}.ipynb"
    if not file.exists(): return []
    cells = nbformat.read(file, as_version=4).cells
    data = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return [found["application/vnd.plotly.v1+json"] for found in data if "application/vnd.plotly.v1+json" in found]


def stored_marks(figure: dict) -> int:
    "How many dots and bars a stored figure has to show."
    def values(stored):
        if isinstance(stored, dict): return np.frombuffer(b64decode(stored["bdata"]), np.dtype(stored["dtype"]))
        return np.asarray(stored, dtype=object)

    marks = 0
    for trace in figure["data"]:
        dots = trace["type"] == "scatter" and "markers" in trace.get("mode", "markers")
        if trace.get("visible", True) is not True or not (dots or trace["type"] == "bar"): continue
        marks += int((~pd.isna(values(trace["x"])) & ~pd.isna(values(trace["y"]))).sum())
    return marks


def drawn_marks(page, number: int) -> int:
    "A figure is a picture until someone points at it."
    figure = page.locator("figure.figure").nth(number)
    figure.locator("[role=group]").hover()
    page.wait_for_function("n => document.querySelectorAll('figure.figure')[n].matches('.drawn')", arg=number)
    return figure.locator(".scatterlayer .point, .barlayer .point").count()


def unseen_pictures(page) -> list[str]:
    "Pictures that are not there once the reader comes to them, or without size."
    return page.evaluate("""async () => {
        const unseen = [];
        for (const image of document.querySelectorAll("figure.figure img")) { // one after another: they load in view
            image.scrollIntoView({behavior: "instant"});
            await Promise.race([image.decode().catch(() => null), new Promise(late => setTimeout(late, 60000))]);
            if (!image.naturalWidth || image.clientWidth <= 200) unseen.push(image.src);
        }
        return unseen;
    }""")


def overflow(page) -> list[str]:
    "What reaches beyond the window and can't be scrolled to in its own box."
    return page.evaluate("""() => {
        const scrolls = e => ["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX);
        const held = e => e && (scrolls(e) || held(e.parentElement));
        const beyond = [...document.querySelectorAll(".bd-article *")]
            .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !held(e.parentElement));
        const whole = document.documentElement.scrollWidth > innerWidth ? ["the whole page"] : [];
        return whole.concat(beyond.map(e => e.outerHTML.slice(0, 100)));
    }""")


def broken_numbers(page) -> list[str]:
    "Numbers and names with a digit that a table's cell breaks over two lines; after a hyphen it may."
    return page.evaluate("""() => {
        const texts = document.createNodeIterator(document.body, NodeFilter.SHOW_TEXT);
        const range = new Range(), broken = [], lines = () => [...range.getClientRects()].map(at => Math.round(at.top));
        for (let text; text = texts.nextNode();) {
            const within = text.parentElement;
            if (!within.closest(".bd-article :is(td, th)") || !within.checkVisibility()) continue;
            for (const word of text.data.matchAll(/[\\w.,%+−]*\\d[\\w.,%+−]*/g)) {
                range.setStart(text, word.index);
                range.setEnd(text, word.index + word[0].length);
                if (new Set(lines()).size > 1) broken.push(word[0]);
            }
        }
        return broken;
    }""")


def broken_links(page, site: Path) -> list[str]:
    "Links within the site to a file or place that isn't there."
    broken = []
    for link in page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)"):
        if not link.startswith("file:"): continue
        target, fragment = Path(unquote(urlsplit(link).path)), unquote(urlsplit(link).fragment)
        there = target.is_file() and site in target.parents
        if there and fragment: there = f'id="{fragment}"' in target.read_text()
        if not there: broken.append(link)
    return broken


def test_pages_are_there_and_small(site):
    pages = {page.stem: page.read_text() for page in site.glob("*.html")}
    assert set(PAGES) <= set(pages)
    for name, page in pages.items():
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page), name
        assert "#| " not in page and page.count("cdn.") == 0, name
    for name in CHAPTERS: assert "<details" in pages[name], name
    assert "0 running, 0 waiting" not in pages["41_your_dataset"]  # a run's progress is for the one who runs it
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 30 * 2**20
    assert (site / "_sources" / "21_pets.ipynb").read_bytes() == (ROOT / "nbs" / "21_pets.ipynb").read_bytes()
    assert "<details open class=" in pages["21_pets"] and "cff-version" in pages["cite"]
    for name in ("scores.rank", "run_sweep.run_sweep", "agents.Agents.stop"):
        assert f'id="best_vision_models.{name}"' in pages["api"]


@pytest.mark.parametrize("name", CHAPTERS)
def test_settings_are_shown(site, name):
    "Each line that a reader may change is there, in code that is open."
    cells = [cell for cell in read_cells(ROOT / "nbs" / f"{name}.ipynb") if cell["cell_type"] == "code"]
    settings = [line for cell in cells for line in "".join(cell["source"]).splitlines() if "# change me" in line]
    shown = "\n".join(re.findall(r"<details open.*?</details>", (site / f"{name}.html").read_text(), re.DOTALL))
    shown = unescape(re.sub("<[^>]*>", "", shown)).splitlines()
    assert [line for line in settings if line not in shown] == []
    assert "set_renderer()" not in shown


def test_named_chapters_are_links(site):
    "What a text calls chapter 31 or notebook 05 can be clicked."
    for name in PAGES:
        page = (site / f"{name}.html").read_text().partition("<article")[2].partition("</article>")[0]
        text = re.sub(r"<(a|pre|code|h\d|figure|table)\b.*?</\1>", "", page, flags=re.DOTALL)
        assert NAMED.findall(text) == [], name
    pets = (site / "21_pets.html").read_text()
    assert re.search(r'<a [^>]*href="42_ensembles.html">.*?chapter 42', pets, re.IGNORECASE)


def test_all_code_is_shown_and_copied(page, context):
    page.visit("21_pets")
    folds = page.locator(".bd-article .cell details.hide")
    open_now = "folds => folds.map(fold => fold.open)"
    first = folds.evaluate_all(open_now)
    assert True in first and False in first
    page.click("text=Show all code")
    assert all(folds.evaluate_all(open_now))
    page.click("text=Show all code")
    assert folds.evaluate_all(open_now) == first
    code = page.locator(".bd-article div.highlight:visible", has_text="# change me").first
    code.hover()
    code.locator("button.copy").click()
    page.wait_for_selector("button:text-matches('copied|selected')")
    assert "# change me" in code.inner_text()


ONE_OF_EACH_KIND = ["index", "04_scores", "21_pets", "explorer", "api", "search"]


@pytest.mark.parametrize("name", [
    name if name in ONE_OF_EACH_KIND else pytest.param(name, marks=pytest.mark.slow) for name in PAGES])
def test_page(name, page, site):
    page.set_viewport_size(WIDE)
    page.visit(name)
    assert page.title() and broken_links(page, site) == [] and unseen_pictures(page) == []
    for n, figure in enumerate(stored_figures(name)):
        assert drawn_marks(page, n) == stored_marks(figure), figure["layout"]["title"]
    for image in page.query_selector_all("figure.figure > [role=group]"):
        assert image.get_attribute("tabindex") == "0"
        image.scroll_into_view_if_needed()  # the explorer draws only what is in view
        page.wait_for_function("image => image.ariaLabel", arg=image)
        assert re.search(r"\d+ (marks|models)", image.get_attribute("aria-label"))
    for size, colours in product((WIDE, PHONE), ("light", "dark")):
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=colours)
        for _ in range(600):  # a busy machine draws the figures anew when it comes to it
            if not (beyond := overflow(page)): break
            page.wait_for_timeout(100)
        assert beyond == [] and broken_numbers(page) == []


@pytest.mark.parametrize("name", ["index", "21_pets", "explorer"])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_no_serious_accessibility_fault(name, colours, page):
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=colours)
    page.visit(name)
    if name != "explorer": drawn_marks(page, 0)
    faults = [fault for fault in Axe().run(page, options={"preload": False}).response["violations"]
              if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], node["html"][:150]) for fault in faults for node in fault["nodes"]] == []


def test_print(page):
    "Pictures in place of charts, nothing that scrolls, no controls, dark ink."
    page.emulate_media(color_scheme="dark")
    page.visit("21_pets")
    drawn_marks(page, 0)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    page.set_viewport_size({"width": 700, "height": 1000})  # a page of A4
    assert page.locator("figure.figure img").first.is_visible()
    assert page.locator(".js-plotly-plot:visible, button:visible, summary:visible").count() == 0
    assert page.evaluate("""[...document.querySelectorAll('.bd-article *')].filter(element =>
        ['auto', 'scroll'].includes(getComputedStyle(element).overflowX)
        && element.scrollWidth > element.clientWidth + 1).map(element => element.outerHTML.slice(0, 200))""") == []
    ink = page.evaluate("getComputedStyle(document.querySelector('.bd-article p')).color")
    assert sum(map(int, re.findall(r"\d+", ink)[:3])) < 300


@pytest.mark.parametrize("name", CHAPTERS)
def test_first_view_is_light(name, page):
    "Plotly comes when a figure is pointed at, once."
    page.visit(name)
    files = [Path(unquote(urlsplit(url).path)) for url in page.requested if url.startswith("file:")]
    sizes = [len(gzip.compress(file.read_bytes())) for file in files]
    assert "plotly.min.js" not in [file.name for file in files] and sum(sizes) < 600_000


def test_plotly_comes_once(page):
    page.visit("21_pets")
    for number in (0, 1): drawn_marks(page, number)
    assert [Path(url).name for url in page.requested].count("plotly.min.js") == 1


def test_figure_is_drawn_from_the_keyboard(page):
    page.visit("21_pets")
    page.locator("figure.figure > [role=group]").first.focus()
    page.wait_for_selector("figure.drawn .main-svg")


def test_pictures_need_no_script(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "21_pets.html").as_uri())
    assert page.locator("figure.figure img").first.is_visible()
    context.close()


def test_search_finds(page):
    page.visit("index")
    page.keyboard.press("Control+k")
    page.keyboard.type("hyperband")
    page.keyboard.press("Enter")
    page.wait_for_selector("ul.search li a:has-text('Sweep files')")  # hits come one by one
    assert "sweep files" in page.inner_text("ul.search").lower()


def test_dark_mode(page):
    page.visit("21_pets")
    background = "getComputedStyle(document.querySelector('main')).getPropertyValue('--pst-color-background')"
    light = page.evaluate(background)
    page.click(".article-header-buttons .theme-switch-button")
    page.click(".article-header-buttons .theme-change-button[data-mode=dark]")
    assert page.evaluate(background) != light
    assert "invert" in page.evaluate("getComputedStyle(document.querySelector('figure.figure [role=group]')).filter")
    page.evaluate("localStorage.clear()")


def test_front_page_is_the_readme(site):
    "The same answer, with the chart as a picture."
    index, readme = (site / "index.html").read_text(), (ROOT / "README.md").read_text()
    assert re.findall(r"<td>(.*?)</td>", index)[:60] == re.findall(r"<td>(.*?)</td>", readme)[:60]
    picture = re.search(r"!\[[^\]]*\]\((nbs/images/README[^)]+\.png)\)", readme)
    stored = re.search(r'<figure.*?<img src="([^"]+)"', index, re.DOTALL)
    images = [Image.open(file).convert("RGB").tobytes() for file in (ROOT / picture[1], site / stored[1])]
    assert images[0] == images[1]


@pytest.mark.parametrize("name", ["index", "21_pets"])
def test_a_link_to_the_page_has_a_preview(site, name):
    page = (site / f"{name}.html").read_text()
    said = dict(re.findall(r'<meta property="(og:\w+)" content="([^"]+)">', page))
    assert said["og:title"] and len(said["og:description"]) > 30 and said["og:image"].endswith("_static/preview.png")
    assert page.count('<meta name="description"') == 1 and page.count("<title>") == 1
    assert Image.open(site / "_static" / "preview.png").width > 1000 and 'rel="icon"' in page
    for article in ("the-best-vision-models-for-fine-tuning", "which-image-models-are-best"): assert article in page


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_says_how_to_run_it(site, name):
    page = (site / f"{name}.html").read_text()
    assert f'<a href="_sources/{name}.ipynb" download>Download notebook</a>' in page
    packages = re.search(r"pip install (\S+) jupyter\njupyter lab (\S+)\n", unescape(re.sub("<[^>]*>", "", page)))
    assert packages[2] == f"{name}.ipynb"
    assert ("[train]" in packages[1]) == (name in TRAINING)


ALONE = [name for name in CHAPTERS if name not in TRAINING]
PACKAGED = ["data/sources.toml", "data/published/*.csv", "data/summaries/*.csv", "data/summaries/*.npz",
            "sweeps/*.yaml", "bench/results/*.json"]  # as setup.py has it


@pytest.fixture(scope="session")
def plain(once):
    "A folder with the library as pip lays it; what is only in [train] can't be imported there."
    def make(out):
        library = out / "best_vision_models"
        shutil.copytree(ROOT / "best_vision_models", library)
        for file in (file for pattern in PACKAGED for file in ROOT.glob(pattern)):
            copy = library / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        missing = ("torch", "timm", "fastai", "ray", "wandb", "optuna", "sklearn", "fastprogress", "safetensors")
        (out / "sitecustomize.py").write_text(
            "import sys\nclass Missing:\n    def find_spec(self, name, *_):\n"
            f"        if name.partition('.')[0] in {missing}: raise ModuleNotFoundError(name, name=name)\n"
            "sys.meta_path.insert(0, Missing())\n")

    return once("plain", make)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALONE)
def test_chapter_runs_alone(site, plain, offline, tmp_path, name):
    "The downloaded notebook, in an empty folder, from a plain environment, without network."
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / f"{name}.ipynb").write_bytes((site / "_sources" / f"{name}.ipynb").read_bytes())
    command = [Path(sys.executable).with_name("jupyter"), "nbconvert", "--to", "notebook", "--execute", "--inplace",
               "--KernelManager.transport_encryption=auto", f"{name}.ipynb"]
    done = subprocess.run(command, cwd=alone, env=offline | {"PYTHONPATH": str(plain)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_citation_agrees_with_the_package():
    from configparser import ConfigParser

    settings = ConfigParser(delimiters=["="])
    settings.read(ROOT / "settings.ini")
    citation = (ROOT / "CITATION.cff").read_text()
    for cff, name in (("version", "version"), ("title", "lib_name"), ("license", "license"), ("  - name", "author")):
        assert f"{cff}: {settings['DEFAULT'][name]}\n" in citation


# The explorer

def shown(page) -> list[str]:
    "The 2022 names in the table, in order."
    return page.eval_on_selector_all("#explorer tbody tr", "rows => rows.map(row => row.dataset.model)")


def printed(table: str) -> list[str]:
    tables = read_table(data_dir() / "published" / "fine_tuning_tables.csv")
    return tables[tables.table == table].model_name.tolist()


def printed_models(dataset: str) -> list[str]:
    return read_table(data_dir() / FINAL).query("dataset == @dataset").model_name.tolist()


def column(page, heading: str) -> list[str]:
    headings = page.locator("#explorer thead tr > *").all_text_contents()
    return page.locator(f"#explorer tbody td:nth-child({headings.index(heading) + 1})").all_inner_texts()


def open_families(page): page.click("#explorer summary:has(#chosen)")


def test_explorer_shows_the_published_tables(page):
    page.visit("explorer", "#data=pets")
    page.fill("[name=offset]", "80")
    assert shown(page) == printed("pets_top15_by_score")
    page.select_option("[name=by]", "error_rate")
    page.fill("[name=memory]", "2.7")
    page.fill("[name=time]", "110")
    assert shown(page) == printed("pets_small_and_fast")
    page.select_option("[name=weights]", "2022")
    assert page.locator("#explorer tbody button").all_inner_texts() == printed("pets_small_and_fast")
    page.select_option("[name=data]", "planet")
    page.fill("[name=time]", "25")
    assert shown(page) == printed("planet_small_and_fast")


FIRST, FINAL = "summaries/fastai_timm.csv", "published/final_sweep.csv"
RANKINGS = [
    ("#data=pets_first&by=error_rate", FIRST, {"dataset": "pets", "by": "error_rate"}),
    ("#data=planet_first&offset=0&time=30", FIRST, {"dataset": "planet", "max_fit_time": 30, "fit_time_offset": 0}),
    ("#data=pets_first&by=cost&price=25", FIRST, {"dataset": "pets", "by": "cost", "seconds_per_point": 25}),
    ("#data=planet_first&by=GPU_mem&memory=2.5", FIRST, {"dataset": "planet", "by": "GPU_mem", "max_gpu_mem": 2.5}),
    ("#data=pets&by=fit_time&offset=500&memory=3", FINAL,
     {"dataset": "pets", "by": "fit_time", "max_gpu_mem": 3, "fit_time_offset": 500}),
]


def test_explorer_ranks_as_the_library_does(page):
    page.visit("explorer")
    for address, file, arguments in RANKINGS:
        table = read_table(data_dir() / file)
        ranked = rank(table.assign(family=family(table.model_name)), **arguments)
        page.visit("explorer", f"{address}&top=500")
        page.wait_for_function("n => document.querySelectorAll('#explorer tbody tr').length === n", arg=len(ranked))
        assert shown(page) == ranked.model_name.tolist()
        scores = column(page, "score")
        np.testing.assert_allclose(np.array(scores, float), ranked.score, atol=0.005)
        beside = ranked.model_name.isin(set(printed_models(arguments["dataset"]))).sum() if file == FIRST else 0
        page.wait_for_function("n => document.querySelectorAll('#chart .scatterlayer .point').length === n",
                               arg=int(len(ranked) + beside))


@pytest.mark.parametrize("part, when, source", [("infer", "today", "timm_2026"), ("train", "2022", "timm_2022")])
def test_explorer_has_the_benchmarks(page, sources, part, when, source):
    "The same rows as the library gives from the full source, and in the order of its accuracies."
    from best_vision_models.timm_benchmarks import comparable, read_benchmark

    sources("timm_2026"), sources("timm_2022")
    wanted = comparable(read_benchmark(part, source), part, read_benchmark("infer", "timm_2026"))
    wanted = wanted.dropna(subset="weights")
    page.visit("explorer", f"#data={part}&by=error_rate&weights={when}&top=500")
    rows = page.evaluate(f"rowsOf(TABLES.{part}_{when}.columns)")
    assert [row["model_name"] for row in rows] == wanted.model.tolist()
    np.testing.assert_allclose([row["error_rate"] for row in rows], 1 - wanted.top1 / 100, atol=1e-6)
    np.testing.assert_allclose([row["fit_time"] for row in rows], 1000 * wanted.secs, rtol=1e-5)
    assert page.is_disabled("[name=memory]")
    best = wanted.assign(model_name=wanted.model).set_index("model_name").loc[shown(page)[0]]
    assert np.max(best.top1) == wanted.top1.max()


def test_explorer_families_and_no_fit(page):
    page.visit("explorer")
    open_families(page)
    page.check("[name=family][value=vit]")
    page.check("[name=family][value=swin]")
    assert shown(page) and all(name.startswith(("vit", "swin")) for name in shown(page))
    page.fill("[name=time]", "1")
    assert shown(page) == [] and "No model fits" in page.inner_text("#about")


def test_explorer_back_and_shared_address(page, context):
    page.visit("explorer")
    first = shown(page)
    page.fill("[name=time]", "90")
    page.press("[name=time]", "Enter")
    page.select_option("[name=by]", "error_rate")
    second, address = shown(page), page.url
    assert second != first and "time=90" in address and "by=error_rate" in address
    page.go_back()
    page.wait_for_function("document.querySelector('[name=by]').value === 'score'")
    assert page.input_value("[name=time]") == "90"
    page.go_back()
    page.wait_for_function("document.querySelector('[name=time]').value === ''")
    assert shown(page) == first
    page.go_forward()
    page.go_forward()
    page.wait_for_function("document.querySelector('[name=by]').value === 'error_rate'")
    assert shown(page) == second
    other = context.new_page()
    other.goto(address)
    assert shown(other) == second and other.input_value("[name=time]") == "90"
    other.close()


def test_explorer_copies_the_fastai_line(page, context):
    try:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
    except Error:
        pass # then the line is shown to be copied by hand, which is tested all the same
    page.visit("explorer", "#data=planet")
    page.click("#explorer tbody tr:first-child button")
    page.wait_for_selector("#copied code")
    line = page.inner_text("#copied code")
    weights = "vit_small_patch16_224.augreg_in21k_ft_in1k"
    assert line == f'vision_learner(dls, "{weights}", metrics=accuracy_multi).to_fp16().fine_tune(5, 0.008)'
    if page.inner_text("#copied").startswith("Copied"): assert page.evaluate("navigator.clipboard.readText()") == line


@pytest.mark.slow
def test_explorer_names_weights_that_can_be_had(page):
    "Each line that can be copied is Python, names weights that timm has and passes what the library passes."
    from timm import is_model_pretrained

    from best_vision_models.models import find_model

    page.visit("explorer")
    lines = page.evaluate("Object.values(TABLES).flatMap(t => rowsOf(t.columns).map(row => fastaiLine(row, t)))")
    calls = [ast.parse(line).body[0].value.func.value.func.value for line in lines if not line.startswith("#")]
    by_weights = {call.args[1].value: call for call in calls}
    assert len(by_weights) > 500 and [name for name in by_weights if not is_model_pretrained(name)] == []
    for name, size in (("swin_s3_tiny_224.ms_in1k", 224), ("swinv2_tiny_window8_256.ms_in1k", 256),
                       ("swinv2_cr_tiny_ns_224.sw_in1k", 224), ("convnext_tiny.fb_in22k", 224)):
        passed = {one.arg: ast.literal_eval(one.value) for one in by_weights[name].keywords if one.arg != "metrics"}
        assert passed == find_model(name, size).arguments, name


def give(page, file: Path):
    page.click("#explorer summary:has-text('Your own runs')")
    page.set_input_files("#own", file)


def test_explorer_takes_your_runs(page, tmp_path):
    "Ranked as `bvm rank` would, with quotes, empty cells, failed runs and two data sets."
    rows = read_table(data_dir() / "published" / "final_sweep.csv")
    repeats = [rows.assign(fit_time=rows.fit_time + n, error_rate=rows.error_rate * (1 + n / 9)) for n in (2, 0, 1)]
    finished = pd.concat(repeats).assign(state="finished", note='said "so", twice')
    crashed = rows[:2].assign(state="crashed", error_rate=0.0)
    failed = rows[:1].assign(model_name="never_measured", error_rate=None, state="failed")
    runs = pd.concat([finished, crashed, failed])
    runs.to_csv(tmp_path / "mine.csv", index=False)
    page.visit("explorer")
    give(page, tmp_path / "mine.csv")
    page.wait_for_selector("#yours", state="attached")
    for dataset in ("pets", "planet"):
        page.select_option("[name=data]", f"own:{dataset}")
        assert shown(page) == rank(summarise(runs), dataset, top=15).model_name.tolist()
    assert not [url for url in page.requested if not url.startswith("file:")]


def test_explorer_without_times_ranks_by_error(page, tmp_path):
    (tmp_path / "few.csv").write_text("dataset,model_name,error_rate\nmine,b,0.2\nmine,a,0.1\nmine,c,\n")
    page.visit("explorer")
    give(page, tmp_path / "few.csv")
    page.wait_for_selector("#yours", state="attached")
    assert shown(page) == ["a", "b"]


def test_explorer_shows_html_as_text(page, tmp_path):
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script><a href='javascript:alert(3)'>x</a>"
    runs = pd.DataFrame({"dataset": [evil], "model_name": evil, "error_rate": 0.1, "fit_time": 1.0})
    runs.to_csv(tmp_path / "evil.csv", index=False)
    page.visit("explorer")
    give(page, tmp_path / "evil.csv")
    page.wait_for_selector("#yours", state="attached")
    assert page.inner_text("#explorer tbody button") == evil
    page.click("#explorer tbody button")
    page.hover("#chart .point", force=True)
    page.wait_for_selector("#chart .hoverlayer text")
    assert evil[:20] in page.text_content("#chart .hoverlayer")
    assert page.evaluate("document.querySelectorAll('#explorer :is(img, script, a[href^=javascript])').length") == 0


BAD_FILES = {
    "no columns": ("a,b\n1,2\n", "no column dataset, model_name, error_rate"),
    "empty": ("", "the file is empty"),
    "no rows": ("dataset,model_name,error_rate\n", "no rows"),
    "page": ("<!DOCTYPE html><p>", "a web page"),
    "text": ("dataset,model_name,error_rate\npets,a,low\n", "error_rate in row 1 after the header: low is not a"),
    "percent": ("dataset,model_name,error_rate\npets,a,4.5\n", "not a fraction"),
    "quote": ('dataset,model_name,error_rate\n"pets,a,0.1\n', "a quote"),
    "ragged": ("dataset,model_name,error_rate\npets,a\n", "row 1 after the header has 2 fields"),
    "failed": ("dataset,model_name,error_rate\npets,a,\n", "no run in it is finished"),
    "50 MB": ("dataset,model_name,error_rate\n" + "pets,resnet18,0.1\n" * (50 * 2**20 // 18 + 1), "it has 50 MB"),
}


def test_explorer_says_what_is_wrong_and_lives(page, tmp_path):
    page.visit("explorer", "#data=pets")
    page.click("#explorer summary:has-text('Your own runs')")
    for name, (text, says) in BAD_FILES.items():
        file = tmp_path / f"{name}.csv"
        file.write_text(text)
        page.set_input_files("#own", file)
        page.wait_for_selector(f"#problem:has-text('{name}.csv: ')")
        assert says in page.inner_text("#problem"), name
        page.fill("[name=time]", "110")
        page.fill("[name=memory]", "2.7")
        page.select_option("[name=by]", "error_rate")
        assert shown(page) == printed("pets_small_and_fast"), name
        page.select_option("[name=by]", "score")


def test_explorer_takes_a_dropped_file(page):
    page.visit("explorer")
    page.evaluate("""() => {
        const carried = new DataTransfer();
        carried.items.add(new File(["dataset,model_name,error_rate,fit_time\\nmine,resnet18,0.2,10\\n"], "mine.csv"));
        document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: carried}));
    }""")
    page.wait_for_selector("#yours", state="attached")
    assert shown(page) == ["resnet18"]
    page.reload() # the file is gone, and the address says what to do
    assert "drop yours" in page.inner_text("#problem") and len(shown(page)) == 15


def test_explorer_begins_with_all_models_and_the_printed_beside_them(page):
    page.visit("explorer")
    assert "86 models" in page.inner_text("#about")
    page.fill("[name=top]", "86")
    final = dict(zip(shown(page), column(page, "error, final sweep (%)"), strict=True))
    printed = read_table(data_dir() / FINAL).query("dataset == 'pets'").set_index("model_name").error_rate
    assert {name: float(error) for name, error in final.items() if error != "–"} == (100 * printed).round(2).to_dict()


def test_explorer_finds_by_name_and_sorts_by_heading(page):
    page.visit("explorer")
    page.fill("[name=name]", "ConvNeXt_tiny")
    assert shown(page) and all("convnext_tiny" in name for name in shown(page))
    page.fill("[name=name]", "")
    page.click("#explorer th button:has-text('time (s)')")
    times = [float(time) for time in column(page, "time (s)")]
    assert times == sorted(times) and page.get_attribute("#explorer th[aria-sort]", "aria-sort") == "ascending"
    page.click("#explorer th button:has-text('time (s)')")
    assert [float(time) for time in column(page, "time (s)")][0] > times[-1] and "down=1" in page.url
    page.click("#explorer th button:has-text('model')")
    assert shown(page) == sorted(shown(page))


def test_explorer_front_and_near_ties(page):
    table = read_table(data_dir() / FIRST).query("dataset == 'pets'")
    page.visit("explorer", "#by=error_rate&top=86")
    assert page.locator("#explorer tr.front").count() == len(pareto_front(table))
    best, answers = table.error_rate.min(), 1478
    spread = (table.error_rate * (1 - table.error_rate) + best * (1 - best)) / answers
    ties = (table.error_rate - best < 2 * spread ** 0.5).sum()
    assert len([error for error in column(page, "error (%)") if "≈" in error]) == ties - 1 > 0
    page.select_option("[name=front]", "only")
    assert set(shown(page)) == set(pareto_front(table).model_name)
    page.select_option("[name=front]", "off")
    assert page.locator("#explorer tr.front").count() == 0


def test_explorer_points_from_table_to_chart_and_back(page):
    page.visit("explorer")
    page.wait_for_selector("#chart .point", state="attached")
    page.hover("#explorer tbody tr:nth-child(2) .number")
    name = page.inner_text("#explorer tbody tr:nth-child(2) button")
    page.wait_for_selector(f"#chart .hoverlayer text:has-text('{name}')", state="attached")
    page.locator("#chart .point").first.hover(force=True)
    page.wait_for_selector("#explorer tr.lit", state="attached")


def test_explorer_saves_a_table_that_can_be_ranked(page, tmp_path):
    page.visit("explorer", "#data=planet")
    with page.expect_download() as saved: page.click("#csv")
    saved.value.save_as(tmp_path / "planet.csv")
    table = rank(summarise(read_runs(tmp_path / "planet.csv")), "planet", top=15)
    assert table.model_name.tolist() == shown(page) == printed("planet_top15_by_score")


def test_explorer_opens_what_recommend_wrote(page, tmp_path):
    "Each recipe's mean over its folds."
    out = tmp_path / "out"
    for n, (model, error) in enumerate([("resnet18", 0.1), ("resnet18", 0.3), ("convnext_tiny", 0.15)]):
        run = {"run_id": f"r{n}", "model_name": model, "weights": f"{model}.x", "dataset": f"fold{n}.csv", "steps": 40,
               "state": "finished", "error_rate": error, "fit_time": 9.0, "start": "probe", "learning_rate": 0.002}
        (out / "races" / "0a").mkdir(parents=True, exist_ok=True)
        (out / "races" / "0a" / f"r{n}.json").write_text(json.dumps(run))
    (out / "answer.json").write_text('{"dataset": "mine"}')
    page.visit("explorer")
    page.click("#explorer summary:has-text('Your own runs')")
    page.set_input_files("#folder", out)
    page.wait_for_selector("#yours", state="attached")
    assert shown(page) == ["convnext_tiny", "resnet18"] and column(page, "error (%)") == ["15.00", "20.00"]
    assert page.inner_text("#explorer tbody button >> nth=0") == "convnext_tiny.x, probe, 40 steps, rate 0.002"


def test_explorer_shows_its_score_and_names_imagenets_families(page):
    page.visit("explorer")
    assert page.eval_on_selector("#explorer .scroll", "box => box.scrollWidth <= box.clientWidth + 1")
    page.select_option("[name=data]", "infer")
    page.wait_for_function("document.querySelectorAll('#chart .legend .traces').length > 30")
    open_families(page)
    assert page.locator(".families .key").count() > 30
