"What the theme brings and no reader needs is taken out of the site."
import re
import shutil
from pathlib import Path

ICON = re.compile(r'(?:"([a-z0-9-]+)"|([a-z0-9]+)):'  # name: [width, height, aliases, code, path or two]
                  r'\[\d+,\d+,\[[^\]]*\],"[0-9a-f]+",(?:"[^"]*"|\["[^"]*","[^"]*"\])\],?')


def slim(app, error):
    "Remove source maps, other languages, and the icons that no page uses."
    if error: return
    static, pages = Path(app.outdir) / "_static", "".join(page.read_text() for page in Path(app.outdir).glob("*.html"))
    for file in static.rglob("*.map"): file.unlink()
    shutil.rmtree(static / "locales", ignore_errors=True)
    used = {*re.findall(r"\bfa-([a-z0-9-]+)", pages), "xmark"}
    icons = static / "scripts" / "fontawesome.js"
    icons.write_text(ICON.sub(lambda icon: icon[0] if (icon[1] or icon[2]) in used else "", icons.read_text()))
