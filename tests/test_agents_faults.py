"""W&B agents, cut off in every way at every moment, and with a server out of order: each sweep is complete in the end.

Real agents and real signals against a stand-in of the server (`wandb_server.py`); W&B's own was not tried. The cases
wait far more than they work, so all that were asked for run at once, each with a server of its own, and each test looks
at one.
"""
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import yaml

pytest.importorskip("wandb")
from test_agents import HERE, KEY, TRAIN, processes_of
from wandb_server import ENTITY, WandbServer

from best_vision_models import agents as agents_module
from best_vision_models.agents import find_agents, launch_agents
from best_vision_models.wandb_runs import NEVER_STARTED

pytestmark = pytest.mark.slow
SECONDS = 5 # of a run
LAUNCH = threading.Lock() # an agent gets its server's address from the environment, which is the whole process's
AT_ONCE = 16 # cases


class Case:
    "A server with a sweep, and a folder."
    def __init__(self, folder: Path, points: int, crash_after: float = 60):
        self.folder, self.points, self.server = folder, points, WandbServer(crash_after)
        folder.mkdir()
        (folder / "train.py").write_text(TRAIN)
        content = {"method": "grid", "command": ["${interpreter}", str(folder / "train.py"), "${args}"],
                   "parameters": {"i": {"values": list(range(points))}, "seconds": {"value": SECONDS}}}
        made = self.server.UpsertSweep(yaml.safe_dump(content), ENTITY, "p")
        self.sweep = f"{ENTITY}/p/{made['upsertSweep']['sweep']['name']}"

    def env(self) -> dict:
        return {"WANDB_BASE_URL": self.server.url, "WANDB_API_KEY": KEY, "NETRC": str(self.folder / "netrc"),
                "WANDB_ERROR_REPORTING": "false", "PYTHONPATH": f"{HERE.parent}:{HERE}", "CUDA_VISIBLE_DEVICES": "",
                "HOME": str(self.folder)}

    def launch(self, logs: str = "logs", gpus: str = "cpu"):
        with LAUNCH:
            before = dict(os.environ)
            os.environ.update(self.env())
            try: return launch_agents(self.sweep, gpus=gpus, logs=self.folder / logs)
            finally:
                os.environ.clear()
                os.environ.update(before)

    def runs(self) -> list[dict]: return list(self.server.runs.values())
    def done(self) -> Counter:
        return Counter(run["config"]["i"]["value"] for run in self.runs() if run["exitcode"] == 0)


    def wait_for(self, what, seconds=900):
        deadline = time.time() + seconds
        while not what():
            assert time.time() < deadline, f"waited too long; {self.said()}"
            time.sleep(0.1)

    def said(self) -> str: return "\n".join(path.read_text() for path in self.folder.rglob("*.jsonl"))

    def moment(self, at: str, run: int = 1):
        "Return when the run of that number is at its start, in the middle, at its end, or over."
        self.wait_for(lambda: len(self.runs()) > run)
        if at == "start": return
        self.wait_for(lambda: self.runs()[run]["started"])
        if at == "between": self.wait_for(lambda: self.runs()[run]["exitcode"] is not None)
        time.sleep({"middle": SECONDS / 2, "end": SECONDS, "between": 0}[at])

    def check(self):
        "Each point is finished exactly once, and nothing that was cut off looks finished."
        assert self.done() == Counter(range(self.points)), f"{self.done()}\n{self.said()}"
        finished = [run for run in self.runs() if run["exitcode"] == 0]
        assert all("fit_time" in run["summary"] for run in finished)

    def close(self):
        self.server.shutdown()
        for process in psutil.process_iter():
            try:
                if str(self.folder) + "/" in process.environ().get("BVM_DIARY", ""): process.kill()
            except psutil.Error: pass


def all_at_once(request, tmp_path_factory, cases: dict) -> dict: # name → None, or what went wrong
    "Run those cases that were asked for at once."
    asked = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    wanted, folder = {params.get("name") for params in asked}, tmp_path_factory.mktemp("cases")
    cases = {name: case for name, case in cases.items() if name in wanted}

    def do(number, name):
        time.sleep(number % AT_ONCE) # not all agents import wandb in the same second
        case = None
        try:
            function, points, *arguments = cases[name]
            case = Case(folder / name, points)
            function(case, *arguments)
        except BaseException as error: return error
        finally:
            if case: case.close()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(AT_ONCE) as pool:
        patch.setattr(agents_module, "logged_in_wandb", lambda: None) # the login of this process, which has no server
        longest_first = sorted(cases, key=lambda name: -sum(a for a in cases[name][1:] if isinstance(a, int)))
        return dict(zip(longest_first, pool.map(do, itertools.count(), longest_first), strict=True))


# A server out of order


def outage(case: Case, how: str, seconds: float, at: str, machines: int = 1):
    "`machines` agents that know nothing of one another."
    launched = [case.launch(f"machine{number}") for number in range(machines)]
    case.moment(at)
    case.server.fail(seconds, how)
    case.wait_for(lambda: sum(case.done().values()) >= case.points, seconds + 600)
    for agents in launched:
        case.wait_for(lambda agents=agents: not agents.running(), 600)
        assert list(agents.status().state) == ["finished: the sweep has no more runs"], case.said()
    case.check()


def lost(case: Case):
    "W&B hands out a point, and its answer gets lost: the point is done by and by."
    agents = case.launch()
    case.moment("middle", run=0)
    case.server.lose_next = True
    case.wait_for(lambda: sum(case.done().values()) == 2)
    assert not case.server.lose_next
    (pending,) = [run for run in case.runs() if not run["started"]]
    case.wait_for(lambda: agents.status().state[0].startswith("waiting"))
    pending["created"] -= NEVER_STARTED
    agents.wait()
    case.check()


TIMES = ["start", "middle", "end", "between"]
OUTAGES = {f"{how}-{seconds}-{at}": (outage, 3, how, seconds, at)
           for how, seconds, at in [*itertools.product(["silence", "refuse"], [30, 90, 300], TIMES),
                                    *itertools.product(["500", "restart", "hang"], [30], TIMES),
                                    *itertools.product(["500", "hang"], [90, 300], ["middle"]),
                                    ("restart", 300, "middle")]}
OUTAGES |= {"lost": (lost, 3)}
OUTAGES |= {f"two_machines-{seconds}": (outage, 5, "silence", seconds, "middle", 2) for seconds in (30, 300)}


@pytest.fixture(scope="module")
def outages(request, tmp_path_factory): return all_at_once(request, tmp_path_factory, OUTAGES)


@pytest.mark.xdist_group("outages") # in one process, which runs them at once
@pytest.mark.parametrize("name", OUTAGES)
def test_a_server_out_of_order_costs_its_time_and_no_run(outages, name):
    if outages[name]: raise outages[name]


# Agents that are cut off


KERNEL = """
import sys, time
from best_vision_models.agents import launch_agents
agents = launch_agents(sys.argv[1], gpus="cpu", logs=sys.argv[2])
time.sleep(999)
"""


def stop(case: Case, at: str):
    agents = case.launch()
    case.moment(at)
    table = agents.stop()
    assert table.state[0].startswith(("stopped", "finished")) and not processes_of(case.folder / "logs", "BVM_DIARY")
    return agents.cut_off()


def ctrl_c(case: Case, at: str):
    command = ["sweep", "agents", case.sweep, "--gpus", "cpu", "--logs", case.folder / "logs"]
    terminal = subprocess.Popen([Path(sys.executable).parent / "bvm", *command], env={**os.environ, **case.env()},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    case.moment(at)
    terminal.send_signal(signal.SIGINT)
    said, errors = terminal.communicate(timeout=120)
    assert terminal.returncode == 130 and "stopping the agents" in errors, errors
    assert "agent 0 (cpu): starts i 0" in said and "done: i 0" in said, said
    return [line for line in said.splitlines() if line.startswith("cut off: i ")]


def kernel_ends(case: Case, at: str):
    kernel = subprocess.Popen([sys.executable, "-c", KERNEL, case.sweep, case.folder / "logs"],
                              env={**os.environ, **case.env()})
    case.moment(at)
    kernel.kill()
    kernel.wait()
    case.wait_for(lambda: not processes_of(case.folder / "logs", "BVM_DIARY"), 900)
    return find_agents(case.folder / "logs").cut_off()


def killed(case: Case, at: str, who: tuple):
    "SIGKILL for some of: the run, the agent, the keeper."
    agents = case.launch()
    case.moment(at)
    keeper = psutil.Process(agents.agents[0]["pid"])
    agent = keeper.children()[0]
    runs = [process for process in agent.children() if "train.py" in " ".join(process.cmdline())]
    to_kill = {"keeper": [keeper], "agent": [agent], "run": runs}
    for process in [process for name in who for process in to_kill[name]]:
        try: process.kill()
        except psutil.NoSuchProcess: pass
    agents.wait()


def cut_off(case: Case, how, at: str, *arguments):
    "Cut off an agent in the second of three runs; the next launch completes the sweep."
    cut = how(case, at, *arguments)
    if at == "middle" and cut is not None: assert len(cut) == 1 and "i 1" in cut[0], cut # it names the point
    with case.launch() as agents: agents.wait()
    assert agents.running() == 0 and agents.status().state[0] == "finished: the sweep has no more runs", case.said()
    case.check()
    assert not processes_of(case.folder / "logs", "BVM_DIARY")


def cut_off_elsewhere(case: Case):
    "A machine dies; two others, which know nothing of it, do its run, once."
    case.server.crash_after = 20
    dying = case.launch("dying", "cpu,cpu")
    case.wait_for(lambda: sum(run["started"] for run in case.runs()) == 2)
    for process in psutil.process_iter():
        try:
            if str(case.folder / "dying") in process.environ().get("BVM_DIARY", ""): process.kill()
        except psutil.Error: pass
    dying.wait()
    assert not case.done()
    for agents in [case.launch("one"), case.launch("another")]: agents.wait()
    case.check()


WHO = {"run": ("run",), "agent": ("agent",), "keeper": ("keeper",), "all": ("keeper", "agent", "run")}
CUTS = {f"{how.__name__}-{at}": (cut_off, 3, how, at) for how in (stop, ctrl_c, kernel_ends) for at in TIMES[:3]}
CUTS |= {f"killed_{name}-{at}": (cut_off, 3, killed, at, who) for name, who in WHO.items() for at in TIMES[:3]}
CUTS |= {"elsewhere": (cut_off_elsewhere, 3)}


@pytest.fixture(scope="module")
def cuts(request, tmp_path_factory): return all_at_once(request, tmp_path_factory, CUTS)


@pytest.mark.xdist_group("cuts")
@pytest.mark.parametrize("name", CUTS)
def test_the_next_launch_does_what_was_cut_off(cuts, name):
    if cuts[name]: raise cuts[name]
