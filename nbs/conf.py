"How sphinx turns the notebooks, as stored, into the site: `make site`."
import json
import re
from html import escape
from pathlib import Path

from plotly.offline import get_plotlyjs

project = "best-vision-models"
author = "The best-vision-models founders"
extensions = ["myst_nb"]
exclude_patterns = ["_build", ".ipynb_checkpoints", "images"]
root_doc = "index"
html_theme = "sphinx_book_theme"
html_title = "Best vision models"
html_theme_options = {"show_toc_level": 2}
html_js_files = [("plotly.min.js", {"priority": 100})]
html_sourcelink_suffix = ""
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_output_stderr = "remove"
suppress_warnings = ["mystnb.unknown_mime_type"]

PLOTLY = "application/vnd.plotly.v1+json"


def figure_html(figure: dict, name: str) -> str:
    "A stored Plotly figure as a page element; the script itself is loaded once per page."
    title = escape(figure["layout"].get("title", {}).get("text", "figure"))
    data = json.dumps(figure).replace("</", "<\\/")
    return (f'<div id="{name}" class="figure" role="img" tabindex="0" aria-label="{title}" '
            f'style="min-height: {figure["layout"].get("height", 450)}px"></div>'
            f'<script>(f => Plotly.newPlot("{name}", f.data, f.layout, {{responsive: true}}))({data})</script>')


def prepare_cell(cell: dict, number: int, chapter: bool) -> dict | None:
    "A cell as a reader should see it: no export marks, interactive figures; in a chapter, code that shows nothing is folded."
    source = "".join(cell["source"])
    if re.match(r"#\| ?(hide|default_exp)", source): return None
    cell["source"] = re.sub(r"(?m)^#\|.*\n?", "", source)
    for i, output in enumerate(cell.get("outputs", [])):
        data = output.get("data", {})
        if PLOTLY in data:
            output["data"] = {"text/html": figure_html(data[PLOTLY], f"figure-{number}-{i}")}
        if "text/markdown" in data or "text/html" in data:
            data.pop("text/plain", None)
    shown = [kind for output in cell.get("outputs", []) for kind in output.get("data", {})]
    if cell["cell_type"] == "code" and chapter and (not shown or "text/markdown" in shown):
        cell["metadata"]["tags"] = ["hide-input"]
    return cell


def prepare_notebook(app, docname, source):
    "Sphinx hands over each document's text before it is parsed."
    if not Path(app.env.doc2path(docname)).suffix == ".ipynb": return
    notebook = json.loads(source[0])
    chapter = not docname.startswith("0")
    cells = [prepare_cell(cell, n, chapter) for n, cell in enumerate(notebook["cells"])]
    notebook["cells"] = [cell for cell in cells if cell is not None]
    if docname == root_doc:
        pages = sorted(Path(app.srcdir).glob("[0-9]*.ipynb"), key=lambda page: (page.stem < "10", page.stem))
        toc = "".join(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{names}\n```\n" for caption, names in [
            ("Chapters", "\n".join(page.stem for page in pages if page.stem >= "10")),
            ("The library", "\n".join(page.stem for page in pages if page.stem < "10"))])
        notebook["cells"].append({"cell_type": "markdown", "metadata": {}, "source": toc, "id": "toc"})
    source[0] = json.dumps(notebook)


def write_plotly(app):
    "Plotly's script, once for the whole site, from the installed package."
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    (static / "plotly.min.js").write_text(get_plotlyjs())


def setup(app):
    app.connect("builder-inited", write_plotly)
    app.connect("source-read", prepare_notebook)
