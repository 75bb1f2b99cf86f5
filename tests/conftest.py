"What all tests share: where the real inputs are, what is made once for all, and a way to run commands."
import os
from functools import partial
from pathlib import Path

import pytest
from bvm_process import run_bvm
from filelock import FileLock

ROOT = Path(__file__).parent.parent
MIRROR = ROOT.parent / "shared" / "data"
# Tests run side by side and share the cores. The process that starts the others sets this for all of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing answers there: a process with this environment has neither cache, mirror nor network.
OFFLINE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(scope="session", autouse=True)
def _fresh_cache(tmp_path_factory):
    "Every session fetches anew, from the mirror where it stands beside the checkout: no old cache hides a fault."
    os.environ["BVM_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["BVM_RUNS"] = str(tmp_path_factory.mktemp("runs"))
    if MIRROR.is_dir(): os.environ["BVM_MIRROR"] = str(MIRROR)


@pytest.fixture(scope="session")
def sources(_fresh_cache):
    "The full sources, from mirror or network; tests that need them are skipped, with the reason, if neither answers."
    from best_vision_models.sources import SourceUnavailable, fetch

    def get(name):
        try:
            return fetch(name)
        except SourceUnavailable as error:
            pytest.skip(str(error))

    return get


@pytest.fixture
def offline(tmp_path):
    "The environment of a machine that has only what the project ships."
    environment = {name: value for name, value in os.environ.items() if name.lower() not in ("bvm_mirror", "no_proxy")}
    return environment | OFFLINE | {"BVM_CACHE": str(tmp_path / "empty_cache")}


@pytest.fixture(scope="session")
def once(tmp_path_factory, worker_id):
    "Folder by name that the first process to ask for it fills: `once('site', make)`; the others wait."
    shared = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent

    def folder(name, make) -> Path:
        with FileLock(shared / f"{name}.lock"):
            if not (done := shared / f"{name}.done").exists():
                make(shared / name)
                done.touch()
        return shared / name

    return folder


@pytest.fixture(scope="session")
def shared_cache(once): return once("shared_cache", Path.mkdir)


@pytest.fixture
def real_images(tmp_path, monkeypatch):
    "A folder as `BVM_IMAGES` wants it, with the mirror's samples."
    if not MIRROR.is_dir(): pytest.skip(f"no mirror with images at {MIRROR}")
    for name in ("pets", "planet"): (tmp_path / name).symlink_to((MIRROR / "images" / f"{name}_sample").resolve())
    monkeypatch.setenv("BVM_IMAGES", str(tmp_path))
    return tmp_path


@pytest.fixture
def bvm(tmp_path_factory):
    "Run `bvm` as a process: `bvm('rank …', cwd=…, env=…)` gives returncode, stdout and stderr."
    folder = tmp_path_factory.mktemp("bvm")
    return partial(run_bvm, outputs=[folder / "stdout", folder / "stderr"])


def pytest_xdist_auto_num_workers(config):
    "One more process than cores, at most four: many tests wait for a clock, not for a core."
    return min((os.cpu_count() or 1) + 1, 4)


def pytest_collection_modifyitems(items):
    "What takes longest comes first, so that no process works alone at the end."
    items.sort(key=lambda item: item.path.stem != "test_notebooks")


def pytest_report_header():
    "Say at the start what will not be tested here, and why."
    if not MIRROR.is_dir():
        return "no ../shared/data beside this checkout: full sources come from the network, or their tests are skipped"
