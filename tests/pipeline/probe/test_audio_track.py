"""Which audio track is used, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import NoAudioStreamError, NoDecoderError
from pipeline.movie import steps
from pipeline.probe.streams.stream_list import Program, StreamList
from pipeline.probe.tracks.audio_track import (
    AudioTrack,
    audio_tracks,
    choose_track,
    tracks_of_program,
)
from pipeline.probe.tracks.languages import language_code
from pipeline.sources import Movie
from pipeline.sources.corpus import find_movies
from shards_spec.errors import InputError
from shards_spec.recipe import Recipe
from tests.support.films.beeps import (
    FILM,
    beeping,
    flash_times,
    picture,
    plan_of,
    stored_sound,
    write_wav,
)
from tests.support.films.media import ffmpeg
from tests.support.films.opened import opened


def movie(language: str = "", audio_track: int = -1) -> Movie:
    return Movie(
        movie_id="m",
        uri="file:///m.mkv",
        group="m",
        num_bytes=1,
        language=language,
        audio_track=audio_track,
    )


def stream(
    index: int, language: str = "", channels: int = 2, title: str = "", *marks: str
) -> dict[str, Any]:
    return {
        "index": index,
        "codec_type": "audio",
        "codec_name": "ac3",
        "channels": channels,
        "sample_rate": "48000",
        "tags": {"language": language, "title": title},
        "disposition": dict.fromkeys(marks, 1),
    }


def tracks_of(streams: list[dict[str, Any]]) -> list[AudioTrack]:
    listed = StreamList(tuple(streams), (), "matroska", 0.0, (), "5 s")
    return audio_tracks(listed, frozenset({"ac3", "aac"}))


def chosen(streams: list[dict[str, Any]], language: str = "", **wish: Any) -> tuple[int, str]:
    track = choose_track(movie(**wish), tracks_of(streams), language)
    return track.index, track.choice


def test_the_order_of_preferences() -> None:
    english, german = stream(1, "eng"), stream(2, "ger", 6)
    assert chosen([english]) == (1, "only track")
    assert chosen([english, german]) == (2, "most channels")
    assert chosen([stream(1, "eng", 2, "", "default"), german]) == (1, "default track")
    assert chosen([english, german], "en") == (1, "language eng")
    assert chosen([english, stream(2, "eng")]) == (1, "first track")
    assert chosen([english, german], "fr") == (2, "most channels; none in fra")
    assert choose_track(movie("en"), tracks_of([english, german]), "de").index == 1
    comment = stream(1, "eng", 6, "Director's Commentary", "default")
    assert chosen([comment, stream(2, "ger")], "eng") == (2, "only main track; none in eng")
    assert chosen([comment]) == (1, "only track, though commentary")


@pytest.mark.parametrize(
    "title",
    [
        "Commentary by the director",
        "Audio Description",
        "English AD",
        "Audiokommentar",
        "Hörfilmfassung",
        "Isolated Score",
        "Descriptive video service",
        "English (SDH)",
        *("English (HI)", "English HI", "Deutsch [HI]", "English HI 5.1", "Mix for HI viewers"),
        *("English, HI", "Stereo - HI"),
        *("Commenti del regista", "Komentarz reżysera", "Komentář", "Rendezői kommentár"),
        *("Комментарий режиссёра", "Ohjaajan kommenttiraita", "Commentaartrack", "Yönetmen yorumu"),
        *("監督コメンタリー", "导演评论音轨", "코멘터리", "تعليق المخرج", "Коментар режисера"),
        *("Bildbeschreibung", "Audiodeskrypcja", "Syntolkning", "Kuvailutulkkaus", "画面解説"),
        *("Тифлокомментарий", "Audio descriptif", "Narração descritiva", "화면해설"),
        *("Version audiode\u0301crite", "Malentendants", "Hörgeschädigte", "para sordos"),
        *("Для слабослышащих", "Musique seule", "Isolated music track", "カラオケ"),
    ],
)
def test_titles_of_special_tracks(title: str) -> None:
    assert chosen([stream(1, "eng", 6, title), stream(2, "eng", 1)])[0] == 2


@pytest.mark.parametrize(
    "title",
    [
        *("", "Stereo", "Surround 5.1", "Had a hi-fi remaster", "Commando"),
        *(
            "HI-FI Stereo",
            "HI-RES 24/96",
            "HI - Hindi 2.0",
            "HI",
            "HI FI",
            "HI/LO mix",
            "HI-8 tape",
        ),
        *("Stereo HI-FI", "HI Def Audio", "Hindi (HI)", "HI-8 tape", "HIFI", "[HI] Hindi"),
        *("Русский дубляж", "日本語", "Castellano", "Version originale", "Kommissar", "Lektor PL"),
        *("AD-lib", "AD 1927", "Sordo", "Musical", "The Commentator", "Film score edition"),
    ],
)
def test_titles_of_main_tracks(title: str) -> None:
    assert chosen([stream(1, "eng", 6, title), stream(2, "eng", 1)])[0] == 1


def test_the_code_of_hindi_is_not_a_mark() -> None:
    assert chosen([stream(1, "hin", 6, "Dolby Digital HI"), stream(2, "eng", 1)])[0] == 1
    assert chosen([stream(1, "eng", 6, "Dolby Digital HI"), stream(2, "eng", 1)])[0] == 2


def test_tracks_without_a_decoder_come_last() -> None:
    spatial, plain = stream(1, "eng", 4, "", "default"), stream(2, "eng", 2)
    spatial["codec_name"] = "ac4"
    assert chosen([spatial, plain]) == (2, "only track with a decoder")
    assert chosen([spatial, plain, stream(3, "ger")], "en") == (
        2,
        "language eng; no decoder for stream 1 (ac4)",
    )
    with pytest.raises(NoDecoderError, match=r"cannot decode any of its audio tracks \(ac4\)"):
        chosen([spatial])
    del spatial["codec_name"]
    assert chosen([spatial, plain])[0] == 2


def test_names_of_mp4_handlers_count_as_titles() -> None:
    track = stream(1, "eng", 6)
    track["tags"] = {"handler_name": "Commentary", "language": "eng"}
    assert chosen([track, stream(2, "eng")])[0] == 2


@pytest.mark.parametrize("mark", ["comment", "visual_impaired", "hearing_impaired", "dependent"])
def test_dispositions_of_special_tracks(mark: str) -> None:
    assert chosen([stream(1, "eng", 6, "", mark, "default"), stream(2)])[0] == 2


def test_the_corpus_may_name_a_track() -> None:
    streams = [stream(1, "eng"), stream(3, "eng", 6, "Commentary")]
    assert chosen(streams, audio_track=3) == (3, "named by the corpus")
    with pytest.raises(
        NoAudioStreamError,
        match=r"stream 2.*not an audio stream; the audio streams of this file are 1, 3",
    ):
        chosen(streams, audio_track=2)


def test_streams_without_audio_are_not_tracks() -> None:
    with pytest.raises(NoAudioStreamError, match="add an audio track"):
        chosen([{"index": 0, "codec_type": "video"}, stream(1, channels=0)])


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        *(("en", "eng"), ("ENG", "eng"), ("en-GB", "eng"), ("de", "deu"), ("ger", "deu")),
        *(("fre", "fra"), ("fr_CA", "fra"), ("zh-Hans", "zho"), ("chi", "zho"), ("cze", "ces")),
        *(("und", ""), ("", ""), ("gsw", "gsw")),
    ],
)
def test_language_codes(tag: str, code: str) -> None:
    assert language_code(tag) == code


def test_manifest_column(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("uri,audio_track\na.mkv,2\nb.mkv,\n")
    assert [m.audio_track for m in find_movies(str(tmp_path / "m.csv"))] == [2, -1]
    (tmp_path / "m.csv").write_text("uri,audio_track\na.mkv,-3\n")
    with pytest.raises(InputError, match=r"row 1.*not a valid stream index"):
        find_movies(str(tmp_path / "m.csv"))


def listed_programs(*streams: set[int]) -> StreamList:
    """Programs 1, 2, ... with these streams."""
    programs = tuple(Program(i, "", frozenset(s)) for i, s in enumerate(streams, start=1))
    return StreamList((), programs, "mpegts", 0.0, (), "5 s")


def test_tracks_that_no_program_claims_are_used_where_there_is_no_other() -> None:
    tracks = tracks_of([stream(1), stream(2), stream(3)])

    def indexes(listed: StreamList, **wish: Any) -> list[int]:
        return [track.index for track in tracks_of_program(movie(**wish), listed, tracks, 0)]

    assert indexes(listed_programs()) == [1, 2, 3]
    assert indexes(listed_programs({0, 2}, {3})) == [2]
    assert indexes(listed_programs({0}, {3})) == [1, 2]
    assert indexes(listed_programs({0}, {1, 2, 3}), audio_track=3) == [1, 2, 3]
    with pytest.raises(NoAudioStreamError, match=r"another program \(1, 2, 3\) by `audio_track`"):
        indexes(listed_programs({0}, {1, 2, 3}))


def test_tracks_of_a_real_file(tmp_path: Path) -> None:
    """Three tracks with different tones; language and manifest decide which one is stored."""
    count = round(FILM.seconds * 48_000)
    inputs: list[str | Path] = []
    for number, tone_hz in enumerate((300, 600, 1_200)):
        tone = 0.3 * np.sin(2 * np.pi * tone_hz * np.arange(count) / 48_000)
        inputs += ["-i", write_wav(tmp_path / f"{number}.wav", tone)]
    path = tmp_path / "film.mkv"
    maps = [word for number in range(4) for word in ("-map", str(number))]
    tags = ["-metadata:s:a:0", "title=Commentary", "-metadata:s:a:1", "language=ger"]
    tags += ["-metadata:s:a:2", "language=fre", "-disposition:a:0", "default"]
    ffmpeg("-i", picture(tmp_path), *inputs, *maps, "-c:v", "copy", "-c:a", "flac", *tags, path)

    def tone_hz(language: str = "", audio_track: int = -1) -> int:
        (found,) = find_movies(str(path))
        wish = Movie(**{**vars(found), "audio_track": audio_track})
        recipe = Recipe(num_frames=8, store_audio=True, crop_bars=False, language=language)
        plan = steps.prepare(wish, opened(wish), recipe, 1000.0)
        _, samples = stored_sound(steps.with_clips(plan, []))
        spectrum = np.abs(np.fft.rfft(samples[16_000:32_000]))
        return int(spectrum.argmax())

    assert tone_hz() == 600
    assert tone_hz("fr") == tone_hz("fra") == tone_hz("fre") == 1_200
    assert tone_hz("de") == 600
    assert tone_hz("de", audio_track=1) == 300


def test_the_choice_is_in_the_index(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "s.wav", beeping(FILM.seconds, flash_times()))
    path = tmp_path / "film.mkv"
    ffmpeg("-i", picture(tmp_path), "-i", sound, "-c:v", "copy", "-c:a", "flac", path)
    plan = plan_of(path)
    assert plan.probe.audio.choice == "only track"
    assert plan.probe.other_audio == ()


UNREADABLE = {
    # An unknown codec in the description of the first of two tracks.
    "spatial.mov": ("pcm_s16le", b"sowt", b"apac"),
    "ac4.mp4": ("ac3", b"ac-3", b"ac-4"),
    "mpegh.mov": ("pcm_s24le", b"in24", b"mhm1"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_default_track_that_cannot_be_decoded(name: str, tmp_path: Path) -> None:
    codec, known, unknown = UNREADABLE[name]
    sound = write_wav(tmp_path / "s.wav", beeping(FILM.seconds, flash_times()))
    path = tmp_path / name
    maps = ("-map", "0", "-map", "1", "-map", "1", "-c:v", "copy", "-c:a:0", codec, "-c:a:1", "aac")
    marks = ("-ac:a:0", "4", "-disposition:a:0", "default", "-disposition:a:1", "default")
    ffmpeg("-i", picture(tmp_path), "-i", sound, *maps, *marks, path)
    path.write_bytes(path.read_bytes().replace(known, unknown))
    audio = plan_of(path).probe.audio
    assert (audio.index, audio.codec) == (2, "aac")
    assert audio.choice.startswith("only track with a decoder")


def test_a_track_without_any_valid_packet(tmp_path: Path) -> None:
    """There is a decoder, but it cannot decode anything of this track."""
    sound = write_wav(tmp_path / "s.wav", beeping(FILM.seconds, flash_times()))
    whole, path = tmp_path / "whole.mkv", tmp_path / "noise.mkv"
    maps = ("-map", "0", "-map", "1", "-map", "1", "-c:v", "copy", "-c:a:0", "aac", "-c:a:1", "ac3")
    ffmpeg("-i", picture(tmp_path), "-i", sound, *maps, "-disposition:a:0", "default", whole)
    ffmpeg("-i", whole, "-map", "0", "-c", "copy", "-bsf:a:1", "noise=amount=1", path)
    assert plan_of(whole).probe.audio.index == 1
    ffmpeg("-y", "-i", whole, "-map", "0", "-c", "copy", "-bsf:a:0", "noise=amount=1", path)
    audio = plan_of(path).probe.audio
    assert (audio.index, audio.codec) == (2, "ac3")
