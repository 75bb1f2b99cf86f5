"""`precision: auto` against fp32: seconds of training, and whether the error changes by more than from run to run.

    python bench/precision.py [--datasets pets …] [--repeats 5]

The same repeats, seeds 1, 2, …, in both precisions, taken in turn, in one warm process. On a CPU without bf16, and
there alone, `auto` is fp32, and nothing is measured. What a call doesn't measure stays in the result as it was, with
the CPU it is of.
"""
import argparse

from measure import find_images, report
from pairs import paired

from best_vision_models.fine_tune import fine_tune
from best_vision_models.probe import find_precision
from best_vision_models.settings import read_config

CASES = {"digits": ("resnet10t", 32, {}), "digit_pairs": ("resnet10t", 48, {}),
         "pets": ("tf_efficientnet_lite0.in1k", 224, {"pretrained": True}),
         "planet": ("tf_efficientnet_lite0.in1k", 224, {"pretrained": True})}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    there = [dataset for dataset in CASES if dataset in [*find_images(), "digit_pairs"]]
    parser.add_argument("--datasets", nargs="+", default=there, choices=there)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if find_precision() == "fp32": return print("precision: not measured, this machine has no bf16, and auto is fp32")
    lines = []
    for dataset in args.datasets:
        model_name, img_size, more = CASES[dataset]
        config = dict(dataset=dataset, model_name=model_name, pretrained=False, resize_method="squish",
                      img_size=img_size, epochs=1, learning_rate=0.008) | more
        fine_tune(read_config(**config)) # the image cache, the trial of forms, and whatever is slow at first
        measure = f"{model_name} on {dataset} at {img_size} px"
        found = paired(measure, "precision", "auto", "fp32", args.repeats, **config)
        lines.append(found | {"measure": f"{found['measure']}, {found['precision']}"})
    report("precision", lines, keep=True)


if __name__ == "__main__": main()
