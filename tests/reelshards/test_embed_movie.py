"""Movies to embeddings: the same as from their shards, through the API and the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import reelshards as rs
from reelshards.commands import main
from tests.support.films.media import Film, make_film
from trainer.runs.evaluate import export
from trainer.runs.folder import load_run
from trainer.runs.scoring.embeddings import embed_clips
from trainer.settings.model import InputConfig, ModelConfig

RECIPE = rs.Recipe(
    num_frames=4, short_side=32, sample_rate_hz=8_000, n_mels=16, mel_high_hz=4_000.0
)

#: Other codecs, containers, rates, shapes and lengths; one with silence, which drops clips.
MOVIES = {
    "one.mp4": Film(seconds=7.0),
    "two.mkv": Film(seconds=6.0, width=112, height=160, gop=7, audio=("-c:a", "flac")),
    "three é.mov": Film(seconds=5.0, tint=(40, 160, 90), audio=("-c:a", "pcm_s16le", "-ac", "2")),
    "quiet.mp4": Film(
        seconds=6.0, audio=("-c:a", "aac", "-af", "volume=enable='lt(t,3)':volume=0")
    ),
}

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("movies")
    for name, film in MOVIES.items():
        make_film(folder / name, film)
    return folder


@pytest.fixture(scope="module")
def dataset(local_ray: None, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> rs.Dataset:
    out = tmp_path_factory.mktemp("shards")
    assert rs.preprocess(corpus, out, recipe=RECIPE).counts == {"done": len(MOVIES)}
    return rs.open_dataset(out)


@pytest.fixture(scope="module")
def run(dataset: rs.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = rs.TrainConfig(
        stop_at_step=3,
        policy=rs.BatchPolicy(movies_per_batch=2, clips_per_movie=4, split="all"),
        stream=rs.StreamConfig(frame_size=32, num_processes=0, num_threads=2),
        model=ModelConfig(embedding_size=16, head_hidden=32, inputs=InputConfig(frame_size=32)),
        tensorboard=False,
    )
    folder = tmp_path_factory.mktemp("run")
    rs.train(dataset, folder, config)
    return folder


def from_shards(run: Path, dataset: rs.Dataset, name: str) -> list[tuple[int, list[float]]]:
    """(start, video and audio vectors) of a movie's clips as `evaluate` computes them, by time."""
    uris = {row["movie_id"]: row["source_uri"] for row in dataset.movies.to_pylist()}
    rows = [
        row
        for row, movie in enumerate(dataset.clips["movie_id"].to_pylist())
        if uris[movie].endswith(Path(name).suffix) and name[:3] in uris[movie]
    ]
    trained = load_run(run)
    embedded = embed_clips(trained.model, dataset, rows, trained.config, torch.device("cpu"))
    both = torch.cat((embedded.video, embedded.audio), dim=1).tolist()
    starts = dataset.clips["start_ns"].take(rows).to_pylist()
    return sorted(zip(starts, both, strict=True))


def rows_of(table: pa.Table) -> list[tuple[int, list[float]]]:
    return [(row["start_ns"], row["video"] + row["audio"]) for row in table.to_pylist()]


@pytest.mark.parametrize("name", MOVIES)
def test_a_movie_embeds_like_its_shards(
    corpus: Path, dataset: rs.Dataset, run: Path, name: str
) -> None:
    table = rs.load(run).embed_movie(corpus / name)
    assert table.column_names == ["start_ns", "end_ns", "video", "audio"]
    expected, found = from_shards(run, dataset, name), rows_of(table)
    assert [start for start, _ in found] == [start for start, _ in expected]
    assert len(found) >= 3
    np.testing.assert_allclose([v for _, v in found], [v for _, v in expected], atol=1e-4)


def test_every_clip_includes_what_the_recipe_drops(corpus: Path, run: Path) -> None:
    encoder = rs.load(run)
    some, every = (
        encoder.embed_film(corpus / "quiet.mp4", every_clip=every_clip, num_threads=1)
        for every_clip in (False, True)
    )
    assert every.num_rows == 7
    assert some.num_rows < every.num_rows
    assert set(some["start_ns"].to_pylist()) < set(every["start_ns"].to_pylist())


def test_what_is_not_one_movie_is_rejected(corpus: Path, run: Path, tmp_path: Path) -> None:
    encoder = rs.load(run)
    with pytest.raises(rs.InputError, match="is 4 movies, expected one movie"):
        encoder.embed_movie(corpus)
    with pytest.raises(rs.InputError, match=r"absent\.mp4 does not exist"):
        encoder.embed_movie(tmp_path / "absent.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"no movie")
    with pytest.raises(rs.ReelshardsError, match=r"broken\.mp4"):
        encoder.embed_movie(tmp_path / "broken.mp4")


def test_the_command_writes_times_and_vectors(
    corpus: Path, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    export(run, tmp_path / "export")
    out = tmp_path / "new" / "emb.parquet"
    movies = [str(corpus / "one.mp4"), str(corpus / "two.mkv")]
    words = ["embed", *movies, "--run", str(tmp_path / "export"), "--out", str(out)]
    assert main(words) == 0
    table = pq.read_table(out)
    assert table.column_names == ["movie", "start_ns", "end_ns", "video", "audio"]
    encoder = rs.load(run)
    expected = [encoder.embed_movie(movie).drop(["end_ns"]) for movie in movies]
    assert rows_of(table) == [row for part in expected for row in rows_of(part)]
    assert capfd.readouterr().out.endswith(f"{table.num_rows} clips in {out}\n")


def test_the_command_lists_movies_that_fail(
    corpus: Path, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no movie")
    movies = [str(tmp_path / "broken.mp4"), str(corpus / "one.mp4")]
    words = ["embed", *movies, "--run", str(run), "--out", str(tmp_path / "emb.parquet")]
    assert main(words) == 1
    assert "failed: broken.mp4" in capfd.readouterr().err
    assert pq.read_table(tmp_path / "emb.parquet").num_rows > 0
    assert not list(tmp_path.glob(".*"))
