"""What notebook 01 can't test: real photographs from the mirror, and every way in which images and labels can be wrong."""

import shutil

import pytest
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
