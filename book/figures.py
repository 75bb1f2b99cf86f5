"Figures of a page: a picture, its text alternative and the numbers, with which book.js draws it where asked."
import io
import json
import re
from base64 import b64decode
from html import escape
from pathlib import Path

import numpy as np
import plotly.io as pio
from PIL import Image
from plotly.offline import get_plotlyjs

PLOTLY = "application/vnd.plotly.v1+json"
PLOTLY_WHITE = pio.templates["plotly_white"].to_plotly_json()


def numbers(values) -> np.ndarray: # one axis of a stored trace, as numbers where it is numbers
    if isinstance(values, dict): return np.frombuffer(b64decode(values["bdata"]), np.dtype(values["dtype"]))
    return np.asarray(values if values is not None else [])


def extent(traces: list[dict], axis: str) -> str:
    "From where to where the marks reach, or '' for an axis of words."
    found = [numbers(trace.get(axis)) for trace in traces]
    found = np.concatenate([values[np.isfinite(values)] for values in found if values.dtype.kind in "iuf"] or [[]])
    return f" from {found.min():.4g} to {found.max():.4g}" if len(found) else ""


def figure_title(figure: dict) -> str:
    return re.sub(r"<[^>]*>", " ", figure["layout"].get("title", {}).get("text") or "Figure").strip()


def figure_in_words(figure: dict) -> str:
    "What a reader who can't see the figure should know: what is drawn, on which axes, how many marks of what."
    layout, marks = figure["layout"], [trace for trace in figure["data"] if trace.get("mode") != "lines"]
    axes = [f"{'horizontally' if axis == 'x' else 'vertically'} {name}{extent(marks, axis)}"
            for axis in "xy" if (name := layout.get(f"{axis}axis", {}).get("title", {}).get("text"))]
    sizes = [max(numbers(trace.get("x")).size, numbers(trace.get("y")).size) for trace in marks]
    counts = [(trace.get("name") or trace["type"], size) for trace, size in zip(marks, sizes, strict=True)]
    named = ", ".join(f"{name} {count}" for name, count in counts)
    return ". ".join(part for part in (figure_title(figure), "; ".join(axes), f"{sum(sizes)} marks: {named}") if part)


def picture_html(png: str, file: Path) -> str:
    "The stored picture of a figure, in a file beside the page: as it is, in a third of the bytes."
    picture = Image.open(io.BytesIO(b64decode(png))).convert("RGB")
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file, lossless=True)
    if file.stem.startswith("index-"): picture.save(file.parent.parent / "_static" / "preview.png")
    return (f'<img src="{file.parent.name}/{file.name}" alt="" loading="lazy" '
            f'width="{picture.width}" height="{picture.height}">')


def figure_html(figure: dict, png: str | None, file: Path) -> str:
    "A stored Plotly figure as a page element; the title becomes text, the template that all share is left out."
    layout = {key: value for key, value in figure["layout"].items() if key != "title"}
    if layout.get("template") == PLOTLY_WHITE: del layout["template"]
    content = json.dumps({"data": figure["data"], "layout": layout}).replace("<", "\\u003c")
    return (f'<figure class="figure"><figcaption>{escape(figure_title(figure))}</figcaption>'
            f'<div role="group" tabindex="0" aria-label="{escape(figure_in_words(figure))}">'
            f'{picture_html(png, file) if png else ""}</div>'
            f'<script type="application/json">{content}</script></figure>')


def as_script(**constants) -> str:
    "A page that is read from a folder may not fetch, so data comes as a script."
    return "".join(f"window.{name} = {json.dumps(value)};\n" for name, value in constants.items())


def write_script(app):
    "Plotly's script, once for the whole site."
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    (static / "plotly.min.js").write_text(f"{get_plotlyjs()};\n{as_script(PLOTLY_WHITE=PLOTLY_WHITE)}")
