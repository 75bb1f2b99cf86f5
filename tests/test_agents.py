"""W&B agents for real: wandb's SDK and its `wandb agent` process, against a stand-in of the server (`wandb_server.py`).

Not run against W&B's own server: nothing here shows how that behaves.
"""
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
from nbclient import NotebookClient

pytest.importorskip("wandb")
from wandb_server import ENTITY, WandbServer

from best_vision_models.agents import complete_sweep, create_sweep, find_agents, launch_agents, read_wandb_sweep
from best_vision_models.sources import BadInput
from best_vision_models.sources import read_run_files
from best_vision_models.sweeps import missing_runs, read_sweep

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
    for name, value in dict(WANDB_BASE_URL=server.url, WANDB_API_KEY=KEY, WANDB_DIR=str(tmp_path), NETRC=str(tmp_path / "netrc"),
                            PYTHONPATH=f"{HERE.parent}:{HERE}", WANDB_ERROR_REPORTING="false", CUDA_VISIBLE_DEVICES="").items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_ENTITY", "WANDB_PROJECT", "WANDB_SWEEP_ID", "WANDB_RUN_ID"): monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    yield server
    import wandb
    wandb.teardown()
    server.shutdown()


def grid(tmp_path, n, seconds) -> dict:
    (tmp_path / "train.py").write_text(TRAIN)
    return {"method": "grid", "command": ["${interpreter}", str(tmp_path / "train.py"), "${args}"],
            "parameters": {"i": {"values": list(range(n))}, "seconds": {"value": seconds}}}


def finished(server) -> Counter: return Counter(run["config"]["i"]["value"] for run in server.runs.values() if run["exitcode"] == 0)


def wait_for(what, seconds=60):
    deadline = time.time() + seconds
    while not what():
        assert time.time() < deadline, "waited too long"
        time.sleep(0.1)


def processes_of(folder, variable="WANDB_DIR") -> list[str]: # whatever still runs on behalf of this test, wandb's own service included
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.pid != os.getpid() and process.environ().get(variable, "").startswith(f"{folder}/")
            if ours and process.status() != psutil.STATUS_ZOMBIE: found.append(" ".join(process.cmdline())[:100])
        except (psutil.Error, OSError): pass
    return found


def test_two_agents_share_a_grid_and_no_key_is_shown(server, tmp_path, capfd):
    sweep = create_sweep(grid(tmp_path, 6, 0.5), project="p")
    assert sweep.startswith(f"{ENTITY}/p/")
    agents = launch_agents(sweep, gpus="cpu,cpu", logs=tmp_path / "logs")
    table = agents.wait()
    assert list(table.state) == ["finished: the sweep has no more runs"] * 2 and sum(table.runs_done) == 6 and min(table.runs_done) >= 1, table
    assert finished(server) == Counter(range(6)) # each once, by one of the two
    assert len({run["agent"] for run in server.runs.values()}) == 2
    rows = read_wandb_sweep(sweep)
    assert {row["state"] for row in rows} == {"finished"} and sorted(row["error_rate"] for row in rows) == [i / 100 for i in range(6)]
    assert missing_runs(read_sweep(grid(tmp_path, 6, 0.5)), rows) == {}
    written = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()) + str(table) + "".join(capfd.readouterr())
    assert any(KEY.encode() for KEY in server.keys_seen) and KEY not in written
    wait_for(lambda: not processes_of(tmp_path), 20)
    print("\nasked of the server:", sorted(set(server.calls)), "not covered:", sorted(set(server.unknown)))


def test_stop_restart_and_exactly_the_missing_runs(server, tmp_path):
    "A stopped agent leaves nothing behind; a new one continues; the run that was cut off is then run again, it alone."
    server.crash_after = 5
    spec = grid(tmp_path, 4, 3)
    sweep = create_sweep(spec, project="p")
    agents = launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs")
    wait_for(lambda: sum(run["started"] for run in server.runs.values()) == 2) # the second is under way
    table = find_agents(tmp_path / "logs").stop() # as another kernel would
    assert agents.running() == 0 and not table.state[0].startswith("running")
    wait_for(lambda: not processes_of(tmp_path), 10)
    with launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs") as agents: agents.wait()
    done = finished(server)
    time.sleep(5.5) # the stand-in counts a run as crashed when it has heard nothing of it for 5 s
    rows = read_wandb_sweep(sweep)
    missing = [config["i"] for config in missing_runs(read_sweep(spec), rows).values()]
    assert len(missing) == 1 and done == Counter(set(range(4)) - set(missing)), (missing, done)
    before = len(server.runs)
    status = complete_sweep(sweep, tmp_path / "out", agents=1, run=join)
    assert status == {"total": 4, "finished": 4, "failed": 0, "crashed": 0, "left": 0}
    assert finished(server) == Counter(range(4)) and len(server.runs) == before + 1
    assert {run["sweep"] for run in server.runs.values()} == {sweep.split("/")[-1]} # it joined the same sweep
    assert sorted(row["i"] for row in read_run_files(tmp_path / "out")) == list(range(4))


def test_fine_tune_is_imported_once_for_all_runs_of_an_agent(server, tmp_path, monkeypatch):
    "Each run is a fork of the agent that has the libraries already; its exit status and its settings are as ever."
    monkeypatch.setenv("BVM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    parameters = {"dataset": {"value": "digits"}, "model_name": {"value": "resnet10t"}, "pretrained": {"value": False},
                  "img_size": {"value": 8}, "epochs": {"value": 1}, "learning_rate": {"values": [0.01, 1e30]}, "pool": {"value": "avg"}}
    command = ["${env}", "${interpreter}", "-m", "best_vision_models.fine_tune", "--batch_size=128", "${args}"]
    sweep = create_sweep({"method": "grid", "command": command, "parameters": parameters}, project="p")
    with launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs") as agents: agents.wait()
    log = (tmp_path / "logs" / "launch-1" / "agent-0-cpu.log").read_text()
    assert [line.split("|")[-1].strip() for line in log.splitlines()].count("torch") == 1
    runs = {run["config"]["learning_rate"]["value"]: run for run in server.runs.values()}
    assert {rate: run["exitcode"] for rate, run in runs.items()} == {0.01: 0, 1e30: 1}
    config = {name: given["value"] for name, given in runs[0.01]["config"].items() if name != "_wandb"}
    assert (config["pool"], config["batch_size"], config["img_size"]) == ("avg", 128, 8)
    good = next(row for row in read_wandb_sweep(sweep) if row["learning_rate"] == 0.01)
    assert 0 < good["error_rate"] < 1 and good["fit_time"] > 0


def test_stop_after_the_run_under_way(server, tmp_path):
    sweep = create_sweep(grid(tmp_path, 4, 3), project="p")
    agents = launch_agents(sweep, gpus="cpu", logs=tmp_path / "logs")
    wait_for(lambda: sum(run["started"] for run in server.runs.values()) == 2)
    agents.stop(finish_runs=True)
    assert agents.running() == 0
    assert sum(finished(server).values()) == sum(run["started"] for run in server.runs.values()) < 4 # none cut off, none begun


def test_a_cell_watches_its_agents(server, tmp_path):
    "In a real kernel: the table in the cell refreshes until the agents have ended."
    sweep = create_sweep(grid(tmp_path, 3, 1), project="p")
    source = f"""from best_vision_models.agents import launch_agents
agents = launch_agents({sweep!r}, gpus="cpu", logs={str(tmp_path / "logs")!r})
agents.watch(0.5)"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120).execute()
    (shown,) = [output for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert "ended" in shown.data["text/plain"] and "running" not in shown.data["text/plain"]
    assert finished(server) == Counter(range(3))


def join(config):
    "What `fine_tune` does with W&B, without the training."
    import wandb
    with wandb.init(config=config) as run: run.summary["error_rate"] = config["i"] / 100
    return {"error_rate": config["i"] / 100}


def test_a_server_out_of_order_loses_no_finished_run(server, tmp_path, monkeypatch):
    "For 30 s, while a run is under way and ends; two servers at once, each with its own kind of trouble."
    servers, agents, sweeps = {"500": server, "silence": WandbServer()}, {}, {}
    for how, at in servers.items():
        monkeypatch.setenv("WANDB_BASE_URL", at.url)
        sweeps[how] = create_sweep(grid(tmp_path, 2, 3), project="p")
        agents[how] = launch_agents(sweeps[how], gpus="cpu", logs=tmp_path / how)
    with agents["500"], agents["silence"]:
        for how, at in servers.items():
            wait_for(lambda: any(run["history"] or run["heard"] for run in at.runs.values()))
            time.sleep(2)
            at.fail(30, how)
        wait_for(lambda: all(sum(finished(at).values()) == 2 for at in servers.values()), 150)
        for each in agents.values(): each.wait()
    for how, at in servers.items():
        monkeypatch.setenv("WANDB_BASE_URL", at.url)
        assert finished(at) == Counter(range(2)), how
        assert [row["state"] for row in read_wandb_sweep(sweeps[how])] == ["finished"] * 2
    servers["silence"].shutdown()


KERNEL = """
import sys, time
from best_vision_models.agents import launch_agents
agents = launch_agents(sys.argv[1], gpus="cpu", logs=sys.argv[2], detached=sys.argv[3] == "True")
print("launched", flush=True)
time.sleep(999)
"""


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
    wait_for(lambda: not processes_of(tmp_path), 40)


def test_without_a_login_or_a_server(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadInput, match="has no sweep"): read_wandb_sweep(f"{ENTITY}/p/nothing")
    code = ("from best_vision_models.agents import create_sweep, launch_agents\n"
            "for call in [lambda: create_sweep({'method': 'grid', 'parameters': {'i': {'value': 1}}}, project='p'), lambda: launch_agents('a/b/c', gpus='cpu')]:\n"
            "    try: call()\n    except Exception as error: print(type(error).__name__, error)\n")
    monkeypatch.delenv("WANDB_API_KEY")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.stdout.count("BadInput nobody is logged in to W&B here: run wandb login") == 2, done.stdout + done.stderr
