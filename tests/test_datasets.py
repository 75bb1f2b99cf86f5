"""What notebook 01 can't test: real photographs from the mirror, and every way in which images and labels can be wrong."""

import os
import random
import shutil
import subprocess
import sys

import pytest
import torch
from fastai.data.transforms import get_image_files
from fastai.vision.augment import Resize
from fastai.vision.data import ImageDataLoaders

from best_vision_models.datasets import DIGIT_NAMES, get_dls, images_path
from best_vision_models.sources import BadInput, SourceUnavailable



@pytest.fixture(autouse=True)
def cache(shared_cache, monkeypatch):
    monkeypatch.setenv("BVM_CACHE", str(shared_cache))
    monkeypatch.delenv("BVM_IMAGES", raising=False)


@pytest.fixture
def mine(tmp_path, cache):
    "Three class folders of ten digits each."
    for name in DIGIT_NAMES[:3]:
        (tmp_path / "mine" / name).mkdir(parents=True)
        for f in sorted((images_path("digits") / "images").glob(f"{name}_*"))[:10]: shutil.copy(f, tmp_path / "mine" / name)
    return tmp_path / "mine"


@pytest.mark.parametrize("seed", [42, 7])
def test_pets_split_is_the_article_s(real_images, seed):
    path = real_images / "pets"
    files = sorted(get_image_files(path / "images"))  # the script leaves the order to the file system
    article = ImageDataLoaders.from_name_re(path, files, r"(^[a-zA-Z]+_*[a-zA-Z]+)", valid_pct=0.2, seed=seed, bs=32,
                                            item_tfms=Resize(224, method="squish"))
    ours = get_dls("PETS", 32, 224, "squish", seed)
    assert list(ours.valid_ds.items) == list(article.valid_ds.items)
    assert list(ours.vocab) == list(article.vocab) and len(ours.vocab) == 37


@pytest.mark.parametrize("seed", [42, 7])
def test_planet_split_is_the_article_s(real_images, seed):
    article = ImageDataLoaders.from_csv(real_images / "planet", folder="train", csv_fname="labels.csv", label_delim=" ",
                                        suff=".jpg", bs=64, seed=seed, item_tfms=Resize(224, method="crop"))
    ours = get_dls("PLANETS", 64, 224, "crop", seed)
    assert list(ours.valid_ds.items.image_name) == list(article.valid_ds.items.image_name)
    assert list(ours.vocab) == list(article.vocab)
    assert (ours.valid_ds[3][1] == article.valid_ds[3][1]).all()


def test_several_tags_in_your_own_csv(tmp_path, cache):
    shutil.copytree(images_path("digit_pairs") / "train", tmp_path / "photos")
    tags = (images_path("digit_pairs") / "labels.csv").read_text().replace("pair_", "photos/pair_").replace(",", ".jpg,")
    (tmp_path / "mine.csv").write_text(tags.replace("image_name.jpg", "file"))
    dls = get_dls(str(tmp_path / "mine.csv"), 8, 16)
    assert list(dls.vocab) == sorted(DIGIT_NAMES)
    assert dls.one_batch()[1].shape == (8, 10)


def damage(mine, how):
    "Spoils one thing and returns the data set's path."
    image = next((mine / "one").iterdir())
    csv = mine / "labels.csv"
    if how == "truncated JPEG":
        from PIL import Image
        Image.effect_noise((300, 300), 50).save(mine / "one" / "x.jpg")
        (mine / "one" / "x.jpg").write_bytes((mine / "one" / "x.jpg").read_bytes()[:-2000])
    if how == "text named .jpg": (mine / "one" / "x.jpg").write_text("hello")
    if how == "empty class": (mine / "four").mkdir()
    if how == "one class": shutil.rmtree(mine / "zero"), shutil.rmtree(mine / "one")
    if how == "no classes": return str(mine / "one")
    if how == "no images": return str((mine / "nothing").mkdir() or mine / "nothing")
    if how == "missing image": csv.write_text(f"file,tags\none/{image.name},one\none/gone.png,one\n")
    if how == "empty CSV": csv.write_text("")
    if how == "web page": csv.write_text("<!DOCTYPE html>\n<html>\n")
    if how == "missing tag": csv.write_text(f"file,tags\none/{image.name},one\none/{image.name},\n")
    if how == "binary": csv.write_bytes(bytes(range(256)))
    return str(csv if csv.exists() else mine)


@pytest.mark.parametrize("how, says", {
    "truncated JPEG": "x.jpg", "text named .jpg": "x.jpg", "empty class": "no images in class folder four",
    "one class": "two classes are needed", "no classes": "no class folders", "no images": "no class folders",
    "missing image": "gone.png", "empty CSV": "can't be read as a CSV", "web page": "call the one",
    "missing tag": "line 3", "binary": "labels.csv",
}.items())
def test_what_is_wrong_is_said_in_one_line(mine, how, says):
    with pytest.raises(BadInput) as error: get_dls(damage(mine, how), 8, 16)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_label_that_only_validation_has(mine):
    shutil.rmtree(mine / "two")
    (mine / "two").mkdir()
    shutil.copy(next((mine / "one").iterdir()), mine / "two")
    seen = set()
    for seed in range(20):
        try:
            get_dls(str(mine), 8, 16, seed=seed)
            seen.add("in training")
        except BadInput as error:
            assert "'two'" in str(error) and "\n" not in str(error)
            seen.add("only held back")
    assert seen == {"in training", "only held back"}


def test_no_network_names_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path))
    monkeypatch.setattr("best_vision_models.datasets.URLs.PETS", "http://127.0.0.1:9/oxford-iiit-pet.tgz")
    with pytest.raises(SourceUnavailable, match="BVM_IMAGES"): get_dls("pets")
    monkeypatch.setenv("BVM_IMAGES", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="not a folder"): get_dls("pets")


def batches(dataset, resize_method, image_cache, workers):
    "All batches of one epoch, as the seed gives them."
    random.seed(3)
    torch.manual_seed(3)
    dls = get_dls(dataset, 32, 48, resize_method, image_cache=image_cache)
    for dl in dls.loaders: dl.fake_l.num_workers = workers
    assert (dls.train.pixels is not None) == (image_cache == "auto")
    return [batch for dl in dls.loaders for batch in dl]


@pytest.mark.parametrize("dataset, resize_method, workers", [
    ("pets", "squish", 2), ("pets", "crop", 2), ("pets", "crop", 0), ("pets", "pad", 2), ("planet", "crop", 2), ("planet", "squish", 0),
    ("digits", "crop", 2), ("digit_pairs", "pad", 2)])
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
    start = lambda *size: subprocess.Popen([sys.executable, "-W", "ignore", "-c", FILL, *size], env=environment, text=True,
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
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
