"The sweep that chapter 40 generates: fastai can fine-tune each of its models; the file is what the chapter shows."
import nbformat
import pytest
from conftest import ROOT

from best_vision_models.sweep_files import read_sweep
from book.fill import without_expressions

PARAMETERS = read_sweep(ROOT / "sweeps" / "today.yaml").parameters


@pytest.mark.parametrize("model_name", PARAMETERS["model_name"].values)
def test_fastai_can_fine_tune(model_name):
    "Named exactly, and built at the sweep's image size."
    from best_vision_models.models import find_model

    assert find_model(model_name, PARAMETERS["img_size"].value).weights == model_name


def test_the_file_is_what_the_chapter_generates():
    "The chapter compares; test_notebooks holds it to what it says here."
    notebook = nbformat.read(ROOT / "nbs" / "40_today.ipynb", as_version=4)
    texts = [without_expressions(cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
    assert any("`sweeps/today.yaml` is the same as this sweep" in text for text in texts)
