"Every value marked `# change me` can be another one: no cell breaks, and every sentence finds its numbers."
import re
from pathlib import Path

import nbformat
import pytest

from book.fill import run

ROOT = Path(__file__).parents[1]
CHANGES = { # chapter → setting → other sensible values
    "21_pets": {"OFFSET": ["0", "300"]},
}
ALL = [(chapter, name, value) for chapter, names in CHANGES.items() for name, values in names.items() for value in values]


@pytest.mark.slow
@pytest.mark.parametrize("chapter, name, value", ALL)
def test_another_value_breaks_nothing(chapter, name, value, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "no_chrome") # no pictures
    notebook = nbformat.read(ROOT / "nbs" / f"{chapter}.ipynb", as_version=4)
    changed = 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source, n = re.subn(rf"^{name} = .*?(?=  #|$)", f"{name} = {value}", cell.source, flags=re.MULTILINE)
            changed += n
    assert changed == 1
    run(notebook, ROOT / "nbs", BVM_MIRROR="", PYTHONPATH=str(ROOT))


def test_every_setting_is_tried():
    "What a reader is invited to change is changed above."
    for path in sorted((ROOT / "nbs").glob("[2-4]*.ipynb")):
        source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        asked = set(re.findall(r"^([A-Z_]+) = .*# change me", source, flags=re.MULTILINE))
        assert asked <= set(CHANGES.get(path.stem, {})) | TRAINS.get(path.stem, set()), path.stem
