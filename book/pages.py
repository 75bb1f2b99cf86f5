"From a stored notebook to a page: what a reader should see of it."
import ast
import json
import os
import re
from pathlib import Path

from book.contents import exported_module, sidebar
from book.explorer import explorer_page
from book.figures import PLOTLY, figure_html, picture_html
from book.fill import without_expressions
from book.reference import ROOT, api_reference

FRONT_PAGE = "index"
CHANGE_ME = "# change me"


def settings_in(source: str) -> str:
    "What a reader may change in a chapter's first code cell: its statements with a `# change me`."
    lines, found, end = source.splitlines(), [], 0
    for statement in ast.parse(source).body:
        text = "\n".join(lines[end:statement.end_lineno]).strip("\n")
        if CHANGE_ME in text: found.append(text)
        end = statement.end_lineno
    return "\n".join(found)


def only_settings(cells: list[dict]) -> list[dict]:
    "A chapter's cells; of its first code cell, which imports and reads, the settings only."
    first = next((cell for cell in cells if cell["cell_type"] == "code"), None)
    if first is None: return cells
    settings = settings_in("".join(first["source"]))
    shown = {**first, "source": settings, "outputs": []}
    return [shown if cell is first else cell for cell in cells if settings or cell is not first]


def page_outputs(outputs: list[dict], number: int, as_picture: bool) -> list[dict]:
    "A cell's outputs: interactive figures, or their pictures; the best form of what comes in several."
    for i, output in enumerate(outputs):
        data = output.get("data", {})
        if PLOTLY in data:
            picture = as_picture and "image/png" in data
            output["data"] = {"text/html": picture_html(data[PLOTLY], data["image/png"]) if picture
                              else figure_html(data[PLOTLY], f"figure-{number}-{i}")}
        elif "text/markdown" in data or "text/html" in data:
            data.pop("text/plain", None)
    return outputs


def code_tags(cell: dict, page: str, chapter: bool) -> list[str]:
    "How a cell's code is shown: open or folded, and not at all on the front page."
    if page == FRONT_PAGE: return ["remove-input"]
    shown = {kind for output in cell["outputs"] for kind in output.get("data", {})}
    beside_the_point = chapter and CHANGE_ME not in cell["source"] and (not shown or "text/markdown" in shown)
    return ["hide-input"] if beside_the_point else ["hide-input", "open"]


def page_cell(cell: dict, number: int, page: str, chapter: bool) -> dict | None:
    "A cell without export marks, with interactive figures and code that can be folded."
    source = "".join(cell["source"])
    if re.match(r"#\| ?(hide|default_exp)", source): return None
    if cell["cell_type"] != "code": return {**cell, "source": without_expressions(source)}
    cell["source"] = re.sub(r"(?m)^#\|.*\n?", "", source)
    cell["outputs"] = page_outputs(cell["outputs"], number, page == FRONT_PAGE)
    cell["metadata"]["tags"] = code_tags(cell, page, chapter)
    return cell


def where_it_is(page: str) -> dict:
    "The last lines of a page: which notebook it is, and how to open it."
    online = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/blob/{GITHUB_SHA}/nbs"
    at = online.format(**os.environ) if "GITHUB_REPOSITORY" in os.environ else "_sources"
    text = ('<p class="notebook">This page is the notebook '
            f'<a href="{at}/{page}.ipynb"><code>nbs/{page}.ipynb</code></a>. '
            f"Open it with <code>.venv/bin/jupyter lab nbs/{page}.ipynb</code>, change what you like, and run it.</p>")
    return {"cell_type": "markdown", "metadata": {}, "source": text, "id": "where-it-is"}


def notebook_page(text: str, page: str, folder: Path) -> str:
    "A notebook as myst-nb should read it."
    notebook = json.loads(text)
    chapter = exported_module(notebook["cells"]) is None
    cells = only_settings(notebook["cells"]) if chapter else notebook["cells"]
    cells = [page_cell(cell, n, page, chapter) for n, cell in enumerate(cells)]
    notebook["cells"] = [cell for cell in cells if cell is not None] + [where_it_is(page)]
    if page == FRONT_PAGE:
        notebook["cells"].append({"cell_type": "markdown", "metadata": {}, "source": sidebar(folder), "id": "toc"})
    return json.dumps(notebook)


def citation(text: str) -> str: return f"{text}\n```yaml\n{(ROOT / 'CITATION.cff').read_text()}```\n"


def read_page(app, page, source):
    "Sphinx hands over each document's text before it is parsed."
    folder = Path(app.srcdir)
    if Path(app.env.doc2path(page)).suffix == ".ipynb": source[0] = notebook_page(source[0], page, folder)
    if page == "api": source[0] = api_reference(source[0], folder)
    if page == "cite": source[0] = citation(source[0])
    if page == "explorer": source[0] = explorer_page(source[0])


def add_scripts(app, page, template, context, doctree):
    "Open folds that should be open; scripts only where the page needs them."
    body = context.get("body", "")
    context["body"] = re.sub(r'(<div class="cell tag_hide-input tag_open[^>]*>\s*<details)', r"\1 open", body)
    if 'type="application/json"' not in body and page != "explorer": return
    for script in ["plotly.min.js", "book.js"] + (["explorer_tables.js", "explorer.js"] if page == "explorer" else []):
        app.add_js_file(script, loading_method="defer", priority=900)
