"""What vyntri 1.5 (pip install vyntri==1.5) does with the images and the weights that `recommend` had.

    python bench/regret_vyntri.py regret/clothing/half0 …      folders that best_vision_models.regret.write_halves made

It chooses among the three models that come with pip as its README says: LogME, then its own closed-form probe, at its
own size of 224 px. Prints a line a folder: its name, the model chosen, and the error on the images of later.
"""
import sys
import tempfile
from pathlib import Path

import pandas as pd
import timm
import torch
from vyntri import Vyntri
from vyntri.backbones import registry

from best_vision_models.fine_tune import model_of
from best_vision_models.settings import read_config

MODELS = [f"tf_efficientnet_lite{size}.in1k" for size in (0, 1, 2)]


class Frozen(torch.nn.Module):
    "A timm model's features, of images that vyntri has normalised as for torchvision's models."
    def __init__(self, name: str):
        super().__init__()
        model = model_of(read_config(model_name=name, head="linear"))
        self.net = timm.create_model(model.weights, pretrained=True, num_classes=0, **model.arguments).eval()
        theirs = torch.tensor(registry._MEAN), torch.tensor(registry._STD)
        ours = (torch.tensor(self.net.pretrained_cfg[what]) for what in ("mean", "std"))
        self.theirs, self.ours = ([each.view(3, 1, 1) for each in pair] for pair in (theirs, ours))

    def forward(self, x):
        pixels = x * self.theirs[1] + self.theirs[0]
        return self.net((pixels - self.ours[0]) / self.ours[1])


def folders(half: Path, root: Path):
    "Links to the images in folders of classes, below train, val and test."
    yours, everything = (pd.read_csv(half / f"{name}.csv", dtype={"label": str}) for name in ("yours", "all"))
    later = everything[~everything.file.isin(yours.file)]
    for part, rows in (("train", yours[~yours.is_valid]), ("val", yours[yours.is_valid]), ("test", later)):
        for number, row in enumerate(rows.itertuples()):
            folder = root / part / row.label
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}{Path(row.file).suffix}").symlink_to(row.file)


if __name__ == "__main__":
    for name in MODELS:
        registry._register(registry.BackboneInfo(name, 1280, name, 0, True, lambda name=name: Frozen(name)))
    for half in map(Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as root:
            folders(half, Path(root))
            model = Vyntri(backbone="auto", candidates=MODELS, cache_dir=f"{root}/cache")
            model.fit(train=f"{root}/train", val=f"{root}/val", progress=False)
            found = model.evaluate(f"{root}/test")
            print(f"{half.parent.name},{half.name},{model.backbone_name_},{1 - found.accuracy:.6f}", flush=True)
