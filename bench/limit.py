"""The machine's own limit: a bare PyTorch loop over one batch in memory, in 32 bits and in 16 where it has them, in
each memory format; and how much of the best of them `fine_tune` reaches.

    python bench/limit.py [--models NAME …] [--dataset pets] [--img_size 224] [--repeats 5] [--compile]

The loop has the model, head, loss and optimizer of `fine_tune`, and nothing else: no data, no metrics, no callbacks.
`share` is the time that the best form of the loop would need for the batches of a run (one epoch with the body frozen,
one with all of it, each with a validation) over the run's own `fit_time`. On a GPU the clock waits for it.
"""
import argparse
import contextlib
import itertools
import statistics
import sys
import time

import torch
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from gpu_speed import Noise
from measure import find_images, line, report

from best_vision_models.fine_tune import fine_tune, make_learner
from best_vision_models.models import find_model
from best_vision_models.probe import find_precision
from best_vision_models.settings import read_config

MODELS = ["resnet18", "resnet26d", "tf_efficientnet_lite0", "convnext_tiny", "vit_small_patch16_224"]
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRECISIONS = list(dict.fromkeys(["fp32", find_precision()])) # 16 bits only where the machine calculates in them
PARTS = ["frozen", "training", "validation"]
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Bare:
    "One batch, trained on or asked again and again."
    def __init__(self, config, precision: str, memory_format: str, compiled: bool = False):
        noise = Noise(config.batch_size, config.batch_size, config.img_size, DEVICE)
        dls = DataLoaders(noise, noise, device=DEVICE)
        learn = make_learner(config, find_model(config.model_name, config.img_size), dls, n_out=37,
                             loss_func=CrossEntropyLossFlat())
        self.learn, self.loss_func = learn, learn.loss_func
        self.net = learn.model.to(DEVICE, memory_format=FORMATS[memory_format])
        if compiled: self.net = torch.compile(self.net)
        self.x, self.y = noise.batch[0].to(memory_format=FORMATS[memory_format]), noise.batch[1]
        self.cast = torch.autocast(DEVICE.type, DTYPES.get(precision), enabled=precision in DTYPES)

    def train(self, frozen: bool):
        self.learn.freeze() if frozen else self.learn.unfreeze() # both make an optimizer that knows what is trained
        self.net.train()

    def step(self):
        with self.cast: loss = self.loss_func(self.net(self.x), self.y)
        loss.backward()
        self.learn.opt.step()
        self.learn.opt.zero_grad()

    def ask(self):
        with torch.inference_mode(), self.cast: self.net(self.x)

    def seconds(self, what: str, at_least: float = 1.0) -> float: # a batch
        if what == "validation": self.net.eval()
        else: self.train(frozen=what == "frozen")
        once, batches = self.ask if what == "validation" else self.step, 0
        once()
        began = time.perf_counter()
        while time.perf_counter() - began < at_least or batches < 2:
            once()
            batches += 1
        if DEVICE.type == "cuda": torch.cuda.synchronize()
        return (time.perf_counter() - began) / batches


def best_of_loop(config, compiled: bool, found: dict[tuple, dict[str, list[float]]]) -> dict[str, float]: # seconds
    "What a batch takes in the fastest form of the loop; each is taken in turn, and added to `found`."
    for form in itertools.product(PRECISIONS, FORMATS, (False, True) if compiled else (False,)):
        bare = Bare(config, *form) # one after the other in memory
        for what in PARTS: found.setdefault(form, {}).setdefault(what, []).append(bare.seconds(what))
    return {what: min(of[what][-1] for of in found.values()) for what in PARTS}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    dataset = find_images()[0] # digits, at 64 px, where there are no photos
    parser.add_argument("--dataset", default=dataset, help="one that fine_tune takes, with one label an image")
    parser.add_argument("--img_size", type=int, default=64 if dataset == "digits" else 224)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    lines = []
    for name in args.models:
        config = read_config(dataset=args.dataset, model_name=name, pretrained=False, img_size=args.img_size, epochs=1,
                             batch_size=args.batch_size, resize_method="squish")
        found, bounds, shares = {}, [], []
        for _ in range(args.repeats): # the loop and a run in turn, so that whatever else the machine does falls on both
            best = best_of_loop(config, args.compile, found)
            with contextlib.redirect_stdout(sys.stderr): row = fine_tune(config)
            training, validation = (row[f"{part}_images"] / args.batch_size for part in ("train", "valid"))
            limit = int(training) * (best["frozen"] + best["training"]) + 2 * validation * best["validation"]
            shares.append(limit / row["fit_time"])
            bounds.append(args.batch_size / best["training"])
        bound, share = statistics.median(bounds), statistics.median(shares)
        middle = {form: {what: statistics.median(taken) for what, taken in of.items()} for form, of in found.items()}
        lines.append(line(f"{name}, {args.img_size} px: share of the bare loop", bound * share, bound, share,
                          "images/s", 0.9, shares=shares, precision=row["precision"],
                          seconds=[{"form": form, **of} for form, of in middle.items()]))
        for form, of in middle.items():
            print("  ", *form[:2], *("compiled",) * form[2], {what: round(value, 4) for what, value in of.items()})
    report("limit", lines, dataset=args.dataset, batch_size=args.batch_size)


if __name__ == "__main__": main()
