"Every value marked `# change me` can be another one: no cell breaks, and every sentence finds its numbers."
import re
from pathlib import Path

import nbformat
import pytest

from book.fill import run

ROOT = Path(__file__).parents[1]
OFFSETS = ["0", "20", "300", "1000"]
FAMILIES = ['["swin", "regnety"]', '["mobilevit", "efficientnet", "resnetrs"]']
LEVELS = ["0.5", "0.8", "0.99"]
CHANGES = { # chapter → setting → other sensible values
    "20_imagenet": {"FILE": ['dict(source="timm_2022", torch="pt112", layout="nchw")'],
                    "FAMILIES": ['["beit", "convnext_in22"]', '["convnext", "efficientnet", "vit"]']},
    "21_pets": {"OFFSET": OFFSETS, "FAMILIES": FAMILIES, "MAX_GPU_MEM, MAX_FIT_TIME": ["1.0, 70", "8, 200"]},
    "22_planet": {"OFFSET": OFFSETS, "FAMILIES": FAMILIES, "MAX_GPU_MEM, MAX_FIT_TIME": ["1.0, 18", "8, 200"]},
    "30_hyperparameters": {"SMALLEST": ["1", "5", "10"], "SETTINGS": ['["learning_rate"]', '["pool", "resize_method"]'],
                           "SOURCE": ['data_dir() / "summaries" / "few_images_runs.csv"']},
    "31_how_sure": {"CONFIDENCE": LEVELS, "TOP": ["1", "15"], "OFFSETS": ["[80]", "[10, 30, 500, 2000]"]},
    "32_replication": {"LEVEL": LEVELS},
    "33_transfer": {"LEVEL": LEVELS},
    "34_other_tables": {"LEVEL": LEVELS},
    "40_today": {"N_TRIED": ["5", "20"]},
    "40a_how_many_images": {"SHOWN": ['"tf_efficientnet_lite2.in1k"'], "FROM": ["8", "32"]},
    "41a_can_it_be_believed": {"LEVEL": LEVELS},
    "41b_does_it_recommend_well": {"MINUTES": ["2", "5"]},
    "42_ensembles": {"SHARE": ["0.5", "3"]},
    "44_speed": {"MODEL": ['"convnext_tiny"'], "SECONDS": ["97"], "EPOCHS": ["11"]},
}
# What is a folder or a table of one's own; what trains (chapter 41), writes a file, or takes minutes (chapter 40).
OWN = {"40_today": {"DEVICES", "RULE", "WRITE_TO", "BUILD"}, "40a_how_many_images": {"SOURCES"},
       "41_your_dataset": {"DATASET", "SWEEP"}, "41a_can_it_be_believed": {"CHOICES"},
       "41b_does_it_recommend_well": {"RUNS"}, "42_ensembles": {"SOURCES"},
       "44_speed": {"RESULTS", "TRAINED, VALIDATED"}}


@pytest.mark.slow
@pytest.mark.parametrize("chapter, name, value", [
    (chapter, name, value) for chapter, names in CHANGES.items() for name, values in names.items() for value in values])
def test_another_value_breaks_nothing(chapter, name, value):
    notebook, changed = nbformat.read(ROOT / "nbs" / f"{chapter}.ipynb", as_version=4), 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source, n = re.subn(rf"^{name} = .*?(?=  #|$)", f"{name} = {value}", cell.source, flags=re.MULTILINE)
            changed += n
    assert changed == 1
    filled = run(notebook, ROOT / "nbs", BVM_MIRROR="", PYTHONPATH=str(ROOT), BROWSER_PATH="no_chrome")
    prose = "\n".join(cell.source for cell in filled.cells if cell.cell_type == "markdown")
    prose = re.sub("<!--=.*?-->", "<!--", prose)  # what is read, not the expressions behind it
    assert not re.search(r"\bnan\b|\bNone<!--", prose)


def test_every_setting_is_tried():
    "What a reader is invited to change is changed above, or is named there as the reader's own."
    for path in sorted((ROOT / "nbs").glob("[2-4]*.ipynb")):
        source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        asked = set(re.findall(r"^([A-Z_, ]+?) = .*# change me", source, re.MULTILINE))
        asked |= set(re.findall(r"^# change me.*(?:\n#.*)*\n([A-Z_, ]+?) =", source, re.MULTILINE))
        assert asked == set(CHANGES.get(path.stem, {})) | OWN.get(path.stem, set()), path.stem
