"""Containers and codecs: each stored frame is the one on screen, wherever segments are cut.

Each case is made from one lossless movie of numbered frames. PyAV reports what is shown when.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import av
import pytest

from pipeline.audio.soundtrack import AudioReport
from pipeline.errors import NoDecoderError, UnreadableError
from pipeline.ffmpeg.binaries import ffmpeg_path
from pipeline.movie.rows import Cost, movie_row
from pipeline.plan.movie_plan import PlacedPlan
from shards_spec.recipe import NANOSECONDS
from shards_spec.schema.dropped import DroppedClips
from tests.support.films.media import Film, ffmpeg, make_film, read_number
from tests.support.films.oracle import (
    clips_of,
    everything,
    judged,
    plan_of,
    source_frames,
    wrong_frames,
)
from tests.support.samples import mostly_slow

H264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2", "-g", "15")
MPEG4 = ("-c:v", "mpeg4", "-q:v", "3", "-g", "25")
VP9 = ("-c:v", "libvpx-vp9", "-b:v", "500k", "-g", "25", "-cpu-used", "8")
OPEN_264 = ("-c:v", "libx264", "-bf", "3", "-x264-params", "open-gop=1:scenecut=0:keyint=20")
OPEN_265 = ("-c:v", "libx265", "-preset", "ultrafast", "-bf", "3", "-x265-params")
OPEN_265 += ("open-gop=1:keyint=20:min-keyint=20:scenecut=0:log-level=none:pools=1",)
REFRESH = ("-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=25")
AAC, MP2, AC3 = ("-c:a", "aac"), ("-c:a", "mp2"), ("-c:a", "ac3")
PCM, OPUS = ("-c:a", "pcm_s16le"), ("-c:a", "libopus")
#: 33 bits at 90 kHz are 95443.7 s: these clocks wrap in the middle of the movie.
WRAP = ("-output_ts_offset", "95438")

#: Name -> (ending, output options).
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mp4 open gop": (".mp4", (*OPEN_264, *AAC)),
    "mp4 fragmented": (".mp4", (*H264, *AAC, "-movflags", "frag_keyframe+empty_moov")),
    "mp4 huge time base": (".mp4", (*H264, *AAC, "-video_track_timescale", "10000000")),
    "mp4 tiny time base": (".mp4", (*H264, *AAC, "-video_track_timescale", "25")),
    "mkv hevc open gop": (".mkv", (*OPEN_265, *AAC)),
    "ts hevc open gop": (".ts", (*OPEN_265, *AAC)),
    "ts h264 open gop": (".ts", (*OPEN_264, *AAC)),
    "ts intra refresh": (".ts", (*REFRESH, *AAC)),
    "ts mpeg2 late": (".ts", (*MPEG2, *MP2, "-output_ts_offset", "7200")),
    "ts mpeg2 wraps": (".ts", (*MPEG2, *MP2, *WRAP)),
    "ts h264 wraps": (".ts", (*H264, *AAC, *WRAP)),
    "ps mpeg2 late": (".vob", (*MPEG2, *AC3, "-f", "vob", "-output_ts_offset", "1000")),
    "webm vp9": (".webm", (*VP9, "-auto-alt-ref", "1", "-lag-in-frames", "16", *OPUS)),
    "avi mpeg4 b-frames": (".avi", (*MPEG4, "-bf", "2", *AC3)),
    "avi h264 b-frames": (".avi", (*H264, *AC3)),
    "asf h264 b-frames": (".asf", (*H264, *AC3)),
    "mov prores": (".mov", ("-c:v", "prores_ks", "-profile:v", "0", *PCM)),
}
RARE_CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mp4 b-frames": (".mp4", (*H264, *AAC)),
    "mp4 hevc open gop": (".mp4", (*OPEN_265, *AAC, "-tag:v", "hvc1")),
    "mp4 vp9": (".mp4", (*VP9, *AAC)),
    "mkv intra refresh": (".mkv", (*REFRESH, *AAC)),
    "mkv ffv1": (".mkv", ("-c:v", "ffv1", *PCM)),
    "webm vp8": (".webm", ("-c:v", "libvpx", "-b:v", "500k", "-g", "25", *OPUS)),
    "mpg mpeg1": (".mpg", ("-c:v", "mpeg1video", "-q:v", "3", "-bf", "2", "-g", "15", *MP2)),
    "avi mjpeg": (".avi", ("-c:v", "mjpeg", "-q:v", "3", *PCM)),
    "wmv": (".wmv", ("-c:v", "wmv2", "-q:v", "3", "-g", "25", "-c:a", "wmav2")),
    "flv h264": (".flv", (*H264, *AAC)),
    "flv sorenson": (".flv", ("-c:v", "flv", "-q:v", "3", "-g", "25", *PCM, "-ar", "44100")),
    "mxf mpeg2": (".mxf", (*MPEG2, *PCM)),
    "nut h264": (".nut", (*H264, *AAC)),
}


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    film = Film(video=("-c:v", "ffv1", "-pix_fmt", "yuv420p"), audio=PCM, gop=1)
    return make_film(tmp_path_factory.mktemp("master") / "master.nut", film)


def check(path: Path) -> PlacedPlan:
    """No wrong frame, and the same bytes for two lengths of segments."""
    plan = plan_of(path)
    assert plan.probe.lost_ns == 0
    num_wrong, whole = judged(plan, source_frames(path))
    assert num_wrong == 0
    parts = plan_of(path, seconds=1.7)
    assert everything(parts) == whole
    return parts


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, *RARE_CASES])
def test_every_frame_is_the_one_on_screen(case: str, master: Path, tmp_path: Path) -> None:
    suffix, options = (CASES | RARE_CASES)[case]
    path = tmp_path / f"film{suffix}"
    ffmpeg("-i", master, *options, "-threads", "1", path)
    plan = check(path)
    assert plan.end_clip == 7
    if case in CASES:
        assert plan.probe.duration_ns == pytest.approx(12 * NANOSECONDS, abs=2_000_000)
        # AVI and ASF have no presentation times to seek to: they are decoded in one piece.
        assert len(plan.segments) == 1 if "b-frames" in case else len(plan.segments) >= 2


def test_edit_lists(master: Path, tmp_path: Path) -> None:
    """A start inside a GOP; then video that starts late."""
    whole, trimmed, late = (tmp_path / f"{name}.mp4" for name in ("whole", "trimmed", "late"))
    ffmpeg("-i", master, *H264, "-g", "100", *AAC, whole)
    ffmpeg("-ss", "3.3", "-i", whole, "-c", "copy", trimmed)
    plan = check(trimmed)
    assert plan.end_clip == 5
    assert read_number(clips_of(plan)[0][1][0]) == 83
    shift = ("-itsoffset", "1.5", "-i", whole, "-i", whole, "-map", "0:v", "-map", "1:a")
    ffmpeg(*shift, "-c", "copy", late)
    assert read_number(clips_of(check(late))[0][1][0]) == 0


def test_frame_times_may_start_anywhere(master: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    jitter = "select='not(eq(mod(n,7),3))',setpts=PTS+random(1)*300"
    ffmpeg("-i", master, "-vf", jitter, *H264, *AAC, "-fps_mode", "vfr", path)
    assert check(path).probe.is_vfr


@pytest.mark.slow
def test_no_duration_in_the_header(master: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    ffmpeg("-i", master, *H264, *AAC, "-live", "1", path)
    plan = check(path)
    assert plan.probe.video.declared_duration_ns == 0
    assert plan.probe.duration_ns == pytest.approx(12 * NANOSECONDS, abs=2_000_000)


@pytest.mark.parametrize(
    ("codec", "num_keyframes"), [(H264, 16), pytest.param(MPEG4, 300, marks=pytest.mark.slow)]
)
def test_wrong_keyframe_flags(
    codec: tuple[str, ...], num_keyframes: int, master: Path, tmp_path: Path
) -> None:
    """Without its list of sync samples, an MP4 declares every frame a keyframe.

    For H.264, ffprobe then lists all frames of intra slices, also those that frames refer past.
    """
    whole, path = tmp_path / "whole.mp4", tmp_path / "film.mp4"
    ffmpeg("-i", master, *codec, *AAC, whole)
    data = whole.read_bytes()
    assert data.count(b"stss") == 1
    path.write_bytes(data.replace(b"stss", b"free"))
    assert len(check(path).probe.keyframes_ns) >= num_keyframes


@pytest.mark.slow
def test_the_frame_size_may_change(master: Path, tmp_path: Path) -> None:
    path, second = tmp_path / "film.ts", tmp_path / "second.ts"
    ffmpeg("-i", master, *H264, *AAC, path)
    ffmpeg("-i", master, "-vf", "scale=384:224", *H264, *AAC, "-output_ts_offset", "12", second)
    path.write_bytes(path.read_bytes() + second.read_bytes())
    assert check(path).end_clip == 14


def test_the_largest_video_of_several_programs(master: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.ts"
    small = "[0:v]split[a][b];[a]scale=96:56,negate[s]"
    maps = ("-map", "[s]", "-map", "0:a", "-map", "[b]", "-map", "0:a")
    programs = ("-program", "title=small:st=0:st=1", "-program", "title=large:st=2:st=3")
    ffmpeg("-i", master, "-filter_complex", small, *maps, *H264, *AAC, *programs, path)
    plan = plan_of(path)
    assert plan.probe.video.width == 192
    assert wrong_frames(plan, source_frames(path, stream=1)) == 0


@pytest.mark.parametrize("suffix", mostly_slow([".ts", ".mkv", ".avi", ".mp4"], (".ts",)))
def test_truncated_in_the_middle(suffix: str, master: Path, tmp_path: Path) -> None:
    """Intact parts are kept; the header's duration, if present, shows how much is lost."""
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"film{suffix}"
    options = (*MPEG4, *AC3) if suffix == ".avi" else (*H264, *AAC, "-movflags", "faststart")
    ffmpeg("-i", master, *options, whole)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    plan = check(path)
    assert 3 <= plan.end_clip <= 5
    if suffix in (".mkv", ".mp4"):
        assert plan.probe.video.declared_duration_ns == pytest.approx(12e9, abs=5e7)
        assert plan.probe.duration_ns < 9 * NANOSECONDS


def test_truncated_before_its_index(master: Path, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "film.mp4"
    ffmpeg("-i", master, *H264, *AAC, whole)
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(UnreadableError, match="moov atom not found"):
        plan_of(path)


@pytest.mark.parametrize("suffix", mostly_slow([".mp4", ".mkv", ".ts"], (".ts",)))
def test_damage_in_the_middle(suffix: str, master: Path, tmp_path: Path) -> None:
    """Frames before the damage, and from the next keyframe on, are correct and not shifted."""
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"film{suffix}"
    ffmpeg("-i", master, *H264, *AAC, whole)
    data = bytearray(whole.read_bytes())
    at, noise = int(len(data) * 0.5), random.Random(1)
    data[at : at + 3000] = noise.randbytes(3000)
    path.write_bytes(bytes(data))
    plan = plan_of(path)
    clips, intact = clips_of(plan), clips_of(plan_of(whole))
    same = {number for number in intact if number in clips and _equal(clips, intact, number)}
    assert {0, 1, 2} <= same
    assert len(same) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", H264), (".mkv", H264), (".mp4", OPEN_264), (".ts", MPEG2), (".mp4", MPEG4)],
)
@pytest.mark.parametrize("share", [0.6, 0.15])
def test_damaged_movies_do_not_depend_on_the_segments(
    suffix: str, codec: tuple[str, ...], share: float, master: Path, tmp_path: Path
) -> None:
    """Noise in keyframes, also in entry points of segments: clips that show it are left out.

    A decoder's output for a damaged frame depends on everything that it decoded before.
    """
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"film{suffix}"
    ffmpeg("-i", master, *codec, *(MP2 if suffix == ".ts" else AAC), "-threads", "1", whole)
    data, noise = bytearray(whole.read_bytes()), random.Random(1)
    with av.open(str(whole)) as container:
        packets = [p for p in container.demux(video=0) if p.size and p.is_keyframe]
        places = [(p.pos, p.size) for p in packets[1:]]
    for pos, size in places:
        if noise.random() < share:
            start = pos + int(size * noise.uniform(0.3, 0.7))
            data[start : start + size // 8] = noise.randbytes(size // 8)
    path.write_bytes(bytes(data))
    found = everything(plan_of(path))
    assert found[2], "no clip shows the damage"
    for seconds in (1.7, 5.0):
        parts = plan_of(path, seconds=seconds)
        assert len(parts.segments) >= 2
        assert everything(parts) == found


def test_a_clock_that_jumps_back(master: Path, tmp_path: Path) -> None:
    """Two joined recordings: the second does not fit the clock of the first, and is counted."""
    first, path = tmp_path / "first.ts", tmp_path / "film.ts"
    ffmpeg("-i", master, *MPEG2, *MP2, first)
    path.write_bytes(2 * first.read_bytes())
    plan = plan_of(path)
    assert plan.probe.duration_ns == pytest.approx(12 * NANOSECONDS, abs=2_000_000)
    assert plan.probe.lost_ns == pytest.approx(12 * NANOSECONDS, abs=NANOSECONDS)
    row = movie_row(plan, Cost(1, 0.0, 0.0), DroppedClips(), AudioReport())
    assert row.video_lost_ns == plan.probe.lost_ns
    assert wrong_frames(plan, source_frames(first)) == 0


def _equal(one: dict, two: dict, number: int) -> bool:
    pairs = zip(one[number][1], two[number][1], strict=True)
    return all(read_number(a) == read_number(b) for a, b in pairs)


def test_a_gap_in_a_broadcast(master: Path, tmp_path: Path) -> None:
    """The last frame is shown during the gap; later frames keep their times."""
    whole, path = tmp_path / "whole.ts", tmp_path / "film.ts"
    ffmpeg("-i", master, *MPEG2, *MP2, whole)
    data = whole.read_bytes()
    packets = len(data) // 188
    path.write_bytes(data[: packets * 2 // 5 * 188] + data[packets * 3 // 5 * 188 :])
    plan = check(path)
    assert plan.probe.still_ns > NANOSECONDS
    assert plan.probe.duration_ns == pytest.approx(12 * NANOSECONDS, abs=2_000_000)


def test_av1_where_ffmpeg_can(master: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    ffmpeg("-i", master, "-c:v", "libsvtav1", "-preset", "12", "-g", "25", *AAC, path)
    command = [ffmpeg_path(), "-hide_banner", "-decoders"]
    decoders = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "dav1d" in decoders:
        check(path)
    else:
        with pytest.raises(NoDecoderError, match="set FFMPEG_BINARY"):
            plan_of(path)


def test_theora_where_ffmpeg_can_encode_it(master: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.ogv"
    options = ("-c:v", "libtheora", "-q:v", "8", "-g", "25", "-c:a", "libvorbis")
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-i", str(master), *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unknown encoder" in done.stderr:
        pytest.skip("this ffmpeg cannot code Theora")
    assert check(path).end_clip == 7
