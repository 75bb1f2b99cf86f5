"""A program that runs a sweep with a tiny run function, for tests that kill it.

python tests/sweep_driver.py SWEEP.yaml OUT AGENTS RUN [ADDRESS], where AGENTS may be 0 for as many as there is room
for, and RUN names a function below, or is fine_tune for real training. What runs do is written to OUT/log.txt, one line
each, so that a test can see every start and every end, also of runs that were killed.
"""
import json
import os
import sys
import time
from pathlib import Path

from best_vision_models.run_sweep import run_sweep
from best_vision_models.settings import config_key
from best_vision_models.sources import BadInput


def note(config, what):
    line = f"{what} {config_key(config)} {os.getpid()} {node()} {time.time()}\n"
    with open(config["log"], "a") as log: log.write(line)


def node() -> str:
    import ray
    return ray.get_runtime_context().get_node_id()


def sleepy(config):
    "Sleeps; says so if it is asked for a run that has a result already."
    result = Path(config["log"]).parent / f"{config_key(config)}.json"
    if result.exists() and json.loads(result.read_text())["state"] == "finished": note(config, "AGAIN")
    note(config, "start")
    time.sleep(config["seconds"] * (0.6 + config["i"] % 9 / 10))
    note(config, "end")
    return {"error_rate": config["i"] / 1000, "node": node(), "pid": os.getpid()}


def deadly(config):
    "Kills its own worker where `i` is 1, fails where `i` is 2."
    note(config, "start")
    if config["i"] == 1: os.kill(os.getpid(), 9)
    if config["i"] == 2: raise ValueError("loss is NaN in epoch 1")
    if config["i"] == 3: raise ConnectionError("no route to the data")
    return {"error_rate": float("nan") if config["i"] == 4 else 0.1}


if __name__ == "__main__":
    sweep, out, agents, run, *address = sys.argv[1:]
    try: print(run_sweep(sweep, out, agents=int(agents) or None, run=globals()[run] if run != "fine_tune" else None,
                         address=(address or [None])[0]))
    except BadInput as error: sys.exit(f"bad input: {error}")
    except KeyboardInterrupt: sys.exit(130)
