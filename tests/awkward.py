"""Data sets as people have them, each of a few small images, and what is understood of it or the line that refuses it.

    python tests/awkward.py DIR     writes them all to DIR, one folder each, to look at
"""
import csv
import os
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image

_number = iter(range(10**6))


def image(path: Path, mode: str = "RGB", **options) -> Path:
    "Writes an image that no other is equal to."
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.RandomState(next(_number)).randint(0, 256, (12, 16, 3)).astype("uint8")
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def images(folder: Path, n: int, first: int = 0, **options) -> list[Path]:
    return [image(folder / f"{i}.png", **options) for i in range(first, first + n)]


def two_classes(root: Path, n: int = 10):
    for name in ("glass", "metal"): images(root / name, n)


def of_both(n: int) -> list[tuple[str, int, str]]: # class, number, file
    return [(name, i, f"{name}/{i}.png") for name in ("glass", "metal") for i in range(n)]


def rows(root: Path, header: str, *lines) -> Path:
    with open(root / "labels.csv", "w", newline="") as file: csv.writer(file).writerows([header.split(","), *lines])
    return root / "labels.csv"


def nested(root):
    for name, day in (("metal", "day1"), ("metal", "day2"), ("glass", "day2"), ("glass", "day3")):
        images(root / name / day, 5)


def split_three_ways(root):
    for part, n in (("train", 6), ("valid", 3), ("test", 2)): two_classes(root / part, n)


def split_val(root):
    for part, n in (("Train", 6), ("val", 3)): two_classes(root / part, n)


def train_and_test(root):
    two_classes(root / "train"), two_classes(root / "test", 3)


def test_without_classes(root):
    two_classes(root / "train"), images(root / "test", 4)


def split_by_pattern(root):
    for part, n in (("train", 4), ("valid", 2)):
        for name in ("cat", "dog"):
            for i in range(n): image(root / part / f"{name}_{i}.png")


def folder_beside_parts(root):
    split_three_ways(root), images(root / "more", 2)


def class_only_in_valid(root):
    two_classes(root / "train"), two_classes(root / "valid", 2), images(root / "valid" / "wood", 1)


def empty_in_train(root):
    split_three_ways(root), (root / "train" / "wood").mkdir()


def a_class_called_train(root):
    for name in ("bus", "car", "train"): images(root / name, 5)


def is_valid(root):
    two_classes(root, 40)
    return rows(root, "file,label,is_valid", *[(file, name, i >= 24) for name, i, file in of_both(40)])


def is_valid_odd(root):
    two_classes(root, 2)
    return rows(root, "file,label,is_valid", ("glass/0.png", "glass", "yes"), ("metal/0.png", "metal", "no"))


def is_valid_nowhere(root):
    two_classes(root, 2)
    return rows(root, "file,label,is_valid", ("glass/0.png", "glass", "0"), ("metal/0.png", "metal", "0"))


def groups(root):
    "20 animals, two photos each."
    two_classes(root, 20)
    return rows(root, "file,label,group", *[(file, name, f"{name}{i // 2}") for name, i, file in of_both(20)])


def one_group_has_a_class(root):
    two_classes(root)
    return rows(root, "file,label,group",
                *[(file, name, i if name == "glass" else "all") for name, i, file in of_both(10)])


def group_in_both_parts(root):
    two_classes(root, 2)
    return rows(root, "file,label,is_valid,group", *[(file, name, i, "a") for name, i, file in of_both(2)])


def repeats(root):
    "100 rows of 80 images."
    two_classes(root, 40)
    all_rows = [(file, name) for name, _, file in of_both(40)]
    return rows(root, "file,label", *all_rows, *all_rows[::4])


def repeats_that_differ(root):
    two_classes(root, 2)
    return rows(root, "file,label", ("glass/0.png", "glass"), ("metal/0.png", "metal"), ("./glass/0.png", "metal"))


def several_tags(root):
    images(root, 20)
    tags = ["big red"] * 10 + ["big"] * 5 + ["red  blue"] * 5
    return rows(root, "file,tags", *[(f"{i}.png", some) for i, some in enumerate(tags)])


def a_column_unused(root):
    two_classes(root, 5)
    return rows(root, "file,label,camera", *[(file, f" {name} ", "old") for name, _, file in of_both(5)])


def bare_names(root):
    two_classes(root, 5)
    return rows(root, "file,label", ("0.png", "glass"), ("1.png", "metal"))


def no_endings(root):
    images(root, 4)
    return rows(root, "file,label", ("0", "glass"), ("1", "metal"))


def image_class(root):
    two_classes(root, 2)
    return rows(root, "image,class", ("glass/0.png", "glass"), ("metal/0.png", "metal"))


def no_rows(root): return rows(root, "file,label")


def deep(path: Path, bits: int = 16):
    pixels = np.random.RandomState(next(_number)).randint(0, 2**bits, (9, 12))
    Image.fromarray(pixels.astype("uint16")).save(path)


def deep_16(root):
    two_classes(root, 5)
    for i in range(5): deep(root / "glass" / f"{i}.png")


def deep_12(root):
    two_classes(root, 5)
    for i in range(5): deep(root / "glass" / f"{i}.png", bits=12)


def deep_32(root):
    two_classes(root, 5)
    Image.fromarray(np.float32([[0, 1e6]])).save(root / "glass" / "heights.tif")


def kinds(root):
    "Turned, CMYK, transparent, palette, grey, 16 bits: two of each, in two classes."
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in ("glass", "metal"):
        folder = root / name
        image(folder / "turned.jpg", exif=turned), image(folder / "cmyk.jpg", "CMYK")
        image(folder / "alpha.png", "RGBA"), image(folder / "palette.gif", "P")
        image(folder / "grey.png", "L"), image(folder / "bits.png", "1")
        deep(folder / "deep.png")


def unicode_names(root):
    for name in ("Straßenbahn", "猫 и кот"): [image(root / name / f"größe {i} 🐈.png") for i in range(5)]


def links(root):
    "Linked files are copies; folders that are linked are read once."
    two_classes(root, 10)
    (root / "glass" / "again").symlink_to(root / "glass")
    (root / "metal" / "link.png").symlink_to(root / "metal" / "0.png")
    images(root.parent / f"{root.name} elsewhere", 5)
    (root / "wood").symlink_to(root.parent / f"{root.name} elsewhere")


def broken_link(root):
    two_classes(root)
    (root / "glass" / "gone.png").symlink_to(root / "nowhere.png")


def class_linked_twice(root):
    two_classes(root)
    (root / "silver").symlink_to(root / "metal")


def hidden(root):
    two_classes(root)
    for name in ("._0.png", ".hidden.png"): image(root / "glass" / name)
    images(root / ".thumbnails", 3)
    for name in (".DS_Store", "Thumbs.db"): (root / "metal" / name).write_text("x")


def stray(root): two_classes(root), images(root, 2)


def one_image_class(root): two_classes(root), images(root / "wood", 1)


def two_image_class(root): two_classes(root), images(root / "wood", 2)


def only_single_images(root):
    for name in "abc": images(root / name, 1)


def empty_class(root): two_classes(root), (root / "wood").mkdir()


def truncated(root):
    two_classes(root)
    whole = image(root / "glass" / "cut.jpg", quality=95).read_bytes()
    (root / "glass" / "cut.jpg").write_bytes(whole[:len(whole) // 2])


def copies(root):
    "Each image of glass three times, under other names."
    two_classes(root)
    for i in range(10):
        for again in (1, 2): shutil.copy(root / "glass" / f"{i}.png", root / "glass" / f"{i} ({again}).png")


def copies_in_two_classes(root): two_classes(root), shutil.copy(root / "glass" / "0.png", root / "metal" / "x.png")


def copies_in_given_parts(root):
    split_three_ways(root), shutil.copy(root / "train" / "glass" / "0.png", root / "valid" / "glass" / "x.png")


BOTH = {"glass": 8, "metal": 8}, {"glass": 2, "metal": 2}, {}
# what is understood: images of each class to train on, to validate with, to test with, the split, and what the lines
# say further; or what the one line of refusal says
UNDERSTOOD = {
    nested: (*BOTH, "random, by class", "left out: nothing"),
    split_three_ways: ({"glass": 6, "metal": 6}, {"glass": 3, "metal": 3}, {"glass": 2, "metal": 2},
            "given", "4 to test with, which are set aside"),
    split_val: ({"glass": 6, "metal": 6}, {"glass": 3, "metal": 3}, {}, "given", "left out: nothing"),
    train_and_test: (*BOTH[:2], {"glass": 3, "metal": 3}, "random, by class", "6 to test with"),
    test_without_classes: (*BOTH[:2], {"no class": 4}, "random, by class", "4 to test with"),
    split_by_pattern: ({"cat": 4, "dog": 4}, {"cat": 2, "dog": 2}, {}, "given", "left out: nothing"),
    a_class_called_train: ({"bus": 4, "car": 4, "train": 4}, {"bus": 1, "car": 1, "train": 1}, {},
            "random, by class", "left out: nothing"),
    is_valid: ({"glass": 24, "metal": 24}, {"glass": 16, "metal": 16}, {}, "given", "left out: nothing"),
    groups: ({"glass": 16, "metal": 16}, {"glass": 4, "metal": 4}, {}, "random, by group", "left out: nothing"),
    one_group_has_a_class: ({"glass": 8, "metal": 10}, {"glass": 2}, {},
            "random, by group", "not validated: metal (10 images)"),
    repeats: ({"glass": 32, "metal": 32}, {"glass": 8, "metal": 8}, {},
            "random, by class", "left out: repeated rows: 20 (glass/0.png, glass/4.png, glass/8.png, …)"),
    several_tags: ({"big": 12, "red": 12, "blue": 4}, {"big": 3, "red": 3, "blue": 1}, {},
            "random, by tag", "3 tags to train on"),
    a_column_unused: ({"glass": 4, "metal": 4}, {"glass": 1, "metal": 1}, {},
            "random, by class", "left out: columns not used: 1 (camera)"),
    deep_16: ({"glass": 4, "metal": 4}, {"glass": 1, "metal": 1}, {}, "random, by class", "left out: nothing"),
    kinds: ({"glass": 6, "metal": 6}, {"glass": 1, "metal": 1}, {}, "random, by class", "left out: nothing"),
    unicode_names: ({"Straßenbahn": 4, "猫 и кот": 4}, {"Straßenbahn": 1, "猫 и кот": 1}, {},
            "random, by class", "left out: nothing"),
    links: ({"glass": 8, "metal": 9, "wood": 4}, {"glass": 2, "metal": 2, "wood": 1}, {}, "random, by class",
            "left out: linked folders that were read already: 1 (glass/again)"),
    hidden: (*BOTH, "random, by class",
            "left out: hidden: 3 (.thumbnails, glass/._0.png, glass/.hidden.png); not images: 1 (metal/Thumbs.db)"),
    stray: (*BOTH, "random, by class", "left out: in no class folder: 2 (0.png, 1.png)"),
    one_image_class: ({"glass": 8, "metal": 8, "wood": 1}, {"glass": 2, "metal": 2}, {},
            "random, by class", "not validated: wood (1 image)"),
    two_image_class: ({"glass": 8, "metal": 8, "wood": 1}, {"glass": 2, "metal": 2, "wood": 1}, {},
            "random, by class", "left out: nothing"),
    copies: ({"glass": 24, "metal": 8}, {"glass": 6, "metal": 2}, {}, "random, by class", "identical copies: 20"),
    copies_in_two_classes: ({"glass": 8, "metal": 9}, {"glass": 2, "metal": 2}, {}, "random, by class",
                            "2 images have a copy with another label (glass/0.png, metal/x.png)"),
    copies_in_given_parts: ({"glass": 6, "metal": 6}, {"glass": 4, "metal": 3}, {"glass": 2, "metal": 2}, "given",
                            "2 images have a copy in another part (train/glass/0.png, valid/glass/x.png)"),
}
REFUSED = {
    folder_beside_parts: "beside them images in more",
    class_only_in_valid: "no training image is labelled 'wood'",
    empty_in_train: "no images in class folder wood",
    is_valid_odd: "line 2: is_valid is yes, not True or False",
    is_valid_nowhere: "is_valid is 0 in all rows",
    group_in_both_parts: "group a has images with is_valid True and False",
    repeats_that_differ: "./glass/0.png is there twice, with another label, is_valid or group (line 4)",
    bare_names: "names are relative to the CSV's folder; did you mean glass/0.png?",
    no_endings: "did you mean 0.png?",
    image_class: "rename class to `label`",
    no_rows: "no rows below the header",
    deep_12: "5 16-bit images has the value",
    deep_32: "1 of 11 images have 32 bits a pixel",
    broken_link: "1 of 21 images are missing",
    class_linked_twice: "no images in class folder silver",
    only_single_images: "3 images are too few to hold some back",
    empty_class: "no images in class folder wood",
    truncated: "cut.jpg",
}
PATTERNS = {split_by_pattern: "^([a-z]+)_"}


def make(data_set, folder: Path) -> str:
    "Writes one of the above below `folder` and returns its path."
    root = folder / data_set.__name__
    os.makedirs(root)
    csv_file = data_set(root)
    return str(csv_file if isinstance(csv_file, Path) else root)


if __name__ == "__main__":
    for data_set in UNDERSTOOD | REFUSED: print(make(data_set, Path(sys.argv[1])))
