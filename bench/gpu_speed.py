"""Speed and memory of fine-tuning on a GPU: `fit_time`, `GPU_mem`, images per second of models of the article's sweep.

    python bench/gpu_speed.py                      # a table, written to data/summaries/gpu_speed_<gpu>.csv
    python bench/gpu_speed.py --out_of_memory 3    # a batch that doesn't fit, halved until it does, for real
    python bench/gpu_speed.py --models resnet10t --img_size 32 --images 64 --batch_size 8 --epochs 1    # on a CPU

The training is the article's: the same four fastai lines, fp16, one frozen epoch and five more. Weights are random and
the images are noise that already lies on the GPU: neither matters for speed, and no decoding of JPEGs hides the model's
own time. `fit_time` is therefore a lower bound of a run's on this GPU. The size of the data set is that of Pets.
"""

import argparse
import gc
import sys
import time

import fastai
import pandas as pd
import timm
import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.data.core import DataLoaders
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import error_rate
from fastai.vision.learner import vision_learner

from best_vision_models.fine_tune import fine_tune
from best_vision_models.models import find_model
from best_vision_models.settings import read_config
from best_vision_models.sources import data_dir, write_table

MODELS = [
    "convnext_tiny", "convnext_small", "convnext_base", "efficientnet_lite0", "efficientnet_es", "efficientnetv2_rw_s",
    "levit_128", "levit_256", "levit_384", "mobilevit_s", "regnetx_016", "regnety_006", "resnet18", "resnet26d",
    "resnet34", "resnet50", "resnetrs50", "resnetv2_50x1_bit_distilled", "swin_tiny_patch4_window7_224",
    "swin_s3_tiny_224", "swin_base_patch4_window7_224", "swinv2_cr_tiny_ns_224", "vit_tiny_patch16_224",
    "vit_small_patch16_224", "vit_small_r26_s32_224", "vit_base_patch16_224", "beit_base_patch16_224",
]
CLASSES = 37


class Noise:
    "One batch of noise again and again, in place of a data set of `images` images."
    def __init__(self, images: int, batch_size: int, img_size: int, device: torch.device):
        self.batch = (torch.randn(batch_size, 3, img_size, img_size, device=device),
                      torch.randint(CLASSES, (batch_size,), device=device))
        self.n_batches, self.dataset = max(images // batch_size, 1), range(images)

    def __len__(self): return self.n_batches

    def __iter__(self): return (self.batch for _ in range(self.n_batches))


class TrainingTime(Callback):
    "Seconds that the training part of the last epoch took."
    def before_train(self): self.start = time.perf_counter()

    def after_train(self): self.learn.training_time = time.perf_counter() - self.start


def measure(name: str, batch_size: int, img_size: int, images: int, epochs: int) -> dict:
    "One row: what fine-tuning this model takes; fastai reads each batch's loss, so the clock waits for the GPU."
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    gc.collect()
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = find_model(name, img_size)
    dls = DataLoaders(*(Noise(int(images * part), batch_size, img_size, device) for part in (0.8, 0.2)), device=device)
    learn = vision_learner(dls, model.weights, pretrained=False, n_out=CLASSES, loss_func=CrossEntropyLossFlat(),
                           metrics=error_rate, cbs=[TrainingTime(), *([MixedPrecision()] if on_gpu else [])],
                           **model.arguments)
    start = time.perf_counter()
    with learn.no_bar(), learn.no_logging(): learn.fine_tune(epochs, 1e-4)
    return {
        "model_name": name, "weights": model.weights, "batch_size": batch_size, "img_size": img_size,
        "precision": "fp16" if on_gpu else "fp32", "epochs": epochs, "images": images,
        "fit_time": time.perf_counter() - start,
        "GPU_mem": torch.cuda.max_memory_reserved() / 1024**3 if on_gpu else None,
        "train_samples_per_sec": len(dls.train) * batch_size / learn.training_time,
    }


def show_out_of_memory(gigabytes: float):
    "A real run of BEiT, allowed so little of the GPU that a batch of 32 can't fit."
    total = torch.cuda.get_device_properties(0).total_memory / 1024**3
    torch.cuda.set_per_process_memory_fraction(gigabytes / total)
    row = fine_tune(read_config(dataset="digits", model_name="beit_base_patch16_224", pretrained=False, epochs=1))
    print(f"allowed {gigabytes} GiB of {total:.0f}: {row['state']}, accumulate {row['accumulate']}, "
          f"GPU_mem {row['GPU_mem']} GiB, {row.get('reason', '')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batch_size", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--img_size", type=int, default=224)
    parser.add_argument("--images", type=int, default=7390, help="images in the data set; Pets has 7,390")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out_of_memory", type=float, metavar="GIB", help="show a batch that doesn't fit into GIB")
    args = parser.parse_args()
    if args.out_of_memory: return show_out_of_memory(args.out_of_memory)
    rows, shown = [], ("model_name", "batch_size", "fit_time", "GPU_mem", "train_samples_per_sec")
    for name in args.models:
        for batch_size in args.batch_size:
            rows.append(measure(name, batch_size, args.img_size, args.images, args.epochs))
            print({name: rows[-1][name] for name in shown}, flush=True)
    table = pd.DataFrame(rows)
    if not torch.cuda.is_available(): return print("no GPU: nothing written")
    gpu = torch.cuda.get_device_name().lower().replace(" ", "_")
    about = (f"measured on {torch.cuda.get_device_name()} by: python {' '.join(sys.argv)}\n"
             f"torch {torch.__version__}, timm {timm.__version__}, fastai {fastai.__version__}; "
             "random weights, images of noise on the GPU")
    print(write_table(table, data_dir() / "summaries" / f"gpu_speed_{gpu}.csv", about))


if __name__ == "__main__": main()
