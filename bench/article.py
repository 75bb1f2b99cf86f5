"""One run of the article's script in its plainest form: W&B, four fastai lines, everything decoded in every epoch.

    python bench/article.py STAGES.json --dataset digits --model_name resnet10t --learning_rate 0.008 ...

It stands for the published script, which can't be run here as it is: no pretrained weights, no W&B server. So the
weights are random and W&B is offline, on both sides of the comparison the same data. Seconds spent in each stage go to
STAGES.json.
"""
import json
import sys
import time

began = time.perf_counter()
import argparse
from pathlib import Path

import wandb
from fastai.callback.core import Callback
from fastai.callback.wandb import WandbCallback
from fastai.vision.all import (
    ImageDataLoaders,
    Resize,
    accuracy_multi,
    error_rate,
    get_image_files,
    set_seed,
    vision_learner,
)

stages = {"import": time.perf_counter() - began}


class ValidationTime(Callback):
    "Seconds in validation, of all epochs."
    seconds = 0
    def before_validate(self): self.start = time.perf_counter()
    def after_validate(self): type(self).seconds += time.perf_counter() - self.start


class Stage:
    "Adds the seconds that a block takes to `stages`."
    def __init__(self, name): self.name = name
    def __enter__(self): self.start = time.perf_counter()
    def __exit__(self, *_): stages[self.name] = stages.get(self.name, 0) + time.perf_counter() - self.start


def main():
    parser = argparse.ArgumentParser()
    options = dict(dataset=str, path=Path, model_name=str, learning_rate=float, pool=str, resize_method=str,
                   img_size=int, batch_size=int, epochs=int, seed=int)
    for name, kind in options.items(): parser.add_argument(f"--{name}", type=kind)
    args = parser.parse_args(sys.argv[2:])
    with Stage("tracking"):
        run = wandb.init(project="article", config=vars(args), mode="offline", dir=Path(sys.argv[1]).parent)
    set_seed(args.seed)
    tfms = dict(valid_pct=0.2, seed=args.seed, bs=args.batch_size,
                item_tfms=Resize(args.img_size, method=args.resize_method))
    with Stage("data"):
        if args.dataset in ("pets", "digits"):
            files = sorted(get_image_files(args.path / "images"))
            dls = ImageDataLoaders.from_name_re(args.path, files, r"(^[a-zA-Z]+_*[a-zA-Z]+)", **tfms)
        else:
            dls = ImageDataLoaders.from_csv(args.path, folder="train", csv_fname="labels.csv", label_delim=" ",
                                            suff=".jpg", **tfms)
    metric = error_rate if args.dataset in ("pets", "digits") else accuracy_multi
    with Stage("model"):
        learn = vision_learner(dls, args.model_name, pretrained=False, metrics=metric,
                               concat_pool=args.pool == "concat",
                               cbs=[WandbCallback(log=None, log_preds=False), ValidationTime()])
    with Stage("training"): learn.fine_tune(args.epochs, args.learning_rate)
    with Stage("tracking"): run.finish()
    stages["validation"] = ValidationTime.seconds
    stages["training"] -= stages["validation"]
    value = learn.recorder.values[-1][2]
    error = value if metric is error_rate else 1 - value
    Path(sys.argv[1]).write_text(json.dumps({"stages": stages, "error_rate": error}))


main()
