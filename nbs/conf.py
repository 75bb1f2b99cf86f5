"How sphinx turns the notebooks, as stored, into the site: `make site`."
import ast
import io
import json
import os
import re
import tokenize
from base64 import b64decode
from configparser import ConfigParser
from html import escape
from pathlib import Path

import numpy as np
import plotly.io as pio
from plotly.offline import get_plotlyjs

from best_vision_models.charts import family_colour
from best_vision_models.scores import family
from best_vision_models.sources import data_dir, read_table
from best_vision_models.timm_benchmarks import benchmark_family, choose_benchmark, comparable, weights_of

ROOT = Path(__file__).parent.parent
SETTINGS = ConfigParser(delimiters=["="])
SETTINGS.read(ROOT / "settings.ini", encoding="utf-8")

project = SETTINGS["DEFAULT"]["lib_name"]
author = SETTINGS["DEFAULT"]["author"]
extensions = ["myst_nb"]
exclude_patterns = ["_build", ".ipynb_checkpoints", "images"]
root_doc = "index"
html_theme = "sphinx_book_theme"
html_title = "Best vision models"
html_context = {"default_mode": "auto"}
html_theme_options = {"show_toc_level": 2, "footer_content_items": [], "navbar_persistent": []}
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_sourcelink_suffix = ""
html_show_search_summary = False  # it is fetched, which a browser refuses to do from a folder
html_use_index = False
myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"
nb_code_prompt_show = "code"
nb_code_prompt_hide = "hide code"
add_module_names = False
suppress_warnings = ["mystnb.unknown_mime_type"]

PLOTLY = "application/vnd.plotly.v1+json"
PLOTLY_WHITE = pio.templates["plotly_white"].to_plotly_json()


# Figures: a caption, a text alternative and the numbers; book.js draws them with the one Plotly script.

def numbers(values) -> np.ndarray: # one axis of a stored trace, as numbers where it is numbers
    if isinstance(values, dict): return np.frombuffer(b64decode(values["bdata"]), np.dtype(values["dtype"]))
    return np.asarray(values if values is not None else [])


def extent(traces: list[dict], axis: str) -> str:
    "From where to where the marks reach, or '' for an axis of words."
    found = [numbers(trace.get(axis)) for trace in traces]
    found = np.concatenate([values[np.isfinite(values)] for values in found if values.dtype.kind in "iuf"] or [[]])
    return f" from {found.min():.4g} to {found.max():.4g}" if len(found) else ""


def figure_in_words(figure: dict) -> str:
    "What a reader who can't see the figure should know: what is drawn, on which axes, how many marks of what."
    layout, marks = figure["layout"], [trace for trace in figure["data"] if trace.get("mode") != "lines"]
    axes = [f"{'horizontally' if axis == 'x' else 'vertically'} {name}{extent(marks, axis)}"
            for axis in "xy" if (name := layout.get(f"{axis}axis", {}).get("title", {}).get("text"))]
    sizes = [max(numbers(trace.get("x")).size, numbers(trace.get("y")).size) for trace in marks]
    counts = [(trace.get("name") or trace["type"], size) for trace, size in zip(marks, sizes)]
    named = ", ".join(f"{name} {count}" for name, count in counts)
    return ". ".join(part for part in (figure_title(figure), "; ".join(axes), f"{sum(sizes)} marks: {named}") if part)


def figure_title(figure: dict) -> str:
    return re.sub(r"<[^>]*>", " ", figure["layout"].get("title", {}).get("text") or "Figure").strip()


def figure_html(figure: dict, name: str) -> str:
    "A stored Plotly figure as a page element; the title becomes text, the template that all share is left out."
    words = escape(figure_in_words(figure))
    layout = {key: value for key, value in figure["layout"].items() if key != "title"}
    if layout.get("template") == PLOTLY_WHITE: del layout["template"]
    content = json.dumps({"data": figure["data"], "layout": layout}).replace("<", "\\u003c")
    return (f'<figure class="figure"><figcaption>{escape(figure_title(figure))}</figcaption>'
            f'<div id="{name}" role="img" tabindex="0" aria-label="{words}" '
            f'style="min-height: {layout.get("height", 450)}px"><noscript>{words}</noscript></div>'
            f'<script type="application/json">{content}</script></figure>')


def picture_html(figure: dict, png: str) -> str:
    "The stored picture of a figure, for the front page, which needs no script."
    source = f'data:image/png;base64,{"".join(png.split())}'
    return f'<figure class="figure"><img src="{source}" alt="{escape(figure_in_words(figure))}"></figure>'


# Notebooks: what a reader should see of them.

def prepare_cell(cell: dict, number: int, page: str) -> dict | None:
    "A cell without export marks, with interactive figures; its code can be folded, and is where it shows nothing; not what is there to be changed."
    source = "".join(cell["source"])
    if re.match(r"#\| ?(hide|default_exp)", source): return None
    cell["source"] = re.sub(r"(?m)^#\|.*\n?", "", source)
    for i, output in enumerate(cell.get("outputs", [])):
        data = output.get("data", {})
        if PLOTLY in data:
            as_picture = page == root_doc and "image/png" in data
            output["data"] = {"text/html": picture_html(data[PLOTLY], data["image/png"]) if as_picture
                              else figure_html(data[PLOTLY], f"figure-{number}-{i}")}
        if "text/markdown" in data or "text/html" in data:
            data.pop("text/plain", None)
    if cell["cell_type"] != "code": return cell
    shown = [kind for output in cell["outputs"] for kind in output.get("data", {})]
    beside_the_point = not page.startswith("0") and not source.startswith("# change me") and (not shown or "text/markdown" in shown)
    cell["metadata"]["tags"] = ["hide-input"] if beside_the_point else ["hide-input", "open"]
    if page == root_doc: cell["metadata"]["tags"] = ["remove-input"]
    return cell


def set_up_cell(cells: list[dict], page: str) -> int | None:
    "A chapter's first code cell: its imports and settings, which a reader of the page doesn't need."
    return next((n for n, cell in enumerate(cells) if cell["cell_type"] == "code" and not page.startswith("0")), None)


def where_it_is(page: str) -> dict:
    "The last lines of a page: which notebook it is, and how to open it."
    online = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/blob/{GITHUB_SHA}/nbs"
    at = online.format(**os.environ) if "GITHUB_REPOSITORY" in os.environ else "_sources"
    text = ('<p class="notebook">This page is the notebook '
            f'<a href="{at}/{page}.ipynb"><code>nbs/{page}.ipynb</code></a>. '
            f"Open it with <code>.venv/bin/jupyter lab nbs/{page}.ipynb</code>, change what you like, and run it.</p>")
    return {"cell_type": "markdown", "metadata": {}, "source": text, "id": "where-it-is"}


def title(notebook: Path) -> str: # its first heading
    first, *_ = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return "".join(first["source"]).splitlines()[0].lstrip("# ")


def contents(folder: Path) -> dict:
    "The sidebar, in book order; a new chapter is found by its number, which stands before its title, since the text refers to it."
    pages = sorted(page.stem for page in folder.glob("[0-9]*.ipynb"))
    entries = {page: f"{page[:2]} {title(folder / f'{page}.ipynb')} <{page}>" for page in pages}
    parts = {"Ask": ["explorer", "sweep_files"], "Chapters": [entries[page] for page in pages if page >= "10"],
             "The library": [entries[page] for page in pages if page < "10"] + ["api"], "About": ["cite"]}
    tocs = ["\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```\n"])
            for caption, names in parts.items()]
    return {"cell_type": "markdown", "metadata": {}, "source": "".join(tocs), "id": "toc"}


def prepare_notebook(text: str, page: str, folder: Path) -> str:
    notebook = json.loads(text)
    hidden = set_up_cell(notebook["cells"], page)
    cells = [prepare_cell(cell, n, page) for n, cell in enumerate(notebook["cells"]) if n != hidden]
    notebook["cells"] = [cell for cell in cells if cell is not None] + [where_it_is(page)]
    if page == root_doc: notebook["cells"].append(contents(folder))
    return json.dumps(notebook)


# The API reference: names, docstrings and the comments beside the parameters, read from the source, not imported.

def comments(source: str) -> dict[int, str]: # line → what the comment at its end says
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def directive(kind: str, signature: str, node, fields: list[str]) -> str:
    opening = f"```{{py:{kind}}} {' '.join(signature.split())}"
    return "\n".join([opening, "", ast.get_docstring(node) or "", "", *fields, "```", ""])


def document_function(node: ast.FunctionDef, said: dict[int, str], owner: str = "") -> str:
    arguments = [part for part in ast.walk(node.args) if isinstance(part, ast.arg) and part.lineno > node.lineno]
    fields = [f":param {part.arg}: {said[part.end_lineno]}" for part in arguments if part.end_lineno in said]
    if node.returns and node.returns.end_lineno in said: fields.append(f":returns: {said[node.returns.end_lineno]}")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    signature = f"{owner}{node.name}({ast.unparse(node.args)}){returns}"
    return directive("method" if owner else "function", signature, node, fields)


def document_class(node: ast.ClassDef, said: dict[int, str]) -> str:
    fields = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            options = {keyword.arg: keyword.value for keyword in getattr(item.value, "keywords", [])}
            about = options["description"].value if "description" in options else said.get(item.end_lineno, "")
            fields.append(f":param {item.target.id}: {about}")
    methods = [document_function(item, said, f"{node.name}.") for item in node.body
               if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and ast.get_docstring(item)]
    return directive("class", node.name, node, fields) + "\n" + "\n".join(methods)


def document_module(page: str) -> str:
    "One section of the reference: everything a module exports that has a docstring."
    name = page.split("_", 1)[1]
    source = (ROOT / SETTINGS["DEFAULT"]["lib_path"] / f"{name}.py").read_text()
    tree, said = ast.parse(source), comments(source)
    first = next(node for node in tree.body if isinstance(node, ast.Assign))
    exported = ast.literal_eval(first.value)  # __all__
    parts = [f"## {name}", f"{ast.get_docstring(tree)}. Notebook: [](./{page}.ipynb).",
             f"```{{py:module}} {SETTINGS['DEFAULT']['lib_path']}.{name}\n```"]
    documented = [node for node in tree.body if getattr(node, "name", None) in exported and ast.get_docstring(node)]
    describe = {ast.ClassDef: document_class, ast.FunctionDef: document_function}
    return "\n\n".join(parts + [describe[type(node)](node, said) for node in documented])


def api_reference(text: str, folder: Path) -> str:
    return "\n\n".join([text, *(document_module(page.stem) for page in sorted(folder.glob("0*.ipynb")))])


def citation(text: str) -> str: return f"{text}\n```yaml\n{(ROOT / 'CITATION.cff').read_text()}```\n"


def read_page(app, page, source):
    "Sphinx hands over each document's text before it is parsed."
    folder = Path(app.srcdir)
    if Path(app.env.doc2path(page)).suffix == ".ipynb": source[0] = prepare_notebook(source[0], page, folder)
    if page == "api": source[0] = api_reference(source[0], folder)
    if page == "cite": source[0] = citation(source[0])


# The explorer's tables: from data/ alone, so that the site builds without a network.

SWEEPS = {
    "pets": ("pets", "Pets: final sweep of 2022, the models the article printed", "published/final_sweep.csv"),
    "planet": ("planet", "Planet: final sweep of 2022, the models the article printed", "published/final_sweep.csv"),
    "pets_first": ("pets", "Pets: first sweep of 2022, all models", "summaries/fastai_timm.csv"),
    "planet_first": ("planet", "Planet: first sweep of 2022, all models", "summaries/fastai_timm.csv"),
}
RESULTS = {"today": "timm_2026", "2022": "timm_2022"}


def sweep_table(dataset: str, title: str, file: str) -> dict:
    table = read_table(data_dir() / file)
    table = table[table.dataset == dataset]
    columns = {"model_name": table.model_name, "weights": weights_of(table.model_name),
               "family": family(table.model_name), "error_rate": table.error_rate, "fit_time": table.fit_time,
               "GPU_mem": table.GPU_mem}
    return {"title": title, "several": dataset == "planet", "columns": as_lists(columns)}


def benchmark_table(part: str, source: str):
    "timm's speeds and accuracies as they are shipped, each checkpoint once per image size."
    merged = read_table(data_dir() / "summaries" / f"{source}.{choose_benchmark(part, source)}")
    merged = merged.dropna(subset="result_model")
    order = (merged.model != merged.result_model).sort_values(kind="stable").index
    return merged.loc[order].drop_duplicates(["result_model", "img_size"]).sort_index()


def imagenet_table(part: str, source: str) -> dict:
    newer = benchmark_table("infer", "timm_2026")
    table = comparable(benchmark_table(part, source), part, newer).dropna(subset="weights")
    device = re.sub(r"[a-z]*(\d+)", r"RTX \1", choose_benchmark(part, source).removesuffix(".csv").rsplit("-", 1)[1])
    columns = {"model_name": table.model, "weights": table.weights, "family": benchmark_family(table.model),
               "error_rate": (100 - table.top1).round(3) / 100,
               "fit_time": (1000 * table.secs).map("{:.6g}".format).astype(float), # milliseconds
               "img_size": table[f"{part}_img_size"]}
    return {"device": device, "columns": as_lists(columns)}


def as_lists(columns: dict) -> dict:
    return {name: json.loads(column.to_json(orient="values", double_precision=15)) for name, column in columns.items()}


def explorer_tables() -> dict:
    tables = {name: sweep_table(*about) for name, about in SWEEPS.items()}
    for part in ("infer", "train"):
        for when, source in RESULTS.items(): tables[f"{part}_{when}"] = imagenet_table(part, source)
    return tables


def as_script(**constants) -> str:
    "A page that is read from a folder may not fetch, so data comes as a script."
    return "".join(f"window.{name} = {json.dumps(value)};\n" for name, value in constants.items())


def write_static(app):
    "Plotly's script and the explorer's tables, once for the whole site."
    static, tables = Path(app.outdir) / "_static", explorer_tables()
    colours = {name: family_colour(name) for table in tables.values() for name in table["columns"]["family"]}
    static.mkdir(parents=True, exist_ok=True)
    (static / "plotly.min.js").write_text(f"{get_plotlyjs()};\n{as_script(PLOTLY_WHITE=PLOTLY_WHITE)}")
    (static / "explorer_tables.js").write_text(as_script(TABLES=tables, COLOURS=colours))


def add_scripts(app, page, template, context, doctree):
    "Open folds that should be open; scripts only where the page needs them."
    body = context.get("body", "")
    context["body"] = re.sub(r'(<div class="cell tag_hide-input tag_open[^>]*>\s*<details)', r"\1 open", body)
    if 'type="application/json"' not in body and page != "explorer": return
    for script in ["plotly.min.js", "book.js"] + (["explorer_tables.js", "explorer.js"] if page == "explorer" else []):
        app.add_js_file(script, loading_method="defer", priority=900)


# What the theme brings and no reader needs.

ICON = re.compile(r'(?:"([a-z0-9-]+)"|([a-z0-9]+)):'  # name: [width, height, aliases, code, path or two]
                  r'\[\d+,\d+,\[[^\]]*\],"[0-9a-f]+",(?:"[^"]*"|\["[^"]*","[^"]*"\])\],?')


def slim(app, error):
    "Without source maps, and with those icons only that the pages use."
    if error: return
    static, pages = Path(app.outdir) / "_static", "".join(page.read_text() for page in Path(app.outdir).glob("*.html"))
    for file in static.rglob("*.map"): file.unlink()
    used = {*re.findall(r"\bfa-([a-z0-9-]+)", pages), "xmark"}
    icons = static / "scripts" / "fontawesome.js"
    icons.write_text(ICON.sub(lambda icon: icon[0] if (icon[1] or icon[2]) in used else "", icons.read_text()))


def setup(app):
    app.connect("builder-inited", write_static)
    app.connect("source-read", read_page)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", slim)
