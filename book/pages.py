"From a stored notebook to a page: what a reader should see of it."
import ast
import json
import os
import re
from html import escape
from pathlib import Path

import yaml

from book.contents import exported_module, notebooks, read_cells, sidebar, with_links
from book.explorer import explorer_page
from book.figures import PLOTLY, figure_html
from book.fill import without_expressions
from book.reference import LIBRARY, ROOT, api_reference

FRONT_PAGE = "index"
CHANGE_ME = "# change me"


def statements(source: str) -> list[str]: # each with the comments above it
    lines, found, end = source.splitlines(), [], 0
    for statement in ast.parse(source).body:
        found.append("\n".join(lines[end:statement.end_lineno]).strip("\n"))
        end = statement.end_lineno
    return found


def settings_apart(cells: list[dict]) -> list[dict]:
    "A chapter's cells; its first code cell, which imports, sets and reads, in two: the settings, then the rest."
    n = next((n for n, cell in enumerate(cells) if cell["cell_type"] == "code"), None)
    if n is None: return cells
    found = statements("".join(cells[n]["source"]))
    apart = [[text for text in found if (CHANGE_ME in text) == wanted] for wanted in (True, False)]
    split = [{**cells[n], "id": f"first-{k}", "source": "\n".join(texts), "metadata": {}, "outputs": []}
             for k, texts in enumerate(apart) if texts]
    split[-1]["outputs"] = cells[n]["outputs"]
    return cells[:n] + split + cells[n + 1:]


def page_outputs(outputs: list[dict], picture: Path) -> list[dict]: # `picture`: the file's name without its end
    "A cell's outputs: figures with their pictures; the best form of what comes in several."
    for i, output in enumerate(outputs):
        data = output.get("data", {})
        if PLOTLY in data:
            file = picture.with_name(f"{picture.name}-{i}.webp")
            output["data"] = {"text/html": figure_html(data[PLOTLY], data.get("image/png"), file)}
        elif "text/markdown" in data or "text/html" in data:
            data.pop("text/plain", None)
    return outputs


def code_tags(cell: dict, page: str, chapter: bool) -> list[str]:
    "How a cell's code is shown: open or folded, and not at all on the front page."
    if page == FRONT_PAGE: return ["remove-input"]
    return ["hide-input"] if chapter and CHANGE_ME not in cell["source"] else ["hide-input", "open"]


def page_cell(cell: dict, page: str, chapter: bool, folder: Path, picture: Path) -> dict | None:
    "A cell without export marks, with figures and code that can be folded."
    source = "".join(cell["source"])
    if re.match(r"#\| ?(hide|default_exp)", source): return None
    if cell["cell_type"] != "code": return {**cell, "source": with_links(without_expressions(source), folder)}
    cell["source"] = re.sub(r"(?m)^#\|.*\n?", "", source)
    shown = [] if re.search(r"(?m)^#\| ?output: false", source) else cell["outputs"] # such as a progress bar
    cell["outputs"] = page_outputs(shown, picture)
    cell["metadata"]["tags"] = code_tags(cell, page, chapter)
    return cell


def markdown(source: str, name: str) -> dict: # a cell
    return {"cell_type": "markdown", "metadata": {}, "source": source, "id": name}


def trains(cells: list[dict], folder: Path) -> bool:
    "Whether a chapter uses a module of the part that trains; `sweep_files` and `cli` need as little as part 0x."
    training = {exported_module(read_cells(path)) for path in notebooks(folder) if path.name.startswith("1")}
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return bool(set(re.findall(rf"(?m)^ *from {LIBRARY}\.(\w+) import", code)) & (training - {"sweep_files", "cli"}))


def run_it(page: str, training: bool) -> dict:
    "What to type to run a chapter, from an empty folder and a plain environment."
    package, address = f"best-vision-models{'[train]' * training}", repository()
    if address: package += f" @ git+{address}" # what is there, also before it is in the registry
    if training or address: package = f'"{package}"'
    return markdown("## Run it\n\nIn a folder of your own, with the downloaded notebook; then change what you like.\n\n"
                    f"```\npip install {package} jupyter\njupyter lab {page}.ipynb\n```", "run-it")


def at_hand(page: str) -> dict: # below a chapter's title
    return markdown(f'<p class="at-hand"><a href="_sources/{page}.ipynb" download>Download notebook</a> '
                    '<a href="#run-it">Run it</a></p>', "at-hand")


def repository() -> str | None: # its address, where it is known: on the code host's own machines
    return "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}".format(**os.environ) if "GITHUB_REPOSITORY" in os.environ else None


def articles() -> list[str]: # the two analyses that the book stands on, as links
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"][:2]
    return [f'<a href="{one["url"]}">{one["title"]}</a>' for one in cited]


def where_it_is(page: str) -> dict:
    "The last lines of a page: which notebook it is, what it stands on, and where to ask."
    home = repository()
    at = f"{home}/blob/{os.environ['GITHUB_SHA']}/nbs" if home else "_sources"
    ask = f' <a href="{home}">The repository</a>; <a href="{home}/issues">ask there</a>.' if home else ""
    text = ('<p class="notebook">This page is the notebook '
            f'<a href="{at}/{page}.ipynb"><code>nbs/{page}.ipynb</code></a>. '
            f"The book stands on two analyses: {' and '.join(articles())}.{ask}</p>")
    return markdown(text, "where-it-is")


def notebook_page(text: str, page: str, folder: Path, images: Path) -> str: # `images`: where pictures are kept
    "A notebook as myst-nb should read it."
    notebook = json.loads(text)
    chapter = exported_module(notebook["cells"]) is None
    cells = settings_apart(notebook["cells"]) if chapter else notebook["cells"]
    cells = [page_cell(cell, page, chapter, folder, images / f"{page}-{n}") for n, cell in enumerate(cells)]
    shown = [cell for cell in cells if cell is not None]
    if page == FRONT_PAGE: shown.append(markdown(sidebar(folder), "toc"))
    elif chapter: shown = [shown[0], at_hand(page), *shown[1:], run_it(page, trains(notebook["cells"], folder))]
    notebook["cells"] = shown + [where_it_is(page)]
    return json.dumps(notebook)


def citation(text: str) -> str: return f"{text}\n```yaml\n{(ROOT / 'CITATION.cff').read_text()}```\n"


def read_page(app, page, source):
    "Sphinx hands over each document's text before it is parsed."
    folder, images = Path(app.srcdir), Path(app.outdir) / "_images"
    if Path(app.env.doc2path(page)).suffix == ".ipynb": source[0] = notebook_page(source[0], page, folder, images)
    else: source[0] = with_links(source[0], folder)
    if page == "api": source[0] = api_reference(source[0], folder)
    if page == "cite": source[0] = citation(source[0])
    if page == "explorer": source[0] = explorer_page(source[0])


def first_words(page: str, folder: Path) -> str:
    "The page's first paragraph, for search engines and previews."
    file = folder / f"{page}.ipynb"
    if not file.exists(): return ""
    texts = ["".join(cell["source"]) for cell in read_cells(file) if cell["cell_type"] == "markdown"]
    text = re.sub(r"(?m)^#.*$", "", without_expressions("\n\n".join(texts)))
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`>]", "", text.strip().partition("\n\n")[0]).split())[:300]


def preview(app, page, template, context, doctree):
    "What a link to the page shows elsewhere: title, first words, the front page's chart."
    title, words = context.get("title") or app.config.html_title, first_words(page, Path(app.srcdir))
    said = {"og:title": re.sub("<[^>]*>", "", title), "og:description": words or app.config.description,
            "og:type": "article", "og:site_name": app.config.html_title,
            "og:image": f"{app.config.html_baseurl}_static/preview.png"}
    tags = [f'<meta name="description" content="{escape(said["og:description"])}">',
            *(f'<meta property="{name}" content="{escape(value)}">' for name, value in said.items())]
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def add_scripts(app, page, template, context, doctree):
    "Open folds that should be open; the explorer's scripts on its page only."
    body = context.get("body", "")
    context["body"] = re.sub(r'(<div class="cell tag_hide-input tag_open[^>]*>\s*<details)', r"\1 open", body)
    if page != "explorer": return
    for script in ("explorer_tables.js", "explorer.js"): app.add_js_file(script, loading_method="defer", priority=900)
