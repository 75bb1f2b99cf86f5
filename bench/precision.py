"""`precision: auto` against fp32: seconds of training, and whether the error changes by more than from run to run.

    python bench/precision.py [REPEATS]

The same repeats, seeds 1, 2, …, in both precisions, taken in turn, in one warm process. On a CPU without bf16, and
there alone, `auto` is fp32, and nothing is measured.
"""
import sys

from measure import find_images, report
from pairs import paired

from best_vision_models.fine_tune import fine_tune
from best_vision_models.probe import find_precision
from best_vision_models.settings import read_config

CASES = [("digits", "resnet10t", 32, {}), ("digit_pairs", "resnet10t", 48, {}),
         ("pets", "tf_efficientnet_lite0.in1k", 224, {"pretrained": True})]


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if find_precision() == "fp32": return print("precision: not measured, this machine has no bf16, and auto is fp32")
    lines, there = [], [*find_images(), "digit_pairs"]
    for dataset, model_name, img_size, more in CASES:
        if dataset not in there: continue
        config = dict(dataset=dataset, model_name=model_name, pretrained=False, resize_method="squish",
                      img_size=img_size, epochs=1, learning_rate=0.008) | more
        fine_tune(read_config(**config)) # the image cache, the trial of forms, and whatever is slow at first
        found = paired(f"{model_name} on {dataset} at {img_size} px", "precision", "auto", "fp32", repeats, **config)
        lines.append(found | {"measure": f"{found['measure']}, {found['precision']}"})
    report("precision", lines)


if __name__ == "__main__": main()
