"What every measurement shares: alternated timings, the machine's name, a file of results."
import json
import os
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
import torch
from joblib import cpu_count

RESULTS = Path(__file__).parent / "results"
# The samples of Pets and Planet, where they stand beside the checkout.
MIRROR = Path(__file__).parents[2] / "shared" / "data" / "images"
LIBRARIES = ("torch", "fastai", "timm", "pandas", "pillow", "ray", "wandb")
LOAD_BEFORE = psutil.getloadavg()[0] # of the last minute


def find_images() -> list[str]: # data sets that can be measured here; digits always can
    "Points BVM_IMAGES at the photos there are, where it pointed or beside the checkout; what isn't there is said."
    folder = os.environ.get("BVM_IMAGES")
    links = Path(tempfile.mkdtemp())
    for name in ("pets", "planet"):
        images = Path(folder) / name if folder else MIRROR / f"{name}_sample"
        if images.is_dir(): (links / name).symlink_to(images.resolve())
        else: print(f"{name}: not measured, its images are not here (BVM_IMAGES names a folder that holds {name}/)")
    os.environ["BVM_IMAGES"] = str(links)
    return [*(path.name for path in sorted(links.iterdir())), "digits"]


def alternate(times: int, **sides) -> dict[str, list[float]]: # seconds of each side, each time
    "Runs each side in turn, so often, so that whatever else the machine does falls on all of them."
    seconds = {name: [] for name in sides}
    for _ in range(times):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def line(
    measure: str, ours: float, peer: float, ratio: float, unit: str, target: float | None = None, **details,
) -> dict:
    "One ratio: what was measured, both sides in `unit`, and the least that was aimed at."
    missed = target is not None and ratio < target
    print(f"{measure:62} ours {ours:10.4g}  peer {peer:10.4g} {unit:12} ratio {ratio:7.2f}"
          + (f"   target {target:g}{': missed' if missed else ''}" if target else ""), flush=True)
    return {"measure": measure, "ours": ours, "peer": peer, "ratio": ratio, "unit": unit, "target": target, **details}


def compared(
    measure: str, seconds: dict[str, list[float]], target: float | None = None, unit: str = "s",
    amount: float | None = None, **details, # `amount`: of what is done, where `unit` is so much a second
) -> dict: # `line`, with what it says in each turn
    "The medians of two sides that `alternate` timed, `ours` and its peer."
    (peer,) = (name for name in seconds if name != "ours")
    ours, theirs = statistics.median(seconds["ours"]), statistics.median(seconds[peer])
    ratios = sorted(there / here for here, there in zip(seconds["ours"], seconds[peer]))
    shown = (amount / ours, amount / theirs) if amount else (ours, theirs)
    return line(measure, *shown, theirs / ours, unit, target, ratios=ratios, **details)


def machine() -> dict:
    "The machine and the libraries that the figures belong to."
    about = Path("/proc/cpuinfo")
    known = about.read_text().splitlines() if about.exists() else []
    names = [text.split(":", 1)[1].strip() for text in known if text.startswith("model name")]
    cpu = f"{names[0] if names else platform.processor()}, {torch.backends.cpu.get_cpu_capability()}"
    return {"cpu": cpu, "cores": cpu_count(), "gpu": _gpu(),
            "memory_GiB": round(psutil.virtual_memory().total / 2**30), "python": platform.python_version(),
            **{library: version(library) for library in LIBRARIES}}


def _gpu() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def report(name: str, lines: list[dict], keep: bool = False, **details): # `keep`: also earlier lines not measured anew
    """Writes the lines to `bench/results/NAME.json`, with the machine, the date and how busy the machine was.

    A line that is kept from another machine's result says which CPU it is of; kept details are of that one, too.
    """
    RESULTS.mkdir(exist_ok=True)
    before = {}
    if keep and (RESULTS / f"{name}.json").exists():
        before, anew = json.loads((RESULTS / f"{name}.json").read_text()), {one["measure"] for one in lines}
        kept = [{"cpu": before["machine"]["cpu"], **one} for one in before["lines"] if one["measure"] not in anew]
        lines = [*kept, *lines]
    result = {**before, "bench": name, "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine(),
              "load_before": LOAD_BEFORE, "lines": lines, **details}
    part = RESULTS / f".{name}.json.part"
    part.write_text(json.dumps(result, indent=1) + "\n")
    part.replace(RESULTS / f"{name}.json")
