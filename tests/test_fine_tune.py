"""What notebook 02 can't test: the article's lines on real photographs, all its models, weights, memory, W&B,
real processes.

`BVM_ALL_MODELS=1 pytest tests/test_fine_tune.py -k trains` gives each of the article's 86 models a real training step
(minutes); without it each is built, and a few of every kind are trained.
"""

import json
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from conftest import MIRROR
from fastai.callback.core import Callback
from fastai.data.transforms import get_image_files
from fastai.metrics import accuracy, accuracy_multi, error_rate
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import create_timm_model, default_split, vision_learner
from PIL import Image
from safetensors.torch import save_file

import best_vision_models.fine_tune as module
from best_vision_models.fine_tune import fine_tune, main
from best_vision_models.images import images_path
from best_vision_models.models import find_model
from best_vision_models.settings import read_config
from best_vision_models.sources import BadInput, SourceUnavailable, data_dir, read_table
from best_vision_models.weights import PACKAGES, with_weights

REPO = Path(__file__).parents[1]
PUBLISHED = MIRROR / "runs" / "fastai_timm.csv"
TAGS_OF_2022 = data_dir() / "summaries" / "weights_2022.csv"


@pytest.fixture(autouse=True)
def cache(shared_cache, monkeypatch):
    monkeypatch.setenv("BVM_CACHE", str(shared_cache))
    for name in ("BVM_IMAGES", "WANDB_SWEEP_ID"): monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def few(tmp_path_factory, shared_cache):
    "Three class folders of twelve digits each: a run takes about a second."
    folder = tmp_path_factory.mktemp("few")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BVM_CACHE", str(shared_cache))
        digits = images_path("digits") / "images"
    for name in ("zero", "one", "two"):
        (folder / name).mkdir()
        for f in sorted(digits.glob(f"{name}_*"))[:12]: shutil.copy(f, folder / name)
    return str(folder)


@pytest.fixture
def quick(few):
    def settings(**changes):
        return {"dataset": few, "model_name": "resnet10t", "pretrained": False, "learning_rate": 0.02, "img_size": 32,
                "batch_size": 8, "epochs": 1, "precision": "fp32", **changes}
    return settings


def check_row(row):
    "`row` has every column of the runs table and passes its schema."
    runs = pytest.importorskip("best_vision_models.runs", reason="the runs table comes with notebook 05")
    assert not set(runs.RUNS_COLUMNS) - set(row)
    table = pd.DataFrame([row])
    numbers = [c for c in runs.NUMBER_COLUMNS if c in table]
    runs.runs_schema().validate(table.astype({c: float for c in numbers}))


def run(*flags, **env):
    "The script in a process of its own."
    return subprocess.run([sys.executable, "-m", "best_vision_models.fine_tune", *map(str, flags)], cwd=REPO, text=True,
                          capture_output=True, env=os.environ | {k: str(v) for k, v in env.items()}, timeout=900,
                          stdin=subprocess.DEVNULL)


# --- the article's four lines

def article_pets(path, size, method, seed):
    set_seed(seed)
    files = sorted(get_image_files(path / "images"))  # sorted: the script's own order differs from machine to machine
    dls = ImageDataLoaders.from_name_re(path, files, r"(^[a-zA-Z]+_*[a-zA-Z]+)", valid_pct=0.2, seed=seed, bs=32,
                                        item_tfms=Resize(size, method=method))
    learn = vision_learner(dls, "resnet10t", pretrained=False, metrics=[error_rate, accuracy], concat_pool=True)
    learn.fine_tune(1, 0.02)
    return dls, learn.recorder.values[-1][2]


def article_planet(path, size, method, seed):
    set_seed(seed)
    dls = ImageDataLoaders.from_csv(path, folder="train", csv_fname="labels.csv", label_delim=" ", suff=".jpg", bs=32,
                                    seed=seed, item_tfms=Resize(size, method=method))
    learn = vision_learner(dls, "resnet10t", pretrained=False, metrics=[accuracy_multi], concat_pool=True)
    learn.fine_tune(1, 0.02)
    return dls, 1 - learn.recorder.values[-1][2]


@pytest.mark.parametrize("dataset, article", [("pets", article_pets), ("planet", article_planet)])
def test_same_result_as_the_article_s_lines(real_images, dataset, article, capsys):
    if torch.cuda.is_available(): pytest.skip("to the last digit on a CPU only")
    dls, expected = article(real_images / dataset, 64, "crop", 42)
    row = fine_tune(read_config(dataset=dataset, model_name="resnet10t", pretrained=False, learning_rate=0.02,
                                img_size=64, epochs=1, precision="fp32"))
    assert row["error_rate"] == expected
    assert row["state"] == "finished" and row["dataset"] == dataset and row["fit_time"] > 0
    assert row["image_cache"] == "auto"
    check_row(row)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["digits", "digit_pairs"])
def test_same_result_with_and_without_the_image_cache(quick, dataset):
    rows = [fine_tune(read_config(**quick(dataset=dataset, img_size=16, batch_size=64, image_cache=c)))
            for c in ("auto", "off")]
    assert [row["image_cache"] for row in rows] == ["auto", "off"]
    measures = ["error_rate", "valid_loss", "train_loss"]
    if not torch.cuda.is_available(): assert [rows[0][m] for m in measures] == [rows[1][m] for m in measures]


def test_same_config_same_metrics_other_repeat_other(quick):
    metrics = ["error_rate", "valid_loss", "train_loss"]
    first, again, repeat = (fine_tune(read_config(**quick(repeat=n))) for n in (1, 1, 2))
    if not torch.cuda.is_available(): assert [first[m] for m in metrics] == [again[m] for m in metrics]
    assert first["run_id"] == again["run_id"] != repeat["run_id"]
    assert [first[m] for m in metrics] != [repeat[m] for m in metrics]


# --- models

def models_of_2022():
    "The 86 models of the article's sweep (the six mobilenetv3 were dropped from it)."
    if not PUBLISHED.exists(): return []
    return sorted(m for m in pd.read_csv(PUBLISHED).model_name.unique() if not m.startswith("mobilenetv3_"))


ONE_OF_EACH_KIND = ["resnet26d", "convnext_tiny", "levit_128s", "mobilevit_xxs", "regnety_002", "efficientnet_lite0",
                    "vit_tiny_r_s16_p8_224", "vit_small_patch32_224", "swin_s3_tiny_224", "swinv2_cr_tiny_ns_224"]


@pytest.mark.skipif(not PUBLISHED.exists(), reason=f"no mirror at {MIRROR}")
def test_all_models_of_the_article_build():
    names = models_of_2022()
    table = read_table(TAGS_OF_2022).set_index("model_name").weights if TAGS_OF_2022.exists() else {}
    assert len(names) == 86
    for name in names:
        model = find_model(name)
        assert model.has_weights, name
        if len(table): assert model.weights == table[name], name
        assert timm.is_model_pretrained(model.weights), name

BREEDS = { # those of Pets that ImageNet has: its class numbers
    "Egyptian_Mau": 285, "Persian": 283, "Siamese": 284, "american_pit_bull_terrier": 180, "basset_hound": 161,
    "beagle": 162, "boxer": 242, "chihuahua": 151, "english_cocker_spaniel": 219, "english_setter": 212,
    "german_shorthaired": 210, "great_pyrenees": 257, "japanese_chin": 152, "keeshond": 261, "leonberger": 255,
    "miniature_pinscher": 237, "newfoundland": 256, "pomeranian": 259, "pug": 254, "saint_bernard": 247,
    "samoyed": 258, "scottish_terrier": 199, "staffordshire_bull_terrier": 179, "wheaten_terrier": 202,
    "yorkshire_terrier": 187}


@pytest.mark.parametrize("weights", PACKAGES)
def test_the_packages_weights_name_photographs(weights, real_images):
    "With timm's own head and transforms, untrained by us."
    net = timm.create_model(weights, pretrained=True, **with_weights(find_model(weights)).arguments).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    photos = {file: BREEDS.get(file.stem.rpartition("_")[0]) for file in get_image_files(images_path("pets"))}
    known = {file: breed for file, breed in photos.items() if breed is not None}
    with torch.inference_mode():
        named = {file: net(transform(Image.open(file).convert("RGB"))[None]).argmax().item() for file in known}
    assert len(known) == 10 * len(BREEDS)
    assert sum(named[file] == breed for file, breed in known.items()) >= 0.8 * len(known)



@pytest.mark.parametrize("name", models_of_2022() if os.environ.get("BVM_ALL_MODELS") else ONE_OF_EACH_KIND[::3] +
                         [pytest.param(name, marks=pytest.mark.slow) for name in ONE_OF_EACH_KIND
                          if name not in ONE_OF_EACH_KIND[::3]])
def test_a_model_predicts_and_trains(name):
    "One forward pass and one step of training, with a head for one label and pooling concat, and for several and avg."
    model = find_model(name)
    images = torch.randn(2, 3, 224, 224)
    for pool, n_out, loss, target in [("concat", 37, torch.nn.CrossEntropyLoss(), torch.tensor([3, 5])),
                                      ("avg", 17, torch.nn.BCEWithLogitsLoss(), torch.rand(2, 17).round())]:
        net, _ = create_timm_model(model.weights, n_out, default_split, False, concat_pool=pool == "concat",
                                   **model.arguments)
        head_pools = "Pool" in type(net[1][0]).__name__
        assert head_pools == model.pools, name
        before = [p.detach().clone() for p in list(net.parameters())[:3]]
        step = torch.optim.AdamW(net.parameters(), 1e-2)
        value = loss(net.train()(images), target)
        value.backward()
        step.step()
        assert math.isfinite(value.item())
        assert any((a != b).any() for a, b in zip(before, net.parameters())), "the body was not trained"
        with torch.no_grad(): assert net.eval()(images).shape == (2, n_out)


@pytest.mark.slow
@pytest.mark.parametrize("name, img_size", [("vit_tiny_patch16_224", 64), ("swin_s3_tiny_224", 64), ("levit_128s", 64),
                                            ("resnet10t", 48)])
def test_another_image_size(quick, name, img_size):
    row = fine_tune(read_config(**quick(model_name=name, img_size=img_size)))
    assert row["state"] == "finished" and row["img_size"] == img_size


def test_an_image_size_that_cannot_be():
    with pytest.raises(BadInput, match="can't take images of 100 px: use 224"): find_model("levit_128", 100)


@pytest.mark.slow
def test_beit_by_gradient_accumulation(quick):
    row = fine_tune(read_config(**quick(model_name="beit_base_patch16_224", img_size=32, accumulate=4)))
    assert row["state"] == "finished" and row["accumulate"] == 4 and row["batch_size"] == 8


# --- weights

@pytest.fixture
def built(monkeypatch):
    "The learners that runs build, with the body's state before training."
    seen = []

    def spy(*args, **kwargs):
        learn = vision_learner(*args, **kwargs)
        seen.append({k: v.clone() for k, v in learn.model[0].model.state_dict().items()})
        return learn

    monkeypatch.setattr(module, "vision_learner", spy)
    return seen


def checkpoint(name):
    torch.manual_seed(123)
    return timm.create_model(name, pretrained=False).state_dict()


def same_body(body, saved): return all(torch.equal(v, saved[k]) for k, v in body.items())


@pytest.mark.parametrize("name, ending", [("resnet10t.c3_in1k", "safetensors"), ("resnet10t.c3_in1k", "pth"),
    pytest.param("vit_tiny_patch16_224.augreg_in21k_ft_in1k", "safetensors", marks=pytest.mark.slow)])
def test_weights_from_a_folder_are_the_ones_used(quick, built, tmp_path, name, ending):
    saved = checkpoint(name)
    (save_file if ending == "safetensors" else torch.save)(saved, tmp_path / f"{name}.{ending}")
    size = 224 if name.startswith("vit") else 32
    row = fine_tune(read_config(**quick(model_name=name, pretrained=True, weights_dir=str(tmp_path), img_size=size)))
    assert row["state"] == "finished" and row["weights"] == name
    assert same_body(built[0], saved)
    assert not same_body(built[0], checkpoint(name.split(".")[0]) | {k: v + 1 for k, v in saved.items()})


@pytest.mark.slow
def test_weights_at_another_size_are_resampled_or_refused(quick, built, tmp_path):
    for name in ("vit_tiny_patch16_224.augreg_in21k_ft_in1k", "levit_128s.fb_dist_in1k"):
        save_file(checkpoint(name), tmp_path / f"{name}.safetensors")
    settings = quick(pretrained=True, weights_dir=str(tmp_path), img_size=64)
    row = fine_tune(read_config(**settings | {"model_name": "vit_tiny_patch16_224.augreg_in21k_ft_in1k"}))
    assert row["state"] == "finished"
    with pytest.raises(BadInput, match="don't load at 64 px") as error:
        fine_tune(read_config(**settings | {"model_name": "levit_128s.fb_dist_in1k"}))
    assert "\n" not in str(error.value)


class Evil:
    def __reduce__(self): return os.system, ("touch /tmp/bvm_evil_was_here",)


@pytest.mark.parametrize("content", [pickle.dumps({"conv1.weight": Evil()}), b"", b"not weights"])
def test_bad_weight_files(quick, tmp_path, content):
    (tmp_path / "resnet10t.c3_in1k.pth").write_bytes(content)
    with pytest.raises(BadInput, match="don't load") as error:
        fine_tune(read_config(**quick(model_name="resnet10t.c3_in1k", pretrained=True, weights_dir=str(tmp_path))))
    assert "\n" not in str(error.value)
    assert not Path("/tmp/bvm_evil_was_here").exists()


def test_weights_from_timm_s_cache_without_network(quick, built, tmp_path, monkeypatch):
    import huggingface_hub.constants as hub
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    config = read_config(**quick(model_name="resnet10t.c3_in1k", pretrained=True))
    with pytest.raises(SourceUnavailable, match="HF_HOME.*weights_dir") as error: fine_tune(config)
    assert "\n" not in str(error.value)
    with pytest.raises(BadInput, match="holds no resnet10t.c3_in1k.safetensors"):
        fine_tune(read_config(**{**config.model_dump(), "weights_dir": str(tmp_path)}))
    repo = tmp_path / "models--timm--resnet10t.c3_in1k"
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc")
    save_file(saved := checkpoint("resnet10t"), repo / "snapshots" / "abc" / "model.safetensors")
    assert fine_tune(config)["state"] == "finished"
    assert same_body(built[0], saved)


# --- memory

class SmallMemory(Callback):
    "Stands in for a GPU that holds `fits` images."
    def __init__(self, fits): self.fits = fits

    def before_batch(self):
        self.learn.sizes.append(len(self.xb[0]))
        if len(self.xb[0]) > self.fits and self.training: raise torch.OutOfMemoryError("CUDA out of memory")

    def before_step(self): self.learn.steps += 1


def small_memory(monkeypatch, fits):
    learners = []

    def build(*args, **kwargs):
        learn = vision_learner(*args, **kwargs)
        learn.sizes, learn.steps = [], 0
        counter = SmallMemory(fits)
        counter.order = 100  # after GradientAccumulation, which skips a step until a whole batch has been seen
        learn.add_cb(counter)
        learners.append(learn)
        return learn

    monkeypatch.setattr(module, "vision_learner", build)
    return learners


def test_a_batch_that_does_not_fit_is_halved(quick, monkeypatch):
    learners = small_memory(monkeypatch, fits=2)
    row = fine_tune(read_config(**quick()))
    assert row["state"] == "finished" and row["batch_size"] == 8 and row["accumulate"] == 4
    assert len(learners) == 3 and learners[-1].sizes[0] == 2
    plain = small_memory(monkeypatch, fits=8)
    assert row["run_id"] == fine_tune(read_config(**quick()))["run_id"]
    # 29 training images: 3 whole batches an epoch; of the 14 pairs, an epoch's last 2 wait for the next one's batch
    assert plain[0].steps == 6 and learners[-1].steps in (6, 7)


def test_a_batch_that_never_fits_is_a_failed_run(quick, monkeypatch):
    small_memory(monkeypatch, fits=1)
    row = fine_tune(read_config(**quick()))
    assert row["state"] == "failed" and "GPU memory" in row["reason"] and row["error_rate"] is None
    check_row(row)


# --- failed runs

def test_nan_is_a_failed_run(quick):
    row = fine_tune(read_config(**quick(learning_rate=1e30)))
    assert row["state"] == "failed" and row["error_rate"] is None and row["reason"].startswith("training loss became")
    assert "\n" not in row["reason"]
    check_row(row)


def test_disk_full_loses_nothing(tmp_path, quick, monkeypatch, capsys):
    def full(*_): raise OSError(28, "No space left on device")
    monkeypatch.setattr(module.os, "replace", full)
    flags = [f"--{k}={v}" for k, v in quick().items()]
    assert main([*flags, "--out", str(tmp_path / "runs")]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["state"] == "finished" and "No space left" in err.splitlines()[-1]
    assert list((tmp_path / "runs").iterdir()) == []


def test_predictions_beside_the_run(tmp_path, quick, capsys):
    flags = [f"--{k}={v}" for k, v in quick(save_preds=True).items()]
    assert main([*flags, "--out", str(tmp_path)]) == 0
    row = json.loads(capsys.readouterr().out)
    with np.load(tmp_path / f"{row['run_id']}.preds.npz", allow_pickle=False) as kept:
        assert (kept["preds"].argmax(1) != kept["targets"]).mean() == pytest.approx(row["error_rate"], abs=1e-6)
        assert all(file.split("/")[0] == kept["classes"][target]
                   for file, target in zip(kept["files"], kept["targets"]))
    assert row["run_id"] == json.loads((tmp_path / f"{row['run_id']}.json").read_text())["run_id"]
    assert "preds" not in row


# --- Weights & Biases

def records_in(file):
    "The protobuf records of a .wandb file, a LevelDB log of 32 KiB blocks after a header of 7 bytes, without wandb."
    from wandb.proto.wandb_internal_pb2 import Record
    data, position, record = file.read_bytes(), 7, b""
    while position + 7 <= len(data):
        if 32768 - position % 32768 < 7: position += 32768 - position % 32768  # too small for a header: padding
        length, kind = int.from_bytes(data[position + 4:position + 6], "little"), data[position + 6]
        record += data[position + 7:position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or last part
            yield Record.FromString(record)
            record = b""


def offline_records(folder):
    "Config and summary of the one offline run in `folder`, and its number of history lines."
    config, summary, history = {}, {}, 0
    for record in records_in(next(folder.rglob("run-*.wandb"))):
        for c in (*record.run.config.update, *record.config.update):
            config[c.key or c.nested_key[0]] = json.loads(c.value_json)
        for s in (*record.run.summary.update, *record.summary.update):
            summary[s.key or s.nested_key[0]] = json.loads(s.value_json)
        history += record.HasField("history")
    return config, summary, history


@pytest.mark.slow
def test_offline_run_can_be_read_back(quick, tmp_path):
    key = "0123456789abcdef" * 2 + "01234567"
    flags = [f"--{k}={v}" for k, v in quick(wandb_mode="offline", model_name="regnetx_002").items()]
    done = run(*flags, WANDB_DIR=tmp_path, WANDB_API_KEY=key)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    config, summary, history = offline_records(tmp_path)
    assert config["learning_rate"] == 0.02 and config["model_name"] == "regnetx_002" and config["repeat"] == 1
    assert summary["error_rate"] == pytest.approx(row["error_rate"])
    assert summary["fit_time"] == pytest.approx(row["fit_time"])
    assert summary["model_family"] == "regnetx" and "GPU_mem" in summary
    assert history > 0
    assert key not in done.stdout + done.stderr
    for f in tmp_path.rglob("*"): assert not f.is_file() or key.encode() not in f.read_bytes(), f


# --- real processes

def test_as_a_wandb_agent_calls_it(quick, tmp_path):
    settings = quick(num_experiments=2)
    done = run(*[f"--{k}={v}" for k, v in settings.items()], "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1 and row["repeat"] == 2
    lines = done.stderr.split("\n")  # a log file: a line an epoch, no bar
    assert sum(line.startswith("epoch ") for line in lines) == 2
    assert "\r" not in done.stderr and max(map(len, lines)) < 200
    assert json.loads((tmp_path / "runs" / f"{row['run_id']}.json").read_text()) == row
    check_row(row)


def test_bad_input_is_one_line_and_exit_status_2(quick, tmp_path):
    (tmp_path / "mine" / "a").mkdir(parents=True)
    (tmp_path / "mine" / "a" / "1.jpg").write_text("not an image")
    flags = [f"--{k}={v}" for k, v in quick().items()]
    done = run(*flags, "--dataset", tmp_path / "mine")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and "1.jpg" in done.stderr


@pytest.mark.parametrize("flags, says", [
    (["--model_name", "resnet1000"], "did you mean"), (["--pool", "max"], "'concat' or 'avg'"),
    (["--epochs", "0"], "epochs"), (["--learning_rate", "-1"], "learning_rate"),
    (["--learning_rate", "nan"], "learning_rate"), (["--batch_size", "x"], "batch_size"),
    (["--dataset", "cifar"], "cifar"), (["--resize_method", "stretch"], "resize_method"),
    (["--model", "resnet18"], "did you mean --model_name or --save_model?"),
    (["--wandb_mode", "dryrun"], "wandb_mode"), (["--precision", "fp8"], "precision"),
    (["--accumulate", "5"], "accumulate"),
])
def test_bad_flags(flags, says, capsys):
    assert main(["--pretrained=False", "--dataset=digits", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and says in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_where_one_was_asked_for(capsys):
    assert main(["--pretrained=False", "--dataset=digits", "--precision=fp16"]) == 2
    assert "needs a GPU" in capsys.readouterr().err


@pytest.mark.slow
def test_wandb_without_a_login(quick, tmp_path):
    env = {k: v for k, v in os.environ.items() if k != "WANDB_API_KEY"} | {
        "HOME": str(tmp_path), "WANDB_DIR": str(tmp_path)}
    flags = [f"--{k}={v}" for k, v in quick(wandb_mode="online").items()]
    done = subprocess.run([sys.executable, "-m", "best_vision_models.fine_tune", *flags], cwd=REPO, text=True, env=env,
                          capture_output=True, stdin=subprocess.DEVNULL, timeout=900)
    assert done.returncode == 2 and "wandb login" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(quick, tmp_path):
    flags = [f"--{k}={v}" for k, v in quick(epochs=1000, dataset="digits").items()]
    command = [sys.executable, "-m", "best_vision_models.fine_tune", *flags, "--out", tmp_path / "runs"]
    process = subprocess.Popen(command, cwd=REPO, text=True, stdout=subprocess.PIPE,
                               stderr=(tmp_path / "err").open("w"))
    for _ in range(600):
        if "epoch" in (tmp_path / "err").read_text(): break
        time.sleep(0.1)
    time.sleep(1)
    for _ in range(4):  # Python drops the signal when it falls into the shutdown of an epoch's data workers
        process.send_signal(signal.SIGINT)
        try: out, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired: continue
        break
    err = (tmp_path / "err").read_text()
    assert process.returncode == 130 and out == "" and "Traceback" not in err, err[-2000:]
    assert not (tmp_path / "runs").exists() or list((tmp_path / "runs").iterdir()) == []
