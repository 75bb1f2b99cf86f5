"""Images per second into the training loop: fastai's own loader against the image cache, without and with two workers.

    python bench/images.py [--trainings 10]     BVM_IMAGES holds `pets` and `planet`; digits need nothing

One epoch of training batches is drawn and nothing is trained, at 224 px, 32 images a batch. The cache is made
beforehand: that costs one decoding of each image, once per machine; how long it took is in the results.

Where images are cropped at random places, `near` (resized once, then cropped) is measured, too: its speed, how far its
pixels are from fastai's, and the errors of ten trainings of each, 40 steps from a probe at 128 px, with equal seeds.
With `--trainings 0` what is stored of the errors stays, with the CPU it is of.
"""
import argparse
import json
import os
import random
import tempfile
import time

import torch
from measure import RESULTS, alternate, compared, find_images, report
from pairs import paired

from best_vision_models.datasets import get_dls


def one_epoch(dl) -> int: return sum(len(batch[1]) for batch in dl)


def measure(dataset: str, resize_method: str, image_cache: str = "auto") -> tuple[list[dict], dict]:
    "Two lines, with no workers and with two; and what making the cache took."
    began = time.perf_counter()
    cached = get_dls(dataset, resize_method=resize_method, image_cache=image_cache).train
    making = time.perf_counter() - began
    plain, lines = get_dls(dataset, resize_method=resize_method, image_cache="off").train, []
    for workers in (0, 2):
        for dl in (cached, plain): dl.fake_l.num_workers = workers
        seconds = alternate(5, ours=lambda: one_epoch(cached), fastai=lambda: one_epoch(plain))
        how = resize_method + " near" * (image_cache == "near")
        lines.append(compared(
            f"{dataset}, {how}, {workers} workers", seconds, 10, "images/s", len(cached) * cached.bs, dataset=dataset,
            resize_method=how, workers=workers, shifted=cached.originals is not None and image_cache == "auto"))
    return lines, {"dataset": dataset, "resize_method": resize_method, "seconds": making, "images": len(cached.dataset)}


def levels_apart(dataset: str) -> float: # of 255, a pixel's mean
    "How far the pixels of `near` are from fastai's crops at the same places."
    found = []
    for image_cache in ("auto", "near"):
        dl = get_dls(dataset, resize_method="crop", image_cache=image_cache).train
        dl.rng = random.Random(0)
        torch.manual_seed(0)
        found.append(255 * next(iter(dl))[0].as_subclass(torch.Tensor)) # fastai has divided by 255
    return (found[0] - found[1]).abs().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=10)
    trainings, lines, making, near = parser.parse_args().trainings, [], [], []
    os.environ["BVM_CACHE"] = tempfile.mkdtemp()
    for dataset in find_images():
        for resize_method in ("squish", "crop"):
            more, made = measure(dataset, resize_method)
            lines, making = lines + more, making + [made]
            if more[0]["shifted"]:
                lines += measure(dataset, resize_method, "near")[0]
                if trainings: near.append({"levels_apart": levels_apart(dataset), **paired(
                    f"{dataset}, 40 steps with near crops against exact ones", "image_cache", "near", "auto", trainings,
                    dataset=dataset, model_name="tf_efficientnet_lite0.in1k", head="linear", start="probe", steps=40,
                    learning_rate=1e-3, img_size=128)})
    if not trainings:
        stored = json.loads((RESULTS / "images.json").read_text())
        near = [{"cpu": stored["machine"]["cpu"], **pair} for pair in stored["near"]]
    report("images", lines, making=making, near=near)


if __name__ == "__main__": main()
