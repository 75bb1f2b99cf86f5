"""What notebook 01 can't test: real photographs from the mirror, and every way in which images and labels go wrong."""

import os
import random
import shutil
import subprocess
import sys

import awkward
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.transforms import get_image_files
from fastai.vision.augment import Resize
from fastai.vision.core import PILImage
from fastai.vision.data import ImageDataLoaders
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from best_vision_models import datasets
from best_vision_models.datasets import _hold_back, describe_images, get_dls, in_words, split_images, validation_files
from best_vision_models.fine_tune import fine_tune
from best_vision_models.image_cache import cached_pixels
from best_vision_models.images import DIGIT_NAMES, OwnImage, images_path, open_image
from best_vision_models.own_images import read_images
from best_vision_models.runs import read_runs, write_run
from best_vision_models.settings import read_config
from best_vision_models.sources import BadInput, SourceUnavailable


@pytest.fixture(autouse=True)
def cache(shared_cache, monkeypatch):
    monkeypatch.setenv("BVM_CACHE", str(shared_cache))
    monkeypatch.delenv("BVM_IMAGES", raising=False)
    datasets._say.cache_clear()


@pytest.fixture
def mine(tmp_path, cache):
    "Three class folders of ten digits each."
    for name in DIGIT_NAMES[:3]:
        (tmp_path / "mine" / name).mkdir(parents=True)
        for f in sorted((images_path("digits") / "images").glob(f"{name}_*"))[:10]:
            shutil.copy(f, tmp_path / "mine" / name)
    return tmp_path / "mine"


@pytest.mark.parametrize("seed", [42, 7])
def test_pets_split_is_the_article_s(real_images, seed):
    path = real_images / "pets"
    files = sorted(get_image_files(path / "images"))  # the script leaves the order to the file system
    article = ImageDataLoaders.from_name_re(path, files, r"(^[a-zA-Z]+_*[a-zA-Z]+)", valid_pct=0.2, seed=seed, bs=32,
                                            item_tfms=Resize(224, method="squish"))
    ours = get_dls("PETS", 32, 224, "squish", seed)
    assert [item.path for item in ours.valid_ds.items] == list(article.valid_ds.items)
    assert list(ours.vocab) == list(article.vocab) and len(ours.vocab) == 37


@pytest.mark.parametrize("seed", [42, 7])
def test_planet_split_is_the_article_s(real_images, seed):
    article = ImageDataLoaders.from_csv(real_images / "planet", folder="train", csv_fname="labels.csv", label_delim=" ",
                                        suff=".jpg", bs=64, seed=seed, item_tfms=Resize(224, method="crop"))
    ours = get_dls("PLANETS", 64, 224, "crop", seed)
    assert validation_files(ours) == list(article.valid_ds.items.image_name)
    assert list(ours.vocab) == list(article.vocab)
    assert (ours.valid_ds[3][1] == article.valid_ds[3][1]).all()


def test_several_tags_in_your_own_csv(tmp_path, cache):
    shutil.copytree(images_path("digit_pairs") / "train", tmp_path / "photos")
    tags = (images_path("digit_pairs") / "labels.csv").read_text()
    tags = tags.replace("pair_", "photos/pair_").replace(",", ".jpg,")
    (tmp_path / "mine.csv").write_text(tags.replace("image_name.jpg", "file"))
    dls = get_dls(str(tmp_path / "mine.csv"), 8, 16)
    assert list(dls.vocab) == sorted(DIGIT_NAMES)
    assert dls.one_batch()[1].shape == (8, 10)


def spoiled_csv(image: str) -> dict[str, bytes]:
    "What stands in the CSV file, by what is wrong with it."
    return {"missing image": f"file,tags\none/{image},one\none/gone.png,one\n".encode(),
            "missing tag": f"file,tags\none/{image},one\none/{image},\n".encode(),
            "empty CSV": b"", "web page": b"<!DOCTYPE html>\n<html>\n", "binary": bytes(range(256))}


def damage(mine, how):
    "Spoils one thing and returns the data set's path."
    csv, contents = mine / "labels.csv", spoiled_csv(next((mine / "one").iterdir()).name)
    if how in contents:
        csv.write_bytes(contents[how])
        return str(csv)
    if how == "truncated JPEG":
        Image.effect_noise((300, 300), 50).save(mine / "one" / "x.jpg")
        (mine / "one" / "x.jpg").write_bytes((mine / "one" / "x.jpg").read_bytes()[:-2000])
    if how == "text named .jpg": (mine / "one" / "x.jpg").write_text("hello")
    if how == "empty class": (mine / "four").mkdir()
    if how == "one class": shutil.rmtree(mine / "zero"), shutil.rmtree(mine / "one")
    if how == "no classes": return str(mine / "one")
    if how == "no images": return str((mine / "nothing").mkdir() or mine / "nothing")
    return str(mine)


@pytest.mark.parametrize("how, says", {
    "truncated JPEG": "x.jpg", "text named .jpg": "x.jpg", "empty class": "no images in class folder four",
    "one class": "two classes are needed", "no classes": "no class folders", "no images": "no class folders",
    "missing image": "gone.png", "empty CSV": "can't be read as a CSV", "web page": "call the one",
    "missing tag": "line 3", "binary": "labels.csv",
}.items())
def test_what_is_wrong_is_said_in_one_line(mine, how, says):
    with pytest.raises(BadInput) as error: get_dls(damage(mine, how), 8, 16)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_label_that_only_validation_has(tmp_path, cache, monkeypatch):
    "fastai's random split, which the data sets that are always there keep, may hold back all images of a class."
    folder = tmp_path / "digits" / "images"
    folder.mkdir(parents=True)
    for name, n in (("zero", 10), ("one", 10), ("two", 1)):
        for f in sorted((images_path("digits") / "images").glob(f"{name}_*"))[:n]: shutil.copy(f, folder)
    monkeypatch.setenv("BVM_IMAGES", str(tmp_path))
    seen = set()
    for seed in range(20):
        try:
            split_images(read_images("digits"), seed)
            seen.add("in training")
        except BadInput as error:
            assert "'two'" in str(error) and "\n" not in str(error)
            seen.add("only held back")
    assert seen == {"in training", "only held back"}


def counts(images) -> list[dict]:
    "How many images of each class are for training, validation and testing."
    rows = images.table.explode("labels").fillna({"labels": "no class"})
    return [rows[rows.part == part].labels.value_counts().to_dict() for part in ("train", "valid", "test")]


@pytest.mark.parametrize("data_set", awkward.UNDERSTOOD, ids=lambda data_set: data_set.__name__)
def test_awkward_data_sets_are_understood(data_set, tmp_path):
    *expected, split, says = awkward.UNDERSTOOD[data_set]
    images = split_images(read_images(awkward.make(data_set, tmp_path), awkward.PATTERNS.get(data_set)), seed=5)
    assert (counts(images), images.split) == (expected, split)
    lines = in_words(images)
    assert says in lines and lines.count("\n") == 2 and str(tmp_path) not in lines


@pytest.mark.parametrize("data_set", awkward.REFUSED, ids=lambda data_set: data_set.__name__)
def test_awkward_data_sets_are_refused(data_set, tmp_path):
    with pytest.raises(BadInput) as error: split_images(read_images(awkward.make(data_set, tmp_path)), seed=5)
    assert awkward.REFUSED[data_set] in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow # thousands of splits
@pytest.mark.parametrize("data_set", [
    awkward.groups, awkward.copies, awkward.copies_in_two_classes, awkward.links, awkward.repeats, awkward.nested,
    awkward.several_tags, awkward.train_and_test, awkward.one_image_class], ids=lambda data_set: data_set.__name__)
def test_over_seeds_nothing_is_parted_and_classes_keep_their_shares(data_set, tmp_path):
    "No group and no copy is ever on both sides; a class has a fifth, to within one image; a seed means one split."
    images = read_images(awkward.make(data_set, tmp_path))
    splits = set()
    for seed in range(50):
        table = split_images(images, seed).table
        table = table[table.part != "test"]
        assert not table.path.map(os.path.realpath).duplicated().any() or data_set is awkward.links
        for together in ("group", "sha256"): assert (table.groupby(together).part.nunique() == 1).all()
        held = table.explode("labels").groupby("labels").part.agg(lambda parts: (parts == "valid").sum())
        n_images = table.labels.explode().value_counts().reindex(held.index)
        off = (held - 0.2 * n_images).abs()
        near = {awkward.copies: 3, awkward.several_tags: 2}.get(data_set, 1) # three copies of each; tags come together
        assert (off <= near).all() and (held > 0).equals(n_images > 1), (seed, held)
        again = split_images(images, seed).table
        assert again[again.part != "test"].part.tolist() == table.part.tolist()
        splits.add(tuple(table.part))
    assert len(splits) > 25


@pytest.mark.parametrize("n_groups, n_classes, pure", [(30, 3, False), (30, 3, True), (100, 10, True), (12, 2, False)])
def test_groups_are_split_as_evenly_as_scikit_learn_s(n_groups, n_classes, pure):
    "Groups of many sizes, each of one class or of all: nearer to a fifth of each class than `StratifiedGroupKFold`."
    draw, off = np.random.RandomState(0), {"ours": [], "theirs": []}
    for seed in range(20):
        groups = np.repeat(np.arange(n_groups), draw.geometric(0.15, n_groups))
        classes = draw.randint(0, n_classes, n_groups)[groups] if pure else draw.randint(0, n_classes, len(groups))
        ours = _hold_back(pd.Series([[label] for label in classes]), groups, seed)
        theirs = np.zeros(len(groups), bool)
        theirs[next(StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(classes, classes, groups))[1]] = True
        for name, held in (("ours", ours), ("theirs", theirs)):
            shares = pd.Series(held).groupby(classes).mean()
            off[name].append((shares - 0.2).abs().mean())
        assert (pd.Series(ours).groupby(groups).nunique() == 1).all()
    assert np.mean(off["ours"]) < np.mean(off["theirs"])


def test_each_kind_of_image_is_what_its_maker_saw(tmp_path):
    "One picture, saved in each way: it comes out the same, and a cache made by fastai's opening isn't used for it."
    picture = np.kron(np.random.RandomState(0).randint(0, 256, (4, 6)), np.ones((16, 16))).astype("uint8")
    grey, deep = Image.fromarray(picture), Image.fromarray(picture.astype("uint16") * 257)
    half = np.full_like(picture, 255)
    half[:, :48] = 0
    lying, upright = Image.Exif(), np.asarray(grey.convert("RGB"))
    lying[0x0112] = 8 # a quarter to the left when shown
    save = {"turned.jpg": (grey.convert("RGB").transpose(Image.Transpose.ROTATE_270), {"exif": lying, "quality": 100}),
            "cmyk.jpg": (grey.convert("RGB").convert("CMYK"), {"quality": 100}), "palette.gif": (grey.convert("P"), {}),
            "grey.png": (grey, {}), "deep.png": (deep, {}), "deep.tif": (deep, {})}
    for name, (image, options) in save.items():
        image.save(tmp_path / name, **options)
        opened = np.asarray(open_image(tmp_path / name)).astype(int)
        assert opened.shape == upright.shape and abs(opened - upright).max() <= 6, (name, abs(opened - upright).max())
    hidden = Image.fromarray(np.dstack([upright, half]))
    for name, image in (("alpha.png", hidden), ("grey_alpha.png", hidden.convert("LA"))):
        image.save(tmp_path / name)
        opened = np.asarray(open_image(tmp_path / name))
        assert (opened[:, :48] == 255).all() and (opened[:, 48:] == upright[:, 48:]).all()
    red = Image.new("P", (2, 1))
    red.putpalette([250, 0, 0, 0, 0, 0])
    red.putdata([0, 1])
    red.save(tmp_path / "hole.gif", transparency=1)
    assert np.asarray(open_image(tmp_path / "hole.gif")).tolist() == [[[250, 0, 0], [255, 255, 255]]]

    files = [tmp_path / "deep.png", tmp_path / "turned.jpg"]
    as_fastai, ours = (cached_pixels(files, 32, "squish", image_type) for image_type in (PILImage, OwnImage))
    assert as_fastai[0].float().mean() > 250 > 180 > ours[0].float().mean() and not torch.equal(as_fastai[1], ours[1])


def test_what_was_understood_is_said_once_and_is_in_the_row(tmp_path, caplog):
    "Also in a run that fails; and rows of before, which don't have it, are read beside it."
    data_set = awkward.make(awkward.one_image_class, tmp_path)
    config = {"dataset": data_set, "model_name": "test_resnet", "pretrained": False, "img_size": 16, "batch_size": 4,
              "epochs": 1, "precision": "fp32"}
    caplog.clear()
    rows = [fine_tune(read_config(**config, **more)) for more in ({}, {"repeat": 2}, {"learning_rate": 1e30})]
    said = [record.getMessage() for record in caplog.records if "to train on" in record.getMessage()]
    assert len(said) == 1
    assert [line.strip().split(":")[0] for line in said[0].split("\n")] == ["one_image_class", "split", "left out"]
    assert [row["state"] for row in rows] == ["finished", "finished", "failed"]
    understood = {"train_images": 17, "valid_images": 4, "test_images": 0, "classes": 3, "split": "random, by class",
                  "not_validated": "wood (1 image)", "left_out": None}
    for row in rows: assert {name: row[name] for name in understood} == understood
    for row in rows: write_run(row, tmp_path / "runs")
    before = {name: value for name, value in rows[0].items() if name not in understood}
    write_run({**before, "run_id": "before"}, tmp_path / "runs")
    runs = read_runs(tmp_path / "runs").set_index("run_id")
    assert len(runs) == 4 and runs.train_images.isna().sum() == 1 and runs.loc[rows[0]["run_id"], "valid_images"] == 4


def test_describing_images_decodes_none_into_the_cache(mine, tmp_path, monkeypatch):
    monkeypatch.setenv("BVM_CACHE", str(tmp_path / "new"))
    described = describe_images(str(mine))
    assert described.part.value_counts().to_dict() == {"train": 24, "valid": 6}
    assert not (tmp_path / "new" / "decoded_images").exists()


def test_no_network_names_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path))
    monkeypatch.setattr("best_vision_models.images.URLs.PETS", "http://127.0.0.1:9/oxford-iiit-pet.tgz")
    with pytest.raises(SourceUnavailable, match="BVM_IMAGES"): get_dls("pets")
    monkeypatch.setenv("BVM_IMAGES", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="not a folder"): get_dls("pets")


def batches(dataset, resize_method, image_cache, workers, batch_size=32):
    "All batches of one epoch, as the seed gives them."
    random.seed(3)
    torch.manual_seed(3)
    dls = get_dls(dataset, batch_size, 48, resize_method, image_cache=image_cache)
    for dl in dls.loaders: dl.fake_l.num_workers = workers
    assert (dls.train.pixels is not None) == (image_cache == "auto")
    return [batch for dl in dls.loaders for batch in dl]


@pytest.mark.parametrize("resize_method", ["squish", "crop"])
def test_cached_batches_of_awkward_images_are_those_without_a_cache(tmp_path, resize_method):
    path = awkward.make(awkward.kinds, tmp_path)
    for data_set in (awkward.is_valid, awkward.train_and_test): awkward.make(data_set, tmp_path)
    for dataset in (path, str(tmp_path / "is_valid" / "labels.csv"), str(tmp_path / "train_and_test")):
        plain, cached = (batches(dataset, resize_method, image_cache, 2, batch_size=4)
                         for image_cache in ("off", "auto"))
        assert len(plain) == len(cached) > 1
        for (x1, y1), (x2, y2) in zip(plain, cached): assert torch.equal(x1, x2) and torch.equal(y1, y2)


@pytest.mark.parametrize("dataset, resize_method, workers", [
    ("pets", "squish", 2), ("pets", "crop", 2), ("pets", "crop", 0), ("pets", "pad", 2),
    ("planet", "crop", 2), ("planet", "squish", 0), ("digits", "crop", 2), ("digit_pairs", "pad", 2)])
def test_cached_batches_are_fastai_s(request, dataset, resize_method, workers):
    "Images, labels, their order, types and memory layout: with as many workers as fastai would use, and with none."
    if dataset in ("pets", "planet"): request.getfixturevalue("real_images")
    plain, cached = (batches(dataset, resize_method, image_cache, workers) for image_cache in ("off", "auto"))
    assert len(plain) == len(cached)
    for (x1, y1), (x2, y2) in zip(plain, cached):
        assert torch.equal(x1, x2) and x1.stride() == x2.stride() and type(x1) is type(x2)
        assert torch.equal(y1, y2) and y1.dtype == y2.dtype and type(y1) is type(y2)


FILL = """
import sys
from best_vision_models.datasets import get_dls
if sys.argv[1:]:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
dls = get_dls("digits", 64, 64)
print(dls.train.pixels is not None, float(dls.valid.one_batch()[0].sum()))
"""


@pytest.mark.slow
def test_a_cache_is_whole_or_not_there(tmp_path):
    "A full disk, a process killed while it writes, and two that want the same cache at the same moment."
    environment = {**os.environ, "BVM_CACHE": str(tmp_path)}
    start = lambda *size: subprocess.Popen([sys.executable, "-W", "ignore", "-c", FILL, *size], env=environment,
                                           text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = start("1000000").communicate()
    cached, total = out.split()
    assert cached == "False" and "no image cache (File too large): every epoch decodes" in err
    folder = tmp_path / "decoded_images"
    assert not list(folder.glob("*.part"))

    victim = start()
    while not list(folder.glob("*.part")): assert victim.poll() is None
    victim.kill()
    victim.wait()
    assert list(folder.glob("*.part"))

    both = [start(), start()]
    assert [process.communicate()[0].split() for process in both] == [["True", total]] * 2
    whole = [file for file in folder.iterdir() if file.suffix == "" and file.stat().st_size == 1797 * 3 * 64 * 64]
    assert len(whole) == 1 and not list(folder.glob("*.part"))
