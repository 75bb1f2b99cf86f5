"""The machine's own limit: a bare PyTorch loop over one batch in memory, in 32 bits and in 16 where it has them, in
each memory format; and how much of the best of them `fine_tune` reaches.

    python bench/limit.py [--datasets pets …] [--models NAME …] [--img_size 224] [--repeats 5] [--compile]

What a call doesn't measure stays in the result as it was, with the CPU it is of.

The loop has the model, head, loss and optimizer of `fine_tune`, and nothing else: no data, no metrics, no callbacks.
`share` is the time that the best form of the loop would need for the batches of a run (one epoch with the body frozen,
one with all of it, each with a validation) over the run's own `fit_time`. On a GPU the clock waits for it. `--compile`
also tries `torch.compile`, whose compiling isn't counted; such a line is kept beside that of the bare loop. All forms
are tried in the first turn; one that is a quarter slower than the best in everything isn't tried again.
"""
import argparse
import contextlib
import itertools
import statistics
import sys
import time

import torch
from measure import find_images, line, report

from best_vision_models.datasets import get_dls
from best_vision_models.fine_tune import fine_tune, make_learner
from best_vision_models.models import find_model
from best_vision_models.probe import find_precision
from best_vision_models.settings import read_config

FEW = ["resnet18", "tf_efficientnet_lite0"]
FIVE = [*FEW, "resnet26d", "convnext_tiny", "vit_small_patch16_224"]
MODELS = {"pets": FIVE, "planet": FIVE, "digits": FEW}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PRECISIONS = list(dict.fromkeys(["fp32", find_precision()])) # 16 bits only where the machine calculates in them
PARTS = ["frozen", "training", "validation"]
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


class Bare:
    "One batch of the images, trained on or asked again and again."
    def __init__(self, config, dls, precision: str, memory_format: str, compiled: bool = False):
        learn = make_learner(config, find_model(config.model_name, config.img_size), dls)
        self.learn, self.loss_func = learn, learn.loss_func
        self.net = learn.model.to(DEVICE, memory_format=FORMATS[memory_format])
        if compiled: self.net = torch.compile(self.net)
        x, self.y = dls.one_batch()
        self.x = x.as_subclass(torch.Tensor).to(memory_format=FORMATS[memory_format])
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


def best_of_loop(config, dls, forms: list, found: dict[tuple, dict[str, list[float]]]) -> dict[str, float]: # seconds
    "What a batch takes in the fastest form of the loop; each is taken in turn, and added to `found`."
    for form in forms:
        bare = Bare(config, dls, *form) # one after the other in memory
        for what in PARTS: found.setdefault(form, {}).setdefault(what, []).append(bare.seconds(what))
    return {what: min(found[form][what][-1] for form in forms) for what in PARTS}


def worth_trying(found: dict[tuple, dict[str, list[float]]]) -> list: # forms
    "Those that were within 1.25 times the best of at least one part."
    least = {what: min(of[what][0] for of in found.values()) for what in PARTS}
    return [form for form, of in found.items() if any(of[what][0] < 1.25 * least[what] for what in PARTS)]


def measure(dataset: str, name: str, args) -> dict:
    "A line: the share of the bare loop that `fine_tune` reaches with this model on these images."
    config = read_config(dataset=dataset, model_name=name, pretrained=False, img_size=args.img_size, epochs=1,
                         batch_size=args.batch_size, resize_method="squish")
    dls = get_dls(dataset, args.batch_size, args.img_size, "squish")
    forms = list(itertools.product(PRECISIONS, FORMATS, (False, True) if args.compile else (False,)))
    found, bounds, shares = {}, [], []
    for _ in range(args.repeats): # the loop and a run in turn, so that whatever else the machine does falls on both
        best = best_of_loop(config, dls, forms, found)
        forms = worth_trying(found)
        with contextlib.redirect_stdout(sys.stderr): row = fine_tune(config)
        training, validation = (row[f"{part}_images"] / args.batch_size for part in ("train", "valid"))
        limit = int(training) * (best["frozen"] + best["training"]) + 2 * validation * best["validation"]
        shares.append(limit / row["fit_time"])
        bounds.append(args.batch_size / best["training"])
    bound, share = statistics.median(bounds), statistics.median(shares)
    seconds = [{"form": form, **{what: statistics.median(taken) for what, taken in of.items()}}
               for form, of in found.items()]
    for of in seconds: print("  ", of)
    loop = "compiled loop" if args.compile else "bare loop"
    return line(f"{name} on {dataset}, {args.img_size} px: share of the {loop}", bound * share, bound, share,
                "images/s", 0.9, shares=shares, precision=row["precision"], train_images=row["train_images"],
                seconds=seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = find_images()
    photos = there[:-1] # without the digits
    parser.add_argument("--datasets", nargs="+", default=photos or there, choices=there)
    parser.add_argument("--models", nargs="+", help="names, the same for each data set")
    parser.add_argument("--img_size", type=int, default=224 if photos else 64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    lines = [measure(dataset, name, args) for dataset in args.datasets for name in args.models or MODELS[dataset]]
    report("limit", lines, keep=True, batch_size=args.batch_size)


if __name__ == "__main__": main()
