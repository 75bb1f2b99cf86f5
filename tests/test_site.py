"The rendered book."
import re
import subprocess
import sys

from conftest import ROOT


def test_site_builds_without_warnings_or_outside_links(tmp_path):
    done = subprocess.run([sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ROOT / "nbs", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {page.stem: page.read_text() for page in tmp_path.glob("*.html")}
    assert {path.stem for path in (ROOT / "nbs").glob("*.ipynb")} <= set(pages)
    for name, page in pages.items():
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?://', page), name
    assert pages["11_pets"].count("Plotly.newPlot") == 3 and "#| " not in pages["11_pets"]
    assert (tmp_path / "_static" / "plotly.min.js").stat().st_size > 10**6
