"What `bvm recommend` does with bad input, with its minutes, and when it is stopped."
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from best_vision_models import cli
from best_vision_models.images import images_path


@pytest.fixture
def photos(tmp_path, shared_cache, monkeypatch):
    "Ten class folders of 30 digits each."
    monkeypatch.setenv("BVM_CACHE", str(shared_cache))
    for file in sorted((images_path("digits") / "images").glob("*.png")):
        folder = tmp_path / "photos" / file.stem.split("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        if len(list(folder.iterdir())) < 30: shutil.copy(file, folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


BAD = {"nothing": "no data set, folder or CSV is called", "one class": "two classes are needed",
       "broken": "can't be read as", "no model": "has no model 'resnett18': did you mean resnet18",
       "equal": "are copies of one", "no time": "minutes are too few"}


@pytest.mark.parametrize("what, says", [
    pytest.param(*of, marks=pytest.mark.slow if of[0] == "no time" else ()) for of in BAD.items()]) # it starts Ray
def test_bad_input_is_one_line(photos, capsys, what, says):
    more = []
    if what == "nothing": shutil.rmtree(photos)
    if what == "one class":
        for folder in sorted(photos.iterdir())[1:]: shutil.rmtree(folder)
    if what == "broken": (sorted(photos.iterdir())[0] / "broken.png").write_bytes(b"no image")
    if what == "no model": more = ["--models", "resnett18"]
    if what == "no time": more = ["--minutes", "0.5"]
    if what == "equal":
        for file in photos.glob("*/*"): Image.new("RGB", (8, 8)).save(file)
    assert cli.main(["recommend", "photos", *more]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("bvm: ") and says in said


@pytest.mark.slow
def test_stopped_it_answers_and_the_same_command_goes_on(photos):
    command = [sys.executable, "-c", "import sys; from best_vision_models.cli import main; sys.exit(main())",
               "recommend", "photos", "--minutes", "3", "--out", "out", "--img_size", "48",
               "--models", "tf_efficientnet_lite0.in1k,tf_efficientnet_lite1.in1k"]
    out = photos.parent / "out"
    asked = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"WANDB_MODE": "disabled"})
    until = time.time() + 600
    while not list(out.glob("races/*/*.json")) and time.time() < until and asked.poll() is None: time.sleep(0.2)
    asked.send_signal(signal.SIGINT)
    answer, _ = asked.communicate(timeout=600)
    assert asked.returncode == 0 and answer.startswith("Use tf_efficientnet_lite")
    probes = {file: file.stat().st_mtime_ns for file in out.glob("probes/*/*.json")}
    assert len(probes) == 2 and "<img" in (out / "answer.html").read_text()
    raced = len(list(out.glob("races/*/*.json")))
    began = time.time()
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    assert {file: file.stat().st_mtime_ns for file in out.glob("probes/*/*.json")} == probes
    assert len(list(out.glob("races/*/*.json"))) >= raced
    assert json.loads((out / "answer.json").read_text())["seconds"] < time.time() - began
