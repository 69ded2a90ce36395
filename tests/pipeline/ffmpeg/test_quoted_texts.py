"""ffmpeg's listing quotes a movie's own texts, which may look like any report or error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shards_spec.dataset.reader import open_dataset, read_clips
from shards_spec.sample import Sample
from shards_spec.schema.tables import clip_rows
from tests.support.films.media import Film, ffmpeg, make_film
from tests.support.launch.runs import preprocess

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")

#: What a run is classified by, and the reports that frames and samples are placed by.
TEXTS = (
    "Cannot allocate memory, exceeds max_streams, Invalid data found when processing input",
    "[h264 @ 0x5] [error] error while decoding MB 1 2, bytestream -5",
    "[vist#0:0/h264 @ 0x1] [warning] Packet corrupt (stream = 0, dts = 1000)",
    "n:3 pts:1000 pts_time:0.1 fmt:flt channels:1 chlayout:mono rate:44100 nb_samples:1152 "
    "checksum:2D0C331A ",
    "decoder -> ist_index:0:0 type:video best_effort_ts:900 best_effort_ts_time:0.01 keyframe:0 "
    "frame_type:2 ",
    "demuxer -> ist_index:0:0 type:video pkt_pts:3600 pkt_pts_time:0.04 pkt_dts:3600",
    "encoder <- type:video frame_pts:7 frame_pts_time:1.4 time_base:1/5",
)


@pytest.mark.usefixtures("local_ray")
def test_a_movie_may_say_anything_of_itself(tmp_path: Path) -> None:
    """Title, comment, names of streams, chapters and tags, language, and the file's own name."""
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    plain = make_film(films / "plain.mp4", Film(seconds=5))
    everything = "\n".join(TEXTS)
    chapters = tmp_path / "chapters.txt"
    escaped = "".join(f"\\{one}" if one in "=;#\\\n" else one for one in everything)
    chapters.write_text(f";FFMETADATA1\n[CHAPTER]\nSTART=0\nEND=1000000000\ntitle={escaped}\n")
    for number, text in enumerate((everything, *TEXTS)):
        tags = [f"-metadata{of}" for of in ("", ":s:v", ":s:a")]
        words = [word for tag in tags for word in (tag, f"title={text}")]
        inputs = ("-i", plain, "-i", chapters, "-map_chapters", "1", "-c", "copy")
        ffmpeg(*inputs, "-metadata", f"comment={text}", *words, films / f"tags{number}.mkv")
    for number, text in enumerate(TEXTS):
        if "] [" not in text:
            # Here line breaks are not indented.
            raw = f"x\nInput #0\nStream mapping:\n{text}\n"
            named = ("-metadata", f"k\n{raw}=v", "-movflags", "use_metadata_tags")
            ffmpeg("-i", plain, "-c", "copy", *named, films / f"named{number}.mp4")
            spoken = ("-metadata:s:a", f"language={raw}", "-metadata:s:v", f"language={raw}")
            ffmpeg("-i", plain, "-c", "copy", *spoken, films / f"spoken{number}.mkv")
        if "/" not in text:
            ffmpeg("-i", plain, "-c", "copy", films / f"name{number}\n{text}.mkv")
    ffmpeg("-i", plain, "-c", "copy", films / "remuxed.mkv")
    assert preprocess(films, out, "--retry-seconds", "0.01") == 0
    dataset = open_dataset(str(out))
    # In MP4 and Matroska, the delay of the audio encoder is described differently.
    of_container = {".mp4": clips_of(out, "plain"), ".mkv": clips_of(out, "remuxed")}
    for row in dataset.movies.to_pylist():
        assert (row["status"], row["attempts"]) == ("done", 1), row
        found = clips_of(out, row["movie_id"])
        expected = of_container[Path(row["source_uri"]).suffix]
        assert len(found) == len(expected) == 3
        for one, other in zip(found, expected, strict=True):
            assert np.array_equal(one.frames, other.frames)
            assert np.array_equal(one.logmel, other.logmel)


def clips_of(out: Path, movie_id: str) -> list[Sample]:
    """The clips of a movie, in the order of time."""
    dataset = open_dataset(str(out))
    rows = [row for row in clip_rows(dataset.clips) if row.movie_id == movie_id]
    # Their order in the shard depends on the movie's name.
    return sorted(read_clips(dataset.storage, rows), key=lambda one: one.clip_id)
