"""A stand-in for the W&B server, for tests of the real `wandb` SDK and the real `wandb agent` code on one machine.

It is not W&B: what W&B's own server does was read in its documentation and in the SDK, not tried. It keeps everything
in memory, knows one user and no permissions, and covers these calls only, as wandb 0.31 makes them:

- GraphQL `Viewer`, `GetDefaultEntity`, `ServerFeaturesQuery`: who am I, what can the server do (nothing special);
- GraphQL `UpsertSweep`, `GetSweep`, `SweepWithRuns`: create a sweep, read it;
- GraphQL `CreateAgent`, `Heartbeat`: an agent joins; it is told to start a run, to stop one (`server.to_stop`), or to
  leave when the grid is done, even if the agent has a run of its own under way. Only grids of `value` and `values` are
  handed out. A run goes to one agent and is never handed out again, also if it crashed: that is how the real server
  treats a grid. Until the run's process reports, the run is `pending`;
- GraphQL `UpsertBucket`, `Runs`, `CreateRunFiles`: create or update a run by its name (`inserted` says which), list
  runs, where to upload files;
- `POST /files/<entity>/<project>/<run>/file_stream`: history, summary, and at the end the exit code;
- `PUT /upload/...`: files, read and forgotten.

A run of which nothing was heard for `crash_after` seconds counts as crashed, and as running again when something is
heard. One whose process reported exit code 255 is `killed` (that W&B's own says so is a guess: nothing depends on it);
other codes than 0 are `failed`. `server.fail(seconds, how)` puts it out of order for a while: `500` answers every call
with that status; `silence` takes calls and hangs up without a word; `hang` takes them and says nothing at all; `refuse`
takes no connections; `restart` ends those that there are, too, then goes on with what it had stored. With
`server.lose_next = True` it hands out one run and hangs up before it says so. With `server.wanted` it hands out nothing
before so many agents have joined.

Anything else that is asked for is answered with an error and kept in `server.unknown`: the SDK asks for
`OrganizationCoreWeaveOrganizationID` and `/sdk/otel/...`, and goes on without.
"""
import itertools
import json
import re
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

ENTITY = "reader"


class WandbServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, crash_after: float = 60):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.crash_after, self.lock = crash_after, threading.RLock()
        self.sweeps, self.runs, self.agents, self.to_stop = {}, {}, {}, set()
        self.calls, self.unknown, self.keys_seen, self.connections = [], [], set(), set()
        self.failing_until, self.how, self.lose_next, self.wanted = 0, "500", False, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def fail(self, seconds: float, how: str = "500"): # or silence, hang, refuse, restart
        self.failing_until, self.how = time.time() + seconds, how
        if how not in ("refuse", "restart"): return
        address = self.socket.getsockname()
        self.shutdown()
        self.socket.close()
        if how == "restart":
            for connection in list(self.connections): hang_up(connection)

        def open_again():
            self.socket = socket.socket(self.address_family, self.socket_type)
            self.server_bind_to(address)
            self.serve_forever()
        threading.Timer(seconds, open_again).start()

    def server_bind_to(self, address):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(address)
        self.server_activate()

    def handle_error(self, request, client_address): pass # a client that was killed is no news

    def state(self, run: dict) -> str:
        if run["exitcode"] is not None: return {0: "finished", 255: "killed"}.get(run["exitcode"], "failed")
        if not run["started"]: return "pending"
        return "crashed" if time.time() - run["heard"] > self.crash_after else "running"

    # GraphQL

    def Viewer(self, **_):
        return {"viewer": {"id": "1", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}}

    def GetDefaultEntity(self, **_): return self.Viewer()

    def ServerFeaturesQuery(self, **_): return {"serverInfo": {"features": []}}

    def UpsertSweep(self, config=None, entityName=None, projectName=None, **_):
        name = uuid.uuid4().hex[:8]
        spec = yaml.safe_load(config)
        values = {k: p["values"] if "values" in p else [p["value"]] for k, p in spec["parameters"].items()}
        grid = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
        project = projectName or spec.get("project") or "uncategorized"
        self.sweeps[name] = {"name": name, "config": config, "project": project, "waiting": grid,
                             "program": spec.get("program")}
        return {"upsertSweep": {"sweep": {"name": name, "project": in_full(project)}, "configValidationWarnings": []}}

    def GetSweep(self, name=None, **_):
        if name not in self.sweeps: return {"project": {"sweep": None}}
        mine = [run for run in self.runs.values() if run["sweep"] == name]
        done = not self.sweeps[name]["waiting"] and all(self.state(run) != "running" for run in mine)
        return {"project": {"sweep": {
            "__typename": "Sweep", "id": name, "name": name, "displayName": name, "method": "grid", "description": None,
            "state": "FINISHED" if done else "RUNNING", "config": self.sweeps[name]["config"], "bestLoss": None,
            "createdAt": "2026-01-01T00:00:00", "updatedAt": None,
            "runCount": len(mine),
            "runCountExpected": len(mine) + len(self.sweeps[name]["waiting"])}}}

    def SweepWithRuns(self, sweep=None, **_):
        found = self.GetSweep(name=sweep)
        if found["project"]["sweep"]: found["project"]["sweep"]["runs"] = {"edges": []}
        return found

    def CreateAgent(self, sweep=None, host=None, **_):
        agent = uuid.uuid4().hex
        self.agents[agent] = {"sweep": sweep, "host": host}
        return {"createAgent": {"agent": {"id": agent}}}

    def Heartbeat(self, id=None, runState=None, **_):
        sweep, commands = self.sweeps[self.agents[id]["sweep"]], []
        running = json.loads(runState or "{}")
        if stop := [name for name in running if name in self.to_stop]:
            commands = [{"type": "stop", "run_id": name} for name in stop]
        elif not running and len(self.agents) < self.wanted: pass
        elif not running and sweep["waiting"]:
            name, point = uuid.uuid4().hex[:8], sweep["waiting"].pop(0)
            config = {setting: {"value": value} for setting, value in point.items()}
            self.runs[name] = self._new_run(name, sweep["project"], sweep["name"], config)
            self.runs[name]["agent"] = id
            commands = [{"type": "run", "run_id": name, "program": sweep["program"], "args": config}]
        elif not any(self.runs[name]["agent"] == id for name in running): commands = [{"type": "exit"}]
        return {"agentHeartbeat": {"agent": {"id": id}, "commands": json.dumps(commands)}}

    def _new_run(self, name, project, sweep, config):
        return {"name": name, "project": project, "sweep": sweep, "config": config, "summary": {}, "exitcode": None,
                "heard": time.time(), "created": time.time(), "agent": None, "started": False, "history": 0}

    def UpsertBucket(self, name=None, project=None, config=None, sweep=None, state=None, **_):
        name = name or uuid.uuid4().hex[:8]
        inserted = name not in self.runs
        run = self.runs.setdefault(name, self._new_run(name, project or "uncategorized", sweep, {}))
        if config:
            run["config"] = {**run["config"],
                             **{k: v for k, v in json.loads(config).items() if k != "logged_in_wandb"}}
        if state != "pending": run["heard"], run["started"] = time.time(), True
        return {"upsertBucket": {"inserted": inserted, "bucket": {
            "id": name, "name": name, "displayName": name, "description": "", "config": json.dumps(run["config"]),
            "sweepName": run["sweep"], "historyLineCount": 0, "project": in_full(run["project"])}}}

    def Runs(self, project=None, filters=None, cursor=None, perPage=50, **_):
        sweep = re.search(r'"sweep": ?"(\w+)"', filters or "")
        runs = [run for run in self.runs.values() if run["project"] == project]
        if sweep: runs = [run for run in runs if run["sweep"] == sweep[1]]
        start = int(cursor or 0)
        page = runs[start:start + perPage]
        nodes = [self._node(run) for run in page]
        return {"project": {"internalId": "1", "runCount": len(runs), "readOnly": False, "runs": {
            "edges": [{"node": node, "cursor": str(start + i + 1)} for i, node in enumerate(nodes)],
            "pageInfo": {"endCursor": str(start + len(page)), "hasNextPage": start + len(page) < len(runs)}}}}

    def _node(self, run: dict) -> dict:
        return {"id": run["name"], "name": run["name"], "displayName": run["name"], "sweepName": run["sweep"],
                "state": self.state(run), "config": json.dumps(run["config"]), "tags": [],
                "summaryMetrics": json.dumps(run["summary"]), "systemMetrics": "{}", "projectId": "1",
                "createdAt": moment(run["created"]), "heartbeatAt": moment(run["heard"]),
                "historyLineCount": run["history"], "group": None, "jobType": None,
                "commit": None, "readOnly": False, "description": None, "notes": None, "historyKeys": None,
                "user": {"name": ENTITY, "username": ENTITY}}

    def CreateRunFiles(self, run=None, files=(), **_):
        addresses = [{"name": file, "uploadUrl": f"{self.url}/upload/{run}/{file}"} for file in files]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": addresses}}

    # everything else

    def file_stream(self, name: str, body: dict):
        run = self.runs.get(name)
        if run is None: return
        run["heard"] = time.time()
        for file, part in (body.get("files") or {}).items():
            if file == "wandb-summary.json": run["summary"].update(json.loads(part["content"][-1]))
            if file == "wandb-history.jsonl": run["history"] += len(part["content"])
        if body.get("complete"): run["exitcode"] = body.get("exitcode", 0)


def in_full(project: str) -> dict:
    return {"id": project, "name": project, "entity": {"id": ENTITY, "name": ENTITY}}


def moment(seconds: float) -> str: return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def hang_up(connection):
    try: connection.shutdown(socket.SHUT_RDWR)
    except OSError: pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self):
        self.server.connections.discard(self.connection)
        super().finish()

    def log_message(self, *_): pass

    def _answer(self, content: dict, status: int = 200):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _hang_up(self):
        self.close_connection = True
        hang_up(self.connection)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _serve(self):
        server, body = self.server, self._body()
        server.keys_seen.add(self.headers.get("Authorization", ""))
        how = server.how if time.time() < server.failing_until else ""
        if how == "500": return self._answer({"error": "out of order"}, 500)
        if how == "hang": time.sleep(server.failing_until - time.time())
        if how in ("silence", "hang", "refuse", "restart"): return self._hang_up()
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip
            body = gzip.decompress(body)
        with server.lock:
            if self.path == "/graphql":
                answer = self._graphql(json.loads(body))
                if not (server.lose_next and "run_id" in str(answer)): return self._answer(answer)
                server.lose_next = False
                return self._hang_up()
            if stream := re.fullmatch(r"/files/.+/(\w+)/file_stream", self.path):
                server.file_stream(stream[1], json.loads(body))
                return self._answer({})
            if self.path.startswith("/upload/"): return self._answer({})
            server.unknown.append(self.path)
            return self._answer({"error": "not covered by this stand-in"}, 404)

    def _graphql(self, request: dict) -> dict:
        found = re.search(r"(query|mutation)\s+(\w+)", request["query"])
        name = found[2] if found else "?"
        self.server.calls.append(name)
        call = getattr(self.server, name, None) if name[0].isupper() else None
        if call is None:
            self.server.unknown.append(name)
            return {"data": {}, "errors": [{"message": f"{name} is not covered by this stand-in"}]}
        return {"data": call(**(request.get("variables") or {}))}

    do_POST = do_PUT = do_GET = _serve
