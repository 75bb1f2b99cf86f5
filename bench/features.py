"""Frozen features: against a bare loop of the same model over the same pixels in memory; and a store of 10⁶ images.

    python bench/features.py [--models resnet18 …] [--img_size 224] [--images 1000] [--stored 1000000]

The images are digits, brought to that size: what they show doesn't change the speed. Their pixels are decoded before
both sides, once per machine. The bare loop tries each precision and memory format, and its best counts. In the store
the features are random: what is measured is writing and reading them, and the memory above the features' own.
"""
import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import timm
import torch
from limit import DEVICE, DTYPES, FORMATS, PRECISIONS
from measure import alternate, line, report
from rankings import memory

import best_vision_models.probe as probe
from best_vision_models.datasets import make_dls, understand_images
from best_vision_models.image_cache import cached_pixels

FEATURES = 1280 # of EfficientNet-Lite


def bare(net, pixels: torch.Tensor, precision: str, memory_format: str, size: int = 64):
    "The body over all pixels, normalised and nothing else."
    kind, form = DTYPES.get(precision), FORMATS[memory_format]
    mean, std = (torch.tensor(net.pretrained_cfg[name], device=DEVICE)[:, None, None] for name in ("mean", "std"))
    net.to(DEVICE, memory_format=form).eval()
    with torch.inference_mode(), torch.autocast(DEVICE.type, kind, enabled=kind is not None):
        for batch in pixels.split(size):
            x = ((batch.to(DEVICE) / 255 - mean) / std).to(memory_format=form)
            net.forward_head(net.forward_features(x), pre_logits=True).cpu()


def model_line(name: str, images, img_size: int, repeats: int) -> dict:
    "Features of all images, from nothing, against the best form of the bare loop."
    dls, net = make_dls(images, img_size=img_size, resize_method="squish"), timm.create_model(name)
    pixels = cached_pixels(list(images.table.path), img_size, "squish", images.opened_by)
    forms = {" ".join(form): form for form in itertools.product(PRECISIONS, FORMATS)}

    def ours():
        with tempfile.TemporaryDirectory() as folder, kept_in(folder):
            probe.frozen_features(net, dls, images, img_size, "squish")
    seconds = alternate(repeats, ours=ours, **{
        text: lambda form=form: bare(net, pixels, *form) for text, form in forms.items()})
    middle = {side: statistics.median(taken) for side, taken in seconds.items()}
    best = min(forms, key=middle.get)
    shares = [there / here for here, there in zip(seconds["ours"], seconds[best])]
    return line(f"{name}, {img_size} px: features, against {best}", len(pixels) / middle["ours"],
                len(pixels) / middle[best], statistics.median(shares), "images/s", 0.95, shares=shares, seconds=middle)


def kept_in(folder: str):
    "Features are kept in another folder meanwhile."
    return patch.object(probe, "cache_dir", lambda: Path(folder))


def measure_store(n_images: int):
    "Prints the seconds of writing and of reading, and the highest memory above the features' own. Linux only."
    rng, folder = np.random.default_rng(1), Path("images")
    with tempfile.TemporaryDirectory() as store, kept_in(store):
        began = time.perf_counter()
        for first in range(0, n_images, probe.SHARD):
            rows = rng.standard_normal((min(probe.SHARD, n_images - first), FEATURES), "float32")
            probe._keep("", folder, {f"{first + n:064x}": (row, 1e-3) for n, row in enumerate(probe._in_half(rows))})
        written = time.perf_counter() - began
        del rows
        Path("/proc/self/clear_refs").write_text("5")
        before, began = memory("VmRSS"), time.perf_counter()
        known = probe._kept("", folder)
        print(written, time.perf_counter() - began, (memory("VmHWM") - before) / (n_images * FEATURES * 2))
        assert len(known) == n_images


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "tf_efficientnet_lite0"])
    parser.add_argument("--img_size", type=int, default=224)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--stored", type=int, default=10**6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--store", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.store: return measure_store(args.store)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["BVM_CACHE"] = cache
        digits = understand_images("digits")
        images = replace(digits, table=digits.table[:args.images])
        lines = [model_line(name, images, args.img_size, args.repeats) for name in args.models]
    stored = subprocess.run([sys.executable, __file__, "--store", str(args.stored)], capture_output=True, text=True,
                            check=True)
    written, seconds, memory_used = map(float, stored.stdout.split())
    print(f"features of {args.stored:,} images: kept in {written:.0f} s, read in {seconds:.0f} s, "
          f"with {memory_used:.2f} times their own memory")
    report("features", lines, stored={"images": args.stored, "written_s": written, "read_s": seconds,
                                      "memory_times": memory_used})


if __name__ == "__main__": main()
