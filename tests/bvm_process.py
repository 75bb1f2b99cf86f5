"""`bvm` as a process with its own arguments, folder, environment, output and exit status.

Each is forked from one that has imported the command line already: a hundred commands don't each wait for pandas.
What a command imports, and `bvm` itself, are tested in processes of their own (test_library, test_cli)."""
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["best_vision_models.cli"])


def become_bvm(arguments: list[str], cwd, env: dict, outputs: list[Path]):
    for number, file in enumerate(outputs, 1): os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["bvm", *arguments]
    from best_vision_models.cli import main

    sys.exit(main())


def run_bvm(*arguments, outputs: list[Path], cwd=".", env=None) -> subprocess.CompletedProcess:
    words = [*map(str, arguments)]
    process = FORKS.Process(target=become_bvm, args=(words, cwd, dict(os.environ if env is None else env), outputs))
    process.start()
    process.join(900)
    if process.exitcode is None: process.kill()
    return subprocess.CompletedProcess(words, process.exitcode, *(file.read_text() for file in outputs))
