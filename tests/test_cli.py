"The command line as processes: what a user types, sees, and gets as exit status."
import functools
import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading

import pandas as pd
import pytest
import typer.main
from conftest import ROOT

from best_vision_models.cli import app, main
from best_vision_models.settings import FineTuneConfig

COLUMNS = "dataset,family,model_name,GPU_mem,error_rate,fit_time,score"
RUNS = """dataset,model_name,GPU_mem,error_rate,valid_loss,train_loss,fit_time
pets,resnet18,1.0,0.123456789,0.4,0.3,50.25
pets,resnet18,1.1,0.223456789,0.4,0.3,49.25
pets,levit_128,0.7,0.1,0.3,0.2,90
pets,mobilenetv3_rw,,,,,
planet,resnet18,0.9,0.05,0.1,0.1,17
"""


def table(csv): return pd.read_csv(io.StringIO(csv))


def one_line(done, status):
    "A mistake: the exit status, nothing on standard output, one line on standard error."
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_rank_csv(bvm, tmp_path):
    (tmp_path / "runs.csv").write_text(RUNS)
    done = bvm("rank", tmp_path / "runs.csv", "--dataset", "pets", "--format", "csv")
    assert done.returncode == 0 and done.stdout.splitlines()[0] == COLUMNS
    ranked = table(done.stdout)
    assert ranked.model_name.tolist() == ["resnet18", "levit_128"]
    assert ranked.score.tolist() == pytest.approx([0.123456789 * (49.25 + 80), 0.1 * 170], rel=1e-12)
    assert "1 of 5 runs left out" in done.stderr


def test_rank_reads_more_columns(bvm, tmp_path):
    with_settings = table(RUNS).assign(learning_rate=0.008, pool="concat")
    with_settings.to_csv(tmp_path / "more.csv", index=False)
    (tmp_path / "runs.csv").write_text(RUNS)
    outputs = [bvm("rank", tmp_path / name, "--format", "csv").stdout for name in ("more.csv", "runs.csv")]
    assert outputs[0] == outputs[1] and len(outputs[0].splitlines()) == 4


@pytest.mark.parametrize("flags,expected", [
    (["--by", "error_rate"], ["levit_128", "resnet18"]),
    (["--max_fit_time", "60"], ["resnet18"]),
    (["--max_gpu_mem", "0.8"], ["levit_128"]),
    (["--fit_time_offset", "0"], ["resnet18", "levit_128"]),
    (["--top", "1"], ["resnet18"]),
    (["--max_gpu_mem", "0.1"], []),
])
def test_rank_flags(bvm, tmp_path, flags, expected):
    (tmp_path / "runs.csv").write_text(RUNS)
    done = bvm("rank", tmp_path / "runs.csv", "--dataset", "pets", *flags, "--format", "json")
    assert [row["model_name"] for row in json.loads(done.stdout)] == expected


def test_rank_reads_an_address(bvm, tmp_path):
    "A real server on this machine; what it doesn't have is a failure of the world."
    (tmp_path / "runs.csv").write_text(RUNS)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        done = bvm("rank", f"{address}/runs.csv", "--dataset", "planet", "--format", "csv")
        missing = bvm("rank", f"{address}/other.csv")
        server.shutdown()
    assert table(done.stdout).model_name.tolist() == ["resnet18"]
    assert "can't be fetched" in one_line(missing, 1)


def test_rank_mirror_file(bvm, sources):
    path = sources("fastai_timm")
    ranked = table(bvm("rank", path, "--dataset", "pets", "--top", "15", "--format", "csv").stdout)
    runs = pd.read_csv(path)
    best = runs[runs.dataset == "pets"].groupby("model_name")[["error_rate", "fit_time"]].min()
    expected = (best.error_rate * (best.fit_time + 80)).sort_values().head(15)
    assert ranked.model_name.tolist() == expected.index.tolist()
    assert ranked.score.tolist() == pytest.approx(expected.tolist(), rel=1e-9)


@pytest.mark.parametrize("part", ["infer", "train"])
@pytest.mark.parametrize("source", ["timm_2022", "timm_2026"])
def test_imagenet(bvm, sources, offline, part, source):
    "From a folder of result files and from what is shipped: the same rows."
    folder = sources(source)
    from_folder = bvm("imagenet", "--part", part, "--source", folder, "--format", "csv")
    shipped = bvm("imagenet", "--part", part, "--source", source, "--format", "csv", env=offline)
    assert from_folder.returncode == shipped.returncode == 0, (from_folder.stderr, shipped.stderr)
    assert f"benchmark-{part}-" in from_folder.stderr
    rows = table(from_folder.stdout)
    assert {"model", f"{part}_samples_per_sec", "top1", "secs", "family", "weights"} <= set(rows)
    assert len(rows) > 500 and rows.top1.between(1, 100).all() and (rows.secs > 0).all()
    pd.testing.assert_frame_equal(rows, table(shipped.stdout))


def test_imagenet_choice(bvm, offline):
    done = bvm("imagenet", "--source", "timm_2022", "--torch", "pt111", "--layout", "nhwc", "--names", "exact",
               "--top", "2", "--format", "csv", env=offline)
    assert table(done.stdout).model.tolist() == ["levit_128s", "regnetx_002"] and "pt111" in done.stderr
    one_line(bvm("imagenet", "--source", "timm_2022", "--torch", "pt112", "--layout", "nhwc", env=offline), 1)


@pytest.mark.parametrize("arguments,says", [
    ("rank nowhere.csv", "no such file"),
    ("rank final_sweep_published --dataset cats", "has pets, planet"),
    ("rank final_sweep_published --by speed", "not one of"),
    ("rank final_sweep_published --top 0", "greater than or equal to 1"),
    ("rank final_sweep_published --max_gpu_mem much", "--max_gpu_mem"),
    ("rank final_sweep_published --colour red", "no flag is called --colour (bvm rank --help shows how)"),
    ("rank final_sweep_published --max_mem 3", "did you mean --max_gpu_mem?"),
    ("rank final_sweep_published --max_gpu_me 3", "did you mean --max_gpu_mem"),
    ("imagenet --sorce timm_2022", "did you mean --source"),
    ("data chekc", "Did you mean 'check'?"),
    ("rank .", "no runs in it yet"),
    ("imagenet --part both", "not one of"),
    ("imagenet --source nowhere", "no such folder"),
    ("imagenet --source .", "no results-imagenet.csv"),
    ("imagenet --device h100", "no device is called 'h100'"),
    ("imagenet --device rtx390", "did you mean rtx3090"),
    ("rank final_sweep_published --dataset planets", "did you mean planet"),
    ("ranks", "rank"),
    ("", "Missing command"),
])
def test_bad_arguments(bvm, tmp_path, arguments, says):
    assert says in one_line(bvm(*arguments.split(), cwd=tmp_path), 2)


@pytest.mark.parametrize("content,says", [
    ("", "empty"),
    ("dataset,model_name,error_rate\n", "no rows"),
    ("<html><body>404</body></html>", "web page"),
    ("model,accuracy\na,0.9\n", "no column dataset, model_name, error_rate"),
    ("dataset,model_name,error_rate\npets,a,low\n", "'low' is not a number"),
    ("dataset,model_name,error_rate\npets,a,12\n", "between 0 and 1"),
    ("dataset,model_name,error_rate,fit_time\npets,a,0.1,inf\n", "not a number from 0 up"),
    ("dataset,model_name,error_rate\npets,a,0.1\n", "no fit_time"),
])
def test_bad_files(bvm, tmp_path, content, says):
    (tmp_path / "bad.csv").write_text(content)
    assert says in one_line(bvm("rank", tmp_path / "bad.csv"), 2)


def test_all_runs_failed(bvm, tmp_path):
    (tmp_path / "failed.csv").write_text("dataset,model_name,error_rate,fit_time\npets,a,,\n")
    done = bvm("rank", tmp_path / "failed.csv", "--format", "csv")
    assert (done.returncode, done.stdout.strip()) == (0, COLUMNS) and "no model is left" in done.stderr


RESULTS = ("model,top1,top1_err,top5,top5_err,param_count,img_size,cropt_pct,interpolation\n"
           "levit_128,78.486,21.514,94.01,5.99,9.21,224,0.9,bicubic\n")
BENCHMARK = ("model,infer_samples_per_sec,infer_step_time,infer_batch_size,infer_img_size,param_count\n"
             "levit_128,14657.83,69.849,1024,224,9.21\n")


def test_folder_of_an_older_timm(bvm, tmp_path):
    "The oldest files spell crop_pct in another way."
    (tmp_path / "results-imagenet.csv").write_text(RESULTS)
    (tmp_path / "benchmark-infer-amp-nhwc-pt110-cu113-rtx3090.csv").write_text(BENCHMARK)
    done = bvm("imagenet", "--source", tmp_path, "--format", "csv")
    assert table(done.stdout).loc[0, ["model", "crop_pct", "top1"]].tolist() == ["levit_128", 0.9, 78.486], done
    one_line(bvm("imagenet", "--source", tmp_path, "--part", "train"), 2)


@pytest.mark.parametrize("file,content", [
    ("results-imagenet.csv", ""), ("results-imagenet.csv", "<html>404</html>"), ("results-imagenet.csv", "a,b\n1,2\n"),
    ("benchmark-infer-amp-nhwc-pt110-cu113-rtx3090.csv", ""),
    ("benchmark-infer-amp-nhwc-pt110-cu113-rtx3090.csv", "a,b\n1,2\n"),
    ("benchmark-infer-amp-nhwc-pt110-cu113-rtx3090.csv", BENCHMARK.replace("14657.83", "fast")),
    ("results-imagenet.csv", RESULTS.replace("78.486", "good")),
])
def test_spoilt_timm_files(bvm, tmp_path, file, content):
    (tmp_path / "results-imagenet.csv").write_text(RESULTS)
    (tmp_path / "benchmark-infer-amp-nhwc-pt110-cu113-rtx3090.csv").write_text(BENCHMARK)
    (tmp_path / file).write_text(content)
    assert file in one_line(bvm("imagenet", "--source", tmp_path), 2)


def test_no_network(bvm, offline):
    "The line names the file and the mirror."
    said = one_line(bvm("rank", "final_sweep", env=offline), 1)
    assert "sweep.csv" in said and "BVM_MIRROR" in said
    one_line(bvm("rank", "https://example.invalid/runs.csv", env=offline), 1)


def test_checksum_mismatch(bvm, tmp_path, offline):
    "A mirror that holds another file under the right name is not believed."
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "timm-0.6.5-py3-none-any.whl").write_text("not timm")
    done = bvm("data", "check", env=offline | {"BVM_MIRROR": str(tmp_path / "mirror")})
    assert done.returncode == 1 and "NOT OK timm_0_6_5" in done.stdout and "ok     published_tables" in done.stdout
    done = bvm("rank", "fastai_timm", env=offline | {"BVM_MIRROR": str(tmp_path / "no")})
    assert "is not a folder" in one_line(done, 2)


def test_shipped_summary_without_network(bvm, offline):
    done = bvm("rank", "fastai_timm", "--dataset", "planet", "--top", "1", "--format", "csv", env=offline)
    assert table(done.stdout).model_name.tolist() == ["vit_base_patch16_224"]


def test_disk_full(tmp_path):
    "The old table stays whole when the new one can't be written."
    (tmp_path / "t.csv").write_text("old")
    code = """
import resource, signal, sys, pandas as pd
from best_vision_models.sources import write_table
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try: write_table(pd.DataFrame({"a": range(10_000)}), sys.argv[1], "about")
except OSError as error: print("OSError", error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "t.csv")], capture_output=True, text=True)
    assert done.stdout.startswith("OSError"), done
    assert (tmp_path / "t.csv").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_reader_that_stops_reading():
    command = (f"{sys.executable} -c 'import sys; from best_vision_models.cli import main; sys.exit(main())' "
               "imagenet --format csv | head -1")
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def in_process(*arguments):
    "Exit status, standard output and standard error, and whether anything heavy was imported on the way."
    code = """
import sys; from best_vision_models.cli import main
status = main(sys.argv[1:])
print(*[name for name in ("torch", "timm", "fastai", "ray", "wandb") if name in sys.modules], file=sys.stderr)
sys.exit(status)"""
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT,
                          env=os.environ | {"COLUMNS": "200"})


def test_help_of_fine_tune_shows_types_choices_and_defaults_without_torch():
    done = in_process("fine-tune", "--help")
    assert (done.returncode, done.stderr.strip()) == (0, "")
    shown = " ".join(done.stdout.split("Example:")[0].split())
    for name, field in FineTuneConfig.model_fields.items():
        default = "" if field.default_factory or field.default is None else f" [default: {field.default}]"
        assert re.search(rf"--{name}(, --\w+)? <[\w|]+> {re.escape(field.description + default)}", shown), name
    for flag in ("--pool <concat|avg>", "--learning_rate <float>", "--repeat, --num_experiments <int>",
                 "--pretrained <True"):
        assert flag in shown


@pytest.mark.parametrize("flags,says", [
    ("--lr 0.1", "did you mean --learning_rate?"), ("--bs 8", "did you mean --batch_size?"),
    ("--model resnet18", "did you mean --model_name or --save_model?"),
    ("--model-nme resnet18", "did you mean --model_name?"),
    (". --epochs 1", "did you mean --dataset .?"), ("resnet26d", "did you mean --model_name resnet26d?"),
    ("--dataset digits somewhere/else", "did you mean --dataset somewhere/else?"),
    ("--batch-size 1 --model-name=resnet18", "batch_size '1'"),
    ("--epoch 3", "no flag is called --epoch: did you mean --epochs?"),
    ("--learning_rate -1 --pool max --img_size big",
     "learning_rate '-1' should be greater than 0; pool 'max' should be 'concat' or 'avg'; img_size 'big'"),
    ("--save_preds", "--out"), ("--save-preds true", "--out"), ("--pretrained=perhaps", "pretrained 'perhaps'"),
])
def test_mistakes_in_a_run_are_found_before_torch(flags, says):
    done = in_process("fine-tune", *flags.split())
    said, heavy = done.stderr.splitlines()
    assert (done.returncode, done.stdout, heavy) == (2, "", "") and said.startswith("bvm: ") and says in said, done


def commands(group, path=()):
    "Every command of `bvm` and the words that call it."
    for name, command in group.commands.items():
        if hasattr(command, "commands"): yield from commands(command, (*path, name))
        else: yield (*path, name), command


@pytest.mark.parametrize("path,command", [
    pytest.param(*each, id=" ".join(each[0])) for each in commands(typer.main.get_command(app))])
def test_hyphens_do_for_underscores_and_abbreviations_for_nothing(capsys, path, command):
    flags = {flag: param for param in command.params
             for flag in (*param.opts, *param.secondary_opts) if flag.startswith("--")}
    for flag, param in flags.items():
        if flag == "--help": continue
        assert main([*path, "--" + flag[2:].replace("_", "-"), *([] if param.is_flag else ["1"]), "--colour"]) == 2
        assert capsys.readouterr().err.startswith("bvm: no flag is called --colour "), flag
        if flag[:-1] in flags: continue
        assert main([*path, flag[:-1]]) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"bvm: no flag is called {flag[:-1]}: did you mean ") and flag in err, flag


def test_fine_tune_as_a_module_is_the_same_command(bvm):
    command = [sys.executable, "-m", "best_vision_models.fine_tune", "--help"]
    module = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert module.returncode == 0 and module.stdout == bvm("fine-tune", "--help").stdout


@pytest.mark.parametrize("command", ["rank", "imagenet", "fine-tune", "data list", "data check", "data build"])
def test_help_has_an_example(bvm, command):
    done = bvm(*command.split(), "--help")
    assert done.returncode == 0 and f"bvm {command}" in " ".join(done.stdout.split("Example:")[1].split())
