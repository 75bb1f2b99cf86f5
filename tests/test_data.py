"The tables in data/: equal to the published ones, and to what the code computes from the sources."
import pandas as pd
import pytest
from conftest import MIRROR

from best_vision_models.runs import read_runs
from best_vision_models.scores import RANKED_COLUMNS, rank, summarise
from best_vision_models.shipped_tables import shipped_tables
from best_vision_models.sources import SourceUnavailable, data_dir, read_sources, read_table
from best_vision_models.timm_benchmarks import article_models, read_benchmark

TABLES = {
    "pets_top15_by_score": dict(dataset="pets"),
    "pets_small_and_fast": dict(dataset="pets", by="error_rate", max_gpu_mem=2.7, max_fit_time=110),
    "pets_leanest_and_fastest": dict(dataset="pets", by="error_rate", max_gpu_mem=1.6, max_fit_time=90),
    "planet_top15_by_score": dict(dataset="planet"),
    "planet_small_and_fast": dict(dataset="planet", by="error_rate", max_gpu_mem=2.7, max_fit_time=25),
    "planet_leanest_and_fastest": dict(dataset="planet", by="error_rate", max_gpu_mem=1.6, max_fit_time=21),
}


def expected(name: str) -> str:
    "A table as the article printed it, from the mirror where it is there, else from data/published."
    file = MIRROR / "expected" / f"{name}.csv"
    if file.exists(): return file.read_text()
    tables = pd.read_csv(data_dir() / "published" / "fine_tuning_tables.csv", comment="#", dtype=str)
    return tables[tables.table == name].drop(columns="table").to_csv(index=False)


@pytest.mark.parametrize("name", TABLES)
def test_published_tables(name):
    "Equal at every printed digit, and in order."
    ranked = rank(summarise(read_runs("final_sweep_published")), top=15, **TABLES[name])
    assert ranked[RANKED_COLUMNS].to_csv(index=False, float_format="%.6f") == expected(name)


@pytest.mark.parametrize("part", ["infer", "train"])
def test_published_heads(part):
    "The head() tables of the second article, index included."
    file = MIRROR / "expected" / f"timm_{part}_head.csv"
    printed = pd.read_csv(file if file.exists() else data_dir() / "published" / f"imagenet_{part}_head.csv",
                          comment="#", dtype=str)
    benchmark = read_benchmark(part, "timm_2022", names="exact", torch="pt111", layout="nhwc")
    head = article_models(benchmark).head().reset_index()
    for column in printed:
        digits = printed[column].str.partition(".")[2].str.len().max()
        numeric = pd.api.types.is_numeric_dtype(head[column])
        shown = head[column].map(lambda value, digits=digits: f"{value:.{digits}f}") if numeric else head[column]
        assert shown.tolist() == printed[column].tolist(), column


@pytest.mark.parametrize("name", shipped_tables())
def test_shipped_tables_are_what_build_gives(name, sources):
    compute, about = shipped_tables()[name]
    try:
        table = compute()
    except SourceUnavailable as error:
        pytest.skip(str(error))
    path = data_dir() / name
    pd.testing.assert_frame_equal(read_table(path), table, check_dtype=False)
    assert path.read_text().startswith("".join(f"# {line}\n" for line in about.splitlines()))


def test_every_source_is_pinned_and_licensed():
    for source in read_sources().values():
        assert source.about and source.licence
        assert (source.path or source.sha256 or source.files
                or source.name in ("final_sweep", "planet_sample", "pets_sample"))
        if source.path: assert (data_dir() / source.path).is_file()


def test_no_downloaded_file_is_committed():
    sums = MIRROR / "SHA256SUMS"
    if not sums.exists(): pytest.skip(f"no list of checksums at {sums.name}: no mirror beside this checkout")
    from best_vision_models.sources import sha256_of

    known = {line.split()[0] for line in sums.read_text().splitlines()}
    assert not [p for p in data_dir().rglob("*") if p.is_file() and sha256_of(p) in known]
