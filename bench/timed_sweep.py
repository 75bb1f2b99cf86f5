"""`bvm sweep run`, and in each run's row the seconds of its stages. `bench/sweep.py` starts it.

    python bench/timed_sweep.py SWEEP.yaml OUT
"""
import sys
import time
from contextlib import ExitStack
from unittest.mock import patch

from best_vision_models import run_sweep
from best_vision_models.cli import main


def timed_run(config: dict) -> dict:
    "`fine_tune_run`, the seconds of its stages in the row."
    began, stages = time.perf_counter(), {}
    from fastai.callback.core import Callback
    from fastai.learner import defaults

    import best_vision_models.fine_tune as module
    from best_vision_models.settings import read_config
    stages["import"] = time.perf_counter() - began

    def timed(name, function):
        def call(*args, **kwargs):
            start = time.perf_counter()
            result = function(*args, **kwargs)
            stages[name] = stages.get(name, 0) + time.perf_counter() - start
            return result
        return call

    class ValidationTime(Callback):
        def before_validate(self): self.start = time.perf_counter()
        def after_validate(self): stages["validation"] = stages.get("validation", 0) + time.perf_counter() - self.start

    with ExitStack() as stack:
        for name, function in (("data", "understand_images"), ("data", "make_dls"), ("model", "vision_learner")):
            stack.enter_context(patch.object(module, function, timed(name, getattr(module, function))))
        stack.enter_context(patch.object(defaults, "callbacks", [*defaults.callbacks, ValidationTime]))
        row = module.fine_tune(read_config(**config))
    stages["training"] = row["fit_time"] - stages["validation"]
    stages["other"] = time.perf_counter() - began - sum(stages.values())
    return {**row, "stages": stages}


if __name__ == "__main__":
    sweep, out = sys.argv[1:]
    sys.argv = ["bvm", "sweep", "run", sweep, "--out", out]
    with patch.object(run_sweep, "fine_tune_run", timed_run): raise SystemExit(main())
