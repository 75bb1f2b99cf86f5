"""W&B agents for real: wandb's SDK and its `wandb agent` process, against a stand-in of the server (`wandb_server.py`).

Not run against W&B's own server: nothing here shows how that behaves.
"""
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml
from nbclient import NotebookClient

pytest.importorskip("wandb")
from wandb_server import ENTITY, WandbServer

from best_vision_models.agents import _story, complete_sweep, find_agents, launch_agents
from best_vision_models.diary import Diary
from best_vision_models.runs import read_run_files, read_runs
from best_vision_models.scores import summarise
from best_vision_models.sources import BadInput
from best_vision_models.sweep_files import read_sweep
from best_vision_models.sweeps import missing_runs
from best_vision_models.wandb_runs import read_wandb_sweep
from best_vision_models.wandb_sweeps import create_sweep

HERE = Path(__file__).parent
KEY = "0123456789abcdef0123456789abcdef01234567"
TRAIN = """
import sys, time, wandb
config = dict(arg[2:].split("=") for arg in sys.argv[1:])
if config.get("die") == "1": import os; os.kill(os.getpid(), 9)
with wandb.init() as run:
    run.log({"loss": 1.0})
    time.sleep(float(config["seconds"]))
    run.summary["error_rate"] = int(config["i"]) / 100
    run.summary["fit_time"] = float(config["seconds"])
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    server = WandbServer()
    for name, value in dict(WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY, WANDB_DIR=str(tmp_path),
                            NETRC=str(tmp_path / "netrc"), PYTHONPATH=f"{HERE.parent}:{HERE}",
                            WANDB_ERROR_REPORTING="false", CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1").items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_ENTITY", "WANDB_PROJECT", "WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield server
    import wandb
    wandb.teardown()
    server.shutdown()


def grid(tmp_path, n, seconds) -> dict:
    (tmp_path / "train.py").write_text(TRAIN)
    return {"method": "grid", "command": ["${interpreter}", str(tmp_path / "train.py"), "${args}"],
            "parameters": {"i": {"values": list(range(n))}, "seconds": {"value": seconds}}}


def finished(server) -> Counter:
    return Counter(run["config"]["i"]["value"] for run in server.runs.values() if run["exitcode"] == 0)


def wait_for(what, seconds=900):
    deadline = time.time() + seconds
    while not what():
        assert time.time() < deadline, "waited too long"
        time.sleep(0.1)


def processes_of(folder, variable="WANDB_DIR") -> list[str]:
    "Whatever still runs on behalf of this test, wandb's own service included."
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and process.environ().get(variable, "").startswith(f"{folder}/")
            if ours and process.status() != psutil.STATUS_ZOMBIE: found.append(" ".join(process.cmdline())[:100])
        except (psutil.Error, OSError): pass
    return found


def test_two_agents_share_a_grid_and_no_key_is_shown(server, tmp_path, capfd):
    sweep = create_sweep(grid(tmp_path, 4, 0.5), project="p")
    assert sweep.startswith(f"{ENTITY}/p/")
    server.wanted = 2
    agents = launch_agents(sweep, gpus="cpu,cpu", logs=tmp_path / "logs")
    with pytest.raises(BadInput, match=f"2 agents of {sweep} are at work .* stop()"):
        launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs")
    agents.follow()
    table, said = agents.status(), capfd.readouterr()
    assert list(table.columns) == ["agent", "gpu", "state", "runs_done", "failed", "total", "model_name", "epoch",
                                   "error_rate"]
    assert list(table.state) == ["finished: the sweep has no more runs"] * 2, table
    assert sum(table.runs_done) == 4 and min(table.runs_done) >= 1, table
    assert set(table.total) == {4} and set(table.failed) == {0}
    told = sorted(line.split(": ")[-1] for line in said.out.splitlines() if " done: " in line)
    assert told == [f"i {i}" for i in range(4)]
    assert finished(server) == Counter(range(4)) # each once, by one of the two
    assert len({run["agent"] for run in server.runs.values()}) == 2
    rows = read_wandb_sweep(sweep)
    assert {row["state"] for row in rows} == {"finished"}
    assert sorted(row["error_rate"] for row in rows) == [i / 100 for i in range(4)]
    assert missing_runs(read_sweep(grid(tmp_path, 4, 0.5)), rows) == {}
    files = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    written = "".join([*files, str(table), *said])
    assert any(KEY.encode() for KEY in server.keys_seen) and KEY not in written
    wait_for(lambda: not processes_of(tmp_path))
    print("\nasked of the server:", sorted(set(server.calls)), "not covered:", sorted(set(server.unknown)))


def test_what_others_recorded_as_finished_and_was_cut_off(server, tmp_path):
    "It doesn't rank, and it is missing."
    parameters = {"model_name": {"values": ["good", "cut_off"]}, "dataset": {"value": "pets"}}
    spec = grid(tmp_path, 2, 1) | {"parameters": parameters}
    sweep = create_sweep(spec, project="p")
    summaries = {"good": {"error_rate": 0.2, "fit_time": 9}, "cut_off": {"error_rate": 0.1, "epoch": 1.8}}
    for name, summary in summaries.items():
        config = json.dumps({"model_name": {"value": name}, "dataset": {"value": "pets"}})
        server.UpsertBucket(name=name, project="p", sweep=sweep.split("/")[-1], config=config)
        server.runs[name].update(exitcode=0, summary=summary)
    runs = read_runs(f"wandb:{sweep}").set_index("run_id")
    assert dict(runs.state) == {"good": "finished", "cut_off": "crashed"}
    assert list(summarise(read_runs(f"wandb:{sweep}")).model_name) == ["good"]
    missing = missing_runs(read_sweep(spec), read_wandb_sweep(sweep))
    assert [config["model_name"] for config in missing.values()] == ["cut_off"]


@pytest.mark.slow
def test_stop_and_exactly_the_missing_runs(server, tmp_path, capfd):
    "A stopped agent leaves nothing behind; what it has not finished is then run, and nothing else."
    server.crash_after = 5
    spec = grid(tmp_path, 4, 3)
    sweep = create_sweep(spec, project="p")
    agents = launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs")
    wait_for(lambda: sum(run["started"] for run in server.runs.values()) == 2) # the second is under way
    table = find_agents(tmp_path / "logs").stop() # as another kernel would
    assert agents.running() == 0 and table.state[0] == "stopped" and table.runs_done[0] == 1
    assert "cut off: i 1; the next launch" in capfd.readouterr().out
    wait_for(lambda: not processes_of(tmp_path))
    with pytest.raises(BadInput, match="1 runs .* under way"):
        complete_sweep(sweep, tmp_path / "out", agents=1, run=join)
    time.sleep(5.5) # the stand-in counts a run as crashed when it has heard nothing of it for 5 s
    missing = [config["i"] for config in missing_runs(read_sweep(spec), read_wandb_sweep(sweep)).values()]
    assert missing == [1, 2, 3]
    before = len(server.runs)
    status = complete_sweep(sweep, tmp_path / "out", agents=1, run=join)
    assert status == {"total": 4, "finished": 4, "failed": 0, "crashed": 0, "left": 0}
    assert finished(server) == Counter(range(4)) and len(server.runs) == before + 3
    assert {run["sweep"] for run in server.runs.values()} == {sweep.split("/")[-1]} # it joined the same sweep
    assert sorted(row["i"] for row in read_run_files(tmp_path / "out")) == list(range(4))


SMALL = {"dataset": {"value": "digits"}, "model_name": {"value": "resnet10t"}, "pretrained": {"value": False},
         "img_size": {"value": 8}}


@pytest.mark.slow
def test_a_sweep_without_a_command_runs_fine_tune_imported_once(server, tmp_path, monkeypatch):
    "Each run is a fork of the agent that has the libraries already; its exit status and its settings are as ever."
    monkeypatch.setenv("BVM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    parameters = SMALL | {"epochs": {"value": 1}, "learning_rate": {"values": [0.01, 1e30]}, "pool": {"value": "avg"},
                          "batch_size": {"value": 128}}
    sweep = create_sweep({"method": "grid", "parameters": parameters}, project="p")
    with launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs") as agents: agents.wait()
    log = (tmp_path / "logs" / "launch-1" / "agent-0-cpu.log").read_text()
    assert [line.split("|")[-1].strip() for line in log.splitlines()].count("torch") == 1
    runs = {run["config"]["learning_rate"]["value"]: run for run in server.runs.values()}
    assert {rate: run["exitcode"] for rate, run in runs.items()} == {0.01: 0, 1e30: 1}
    config = {name: given["value"] for name, given in runs[0.01]["config"].items() if name != "logged_in_wandb"}
    assert (config["pool"], config["batch_size"], config["img_size"]) == ("avg", 128, 8)
    good = next(row for row in read_wandb_sweep(sweep) if row["learning_rate"] == 0.01)
    assert 0 < good["error_rate"] < 1 and good["fit_time"] > 0
    row = agents.status().iloc[0]
    assert (row.runs_done, row.failed, row.total, row.model_name) == (1, 1, 2, "resnet10t")
    story = "\n".join(_story(agents.agents[0], Diary(agents.agents[0]["diary"]).read()))
    assert f"done, error_rate {good['error_rate']:.4g}: learning_rate 0.01" in story
    assert "failed (training loss became nan" in story


@pytest.mark.slow
def test_fine_tune_cut_off_and_stopped_early(server, tmp_path, monkeypatch):
    "Cut off by `stop`: killed at the server, with the error it had got to, and done again. By hyperband: finished."
    monkeypatch.setenv("BVM_CACHE", str(tmp_path / "cache"))
    command = ["${env}", "${interpreter}", "-m", "best_vision_models.fine_tune", "--batch_size=64", "${args}"]
    parameters = SMALL | {"epochs": {"value": 500}, "learning_rate": {"values": [0.01, 0.02]}}
    sweep = create_sweep({"method": "grid", "command": command, "metric": {"name": "error_rate"},
                          "parameters": parameters, "early_terminate": {"type": "hyperband", "min_iter": 100}},
                         project="p")

    def latest_has_trained():
        diaries = sorted((tmp_path / "logs").glob("launch-*/*.jsonl"))
        notes = [note for path in diaries for note in Diary(path).read("epoch")]
        return notes and notes[-1]["run_id"] == list(server.runs)[-1]

    agents = launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs")
    wait_for(latest_has_trained, 300)
    assert agents.status().epoch[0].endswith(" of 501") and agents.status().model_name[0] == "resnet10t"
    agents.stop()
    (first,) = server.runs.values()
    assert first["config"]["batch_size"]["value"] == 64 and first["exitcode"] == 255 and first["summary"]["cut_off"]
    assert 0 < first["summary"]["error_rate"] < 1 and [row["state"] for row in read_wandb_sweep(sweep)] == ["crashed"]
    with launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs") as agents:
        for number in (2, 3): # the second point, and the first again
            wait_for(lambda: len(server.runs) == number and latest_has_trained(), 300) # noqa: B023
            server.to_stop.add(list(server.runs)[-1])
            wait_for(lambda: list(server.runs.values())[-1]["exitcode"] is not None)
        wait_for(lambda: not agents.running())
    assert agents.status().state[0] == "finished: the sweep has no more runs" and agents.status().runs_done[0] == 2
    rows = read_wandb_sweep(sweep)
    assert sorted((row["learning_rate"], row["state"]) for row in rows) == [
        (0.01, "crashed"), (0.01, "finished"), (0.02, "finished")]
    assert all("stopped_epoch" in run["summary"] for run in list(server.runs.values())[1:])


@pytest.mark.slow
def test_why_agents_ended(server, tmp_path):
    "No sweep, no program, a program that fails, a count, points that crash: each in words, none tried for ever."
    spec = grid(tmp_path, 9, 0)
    bare = server.UpsertSweep(yaml.safe_dump({"method": "grid", "parameters": spec["parameters"]}), ENTITY, "p")
    no_program = bare["upsertSweep"]["sweep"]["name"]
    fails = create_sweep(spec | {"parameters": {"i": {"values": list(range(9))}}}, project="p") # train.py needs seconds
    counted = create_sweep(spec, project="p")
    crashes = create_sweep(spec | {"parameters": {"die": {"values": [1]}}}, project="p")
    cases = {f"{ENTITY}/p/nothing": ("gave up: W&B has no sweep", 0),
             f"{ENTITY}/p/{no_program}": ("gave up: the sweep names no program", 0),
             fails: ("gave up: ", 3), counted: ("finished: its 1 runs", 0), crashes: ("ended: 1 runs are missing", 0)}
    launched = [launch_agents(sweep, gpus="cpu", logs=tmp_path / f"logs{n}", count=1 if sweep == counted else None)
                for n, sweep in enumerate(cases)]
    for agents, (state, failed) in zip(launched, cases.values(), strict=True):
        table = agents.wait()
        assert table.state[0].startswith(state) and failed <= table.failed[0] < 9, table
    assert sum(finished(server).values()) == 1
    assert len([run for run in server.runs.values() if run["sweep"] == crashes.split("/")[-1]]) == 3


@pytest.mark.slow
def test_stop_after_the_run_under_way(server, tmp_path):
    sweep = create_sweep(grid(tmp_path, 4, 3), project="p")
    agents = launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs")
    wait_for(lambda: sum(run["started"] for run in server.runs.values()) == 2)
    agents.stop(finish_runs=True)
    assert agents.running() == 0
    begun = sum(run["started"] for run in server.runs.values())
    assert sum(finished(server).values()) == begun < 4 # none cut off, none begun


def test_an_agent_that_starts_is_told_to_finish(tmp_path):
    "In its first second it imports: a keeper ignores Ctrl-C, and its agent must not have learnt that."
    keep = f"""import sys
from best_vision_models.diary import Diary
from best_vision_models.keeper import Keeper
Keeper(Diary({str(tmp_path / "diary")!r}), [sys.executable, "-c", "import time; time.sleep(600)"]).keep()"""
    keeper = subprocess.Popen([sys.executable, "-c", keep], stdin=subprocess.PIPE)
    wait_for(lambda: psutil.Process(keeper.pid).children())
    keeper.send_signal(signal.SIGUSR1)
    assert keeper.wait(60) == 0
    assert Diary(str(tmp_path / "diary")).read("end")[-1]["state"] == "stopped"


@pytest.mark.slow
def test_a_cell_watches_its_agents(server, tmp_path):
    "In a real kernel: the table in the cell refreshes until the agents have ended."
    sweep = create_sweep(grid(tmp_path, 3, 1), project="p")
    source = f"""from best_vision_models.agents import launch_agents
agents = launch_agents({sweep!r}, gpus="cpu", logs={str(tmp_path / "logs")!r})
agents.watch(0.5)"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120).execute()
    (shown,) = [output for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert "finished: the sweep has no more runs" in shown.data["text/plain"]
    assert finished(server) == Counter(range(3))


def join(config):
    "What `fine_tune` does with W&B, without the training; it also may write a value otherwise than the sweep does."
    import wandb
    error_rate = config["i"] / 100
    with wandb.init(config={"i": str(config["i"])}) as run:
        run.summary.update({"error_rate": error_rate, "fit_time": 1})
    return {"error_rate": error_rate}


KERNEL = """
import sys, time
from best_vision_models.agents import launch_agents
agents = launch_agents(sys.argv[1], gpus="cpu", logs=sys.argv[2], detached=sys.argv[3] == "True")
print("launched", flush=True)
time.sleep(999)
"""


@pytest.mark.slow
@pytest.mark.parametrize("detached", [False, True])
def test_agents_die_with_the_kernel_unless_detached(server, tmp_path, detached):
    sweep = create_sweep(grid(tmp_path, 9, 2), project="p")
    kernel = subprocess.Popen([sys.executable, "-c", KERNEL, sweep, str(tmp_path / "logs"), str(detached)])
    wait_for(lambda: server.runs)
    kernel.send_signal(signal.SIGKILL)
    kernel.wait()
    if detached:
        done = sum(finished(server).values())
        wait_for(lambda: sum(finished(server).values()) > done)
        find_agents(tmp_path / "logs").stop()
    wait_for(lambda: not processes_of(tmp_path))


def test_without_a_login_or_a_server(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadInput, match="has no sweep"): read_wandb_sweep(f"{ENTITY}/p/nothing")
    code = ("from best_vision_models.wandb_sweeps import create_sweep; "
            "from best_vision_models.agents import launch_agents\n"
            "spec = {'method': 'grid', 'parameters': {'i': {'value': 1}}}\n"
            "for call in [lambda: create_sweep(spec, project='p'), lambda: launch_agents('a/b/c', gpus='cpu')]:\n"
            "    try: call()\n    except Exception as error: print(type(error).__name__, error)\n")
    monkeypatch.delenv("WANDB_API_KEY")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    complaint = "BadInput nobody is logged in to W&B here: run wandb login"
    assert done.stdout.count(complaint) == 2, done.stdout + done.stderr
