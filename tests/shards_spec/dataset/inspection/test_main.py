"""The commands: exit codes, one-line errors, JSON, images."""

import json
import subprocess
import sys

import pytest

from shards_spec import layout
from shards_spec.__main__ import main


@pytest.fixture
def data(make_toy_dataset, tmp_path):
    return make_toy_dataset(str(tmp_path / "d"), num_movies=2, num_failed=1)


@pytest.fixture
def run(data, capsys):
    """Run a command on the dataset: (exit code, stdout, stderr)."""

    def run_(command, *arguments, uri=data.storage.uri):
        code = main([command, uri, *arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return run_


def test_validate(run):
    code, out, err = run("validate")
    assert code == 0
    assert "valid: 3 movies, 16 clips, 2 shards" in out
    assert "a plain random order" in out
    assert err == ""


def test_validate_lists_what_failed(run, data):
    data.storage.delete(layout.shard_key("movie-001", 0))
    code, out, _ = run("validate")
    assert code == 1
    assert "structure: shards/movie-001/movie-001-00000.tar: does not exist" in out
    assert "NOT VALID" in out


def test_validate_json(run, data):
    code, out, _ = run("validate", "--json", "--quick")
    report = json.loads(out)
    assert code == 0
    assert report["ok"] is True
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert (states["ranges"], states["checksum"]) == ("ok", "skipped")
    data.storage.put(layout.commit_key("movie-001"), b"")
    code, out, _ = run("validate", "--json")
    assert code == 1
    assert json.loads(out)["ok"] is False


@pytest.mark.parametrize("command", ["validate", "inspect"])
@pytest.mark.parametrize(
    ("uri", "message"),
    [("/no/such", "does not exist"), ("foo://x", "unknown scheme"), ("/", "is not a dataset")],
)
def test_unusable_input_prints_one_line_and_exits_with_2(run, command, uri, message):
    code, out, err = run(command, uri=uri)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["validate", pytest.param("inspect", marks=pytest.mark.slow)])
def test_missing_credentials_print_one_line_and_exit_with_2(run, command, s3_bucket, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1/169.254.169.254")
    code, _, err = run(command, uri=f"{s3_bucket}/x")
    assert code == 2
    assert "no credentials found" in err
    assert err.count("\n") == 1


def test_threads_must_be_positive(run):
    code, _, err = run("validate", "--threads", "0")
    assert code == 2
    assert "--threads 0" in err


@pytest.mark.parametrize("arguments", [[], ["validate"], ["dance", "x"]])
def test_bad_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err


def test_bad_arguments_of_a_process_print_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "shards_spec", "validate"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_summary(run):
    code, out, _ = run("inspect")
    assert code == 0
    assert "2 done, 1 quarantined" in out
    assert "16 of 48x32" in out
    assert "broken-000: quarantined: UnreadableMediaError: moov atom not found" in out


def test_summary_json(run):
    code, out, _ = run("inspect", "--json")
    summary = json.loads(out)
    assert code == 0
    assert summary["num_clips"] == 16
    assert summary["movies_by_status"] == {"done": 2, "quarantined": 1}
    assert summary["clips_by_shape"] == {"48x32": 16}
    assert summary["failures"][0]["movie_id"] == "broken-000"


def test_clip_with_its_images(run, tmp_path):
    out_folder = tmp_path / "new" / "images"
    code, out, _ = run("inspect", "movie-001_000003", "--out", str(out_folder))
    assert code == 0
    assert "movie-001_000003" in out
    for name in ("frames", "logmel"):
        path = out_folder / f"movie-001_000003.{name}.png"
        assert str(path) in out
        assert path.read_bytes().startswith(b"\x89PNG")


def test_clip_json(run, tmp_path):
    code, out, _ = run("inspect", "movie-001_000003", "--out", str(tmp_path), "--json")
    values = json.loads(out)
    assert code == 0
    assert values["clip_number"] == 3
    assert len(values["pictures"]) == 2


def test_unknown_clip_suggests_similar_ids(run):
    code, _, err = run("inspect", "movie-001_00003")
    assert code == 2
    assert "did you mean" in err
    assert "movie-001_000003" in err
    code, _, err = run("inspect", "zzz")
    assert code == 2
    assert "has no clip 'zzz'" in err


def test_images_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    code, _, err = run("inspect", "movie-001_000003", "--out", str(tmp_path / "file"))
    assert code == 2
    assert "cannot write images" in err


def test_broken_clip_prints_one_line_and_exits_with_2(run, data):
    key = layout.shard_key("movie-001", 0)
    data.storage.put(key, bytes(len(data.storage.get(key))))
    code, _, err = run("inspect", "movie-001_000003")
    assert code == 2
    assert "CRC-32C" in err
    assert err.count("\n") == 1
