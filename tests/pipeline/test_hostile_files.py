"""Films are untrusted: nothing in a corpus makes a run read other files or open a connection.

A canary stands outside of the corpus: a real film of 7 s, which would give clips if it were read. A
listener on loopback counts connections. Both are named by playlists, scripts, data references and
names of all kinds.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from media import Film, ffmpeg, make_film
from runs import preprocess

from pipeline import access, source
from pipeline.corpus import find_movies
from pipeline.errors import MediaError, OutsideCorpusError
from pipeline.movie import prepare
from pipeline.tools import ffmpeg_path
from shards_spec import layout
from shards_spec.reader import open_dataset
from shards_spec.recipe import Recipe
from shards_spec.storage import Storage
from shards_spec.validate import validate

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")


class Listener:
    """Takes connections on loopback and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            connection.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener()
    yield found
    found.close()


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good film that no run may read."""
    return make_film(tmp_path_factory.mktemp("outside") / "canary.mp4", Film(seconds=7))


def pointing_elsewhere(target: str) -> dict[str, bytes]:
    """File contents that send a player to `target`, by name of the trick."""
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:7\n#EXTINF:7,\n{target}\n#EXT-X-ENDLIST\n"
    key = f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:7,\n{target}\n'
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT7S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    return {
        "hls": hls.encode(),
        "hls_key": key.encode(),
        "concat": f"ffconcat version 1.0\nfile '{target}'\n".encode(),
        "concat_bare": f"file '{target}'\nduration 7\n".encode(),
        "dash": dash.encode(),
        "sdp": sdp.encode(),
        "smil": f'<smil><body><video src="{target}"/></body></smil>'.encode(),
        "asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>'.encode(),
        "pls": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n".encode(),
        "rtsp_text": f"RTSPtext\r\n{target}\r\n".encode(),
        "asf_reference": f"[Reference]\r\nRef1={target}\r\n".encode(),
        "ass": f"[Script Info]\n[Fonts]\nfontname: {target}\n".encode(),
        "svg": f'<svg xmlns:xlink="x"><image xlink:href="{target}"/></svg>'.encode(),
        "mov_alias": data_reference(target),
        "mov_movie_reference": movie_reference(target),
    }


def hostile_files(canary: Path, listener: Listener) -> dict[str, bytes]:
    """Every trick with every kind of target, by file name."""
    here = f"127.0.0.1:{listener.port}"
    targets = {
        "path": str(canary),
        "file": f"file:{canary}",
        "http": f"http://{here}/canary.mp4",
        "tcp": f"tcp://{here}",
        "crypto": f"crypto:{canary}",
        "subfile": f"subfile,,start,0,end,0,,:{canary}",
        "concat": f"concat:{canary}|{canary}",
    }
    endings = ["mp4", "mov", "mkv", "avi", "ts"]
    return {
        f"{trick}_{kind}.{endings[number % 5]}": content
        for number, (kind, target) in enumerate(targets.items())
        for trick, content in pointing_elsewhere(target).items()
    }


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def movie_reference(target: str) -> bytes:
    """QuickTime's redirect: a movie that only names another one."""
    url = target.encode() + b"\0"
    rdrf = box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(url)), url)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"rmra", box(b"rmda", rdrf)))


def data_reference(target: str) -> bytes:
    """A movie whose one track has its samples in another file, by an absolute alias."""
    path = target.encode()
    alias = bytearray(150)
    tail = struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2) + b"\xff\xff\0\0"
    alis = box(b"alis", b"\0\0\0\0", bytes(alias), tail)
    dref = box(b"dref", struct.pack(">II", 0, 1), alis)
    entry = struct.pack(">6xH16xHHII4xH32xHh", 1, 64, 48, 72 << 16, 72 << 16, 1, 24, -1)
    table = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), box(b"raw ", entry)),
        box(b"stts", struct.pack(">IIII", 0, 1, 1, 7000)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
        box(b"stsz", struct.pack(">III", 0, 9216, 1)),
        box(b"stco", struct.pack(">III", 0, 1, 0)),
    )
    media = box(b"minf", box(b"vmhd", bytes(12)), box(b"dinf", dref), table)
    handler = box(b"hdlr", bytes(8) + b"vide" + bytes(13))
    header = box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 1000, 7000, 0, 0))
    track = box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", header, handler, media))
    movie = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 7000) + bytes(80))
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", movie, track) + box(b"mdat", bytes(64))


@pytest.mark.usefixtures("local_ray")
def test_no_content_leads_to_other_files_or_the_network(
    tmp_path: Path, canary: Path, listener: Listener
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for name, content in hostile_files(canary, listener).items():
        (films / name).write_bytes(content)
    probed = 0
    for movie in find_movies(str(films)):
        with pytest.raises(MediaError):
            prepare(movie, source.fingerprint(movie), Recipe(), 60.0)
        probed += 1
    assert probed == 7 * 15
    # Some of them through the whole run too, beside a film that is good.
    for path in sorted(films.iterdir())[::9]:
        path.rename(films / f"run_{path.name}")
    for path in films.iterdir():
        if not path.name.startswith("run_"):
            path.unlink()
    make_film(films / "good.mp4", Film(seconds=5))
    assert preprocess(films, out) == 1
    rows = open_dataset(str(out)).movies.to_pylist()
    assert len(rows) == 13
    assert {row["movie_id"] for row in rows if row["num_clips"]} == {"good"}
    assert {row["status"] for row in rows} == {"done", "quarantined"}
    assert listener.count == 0
    assert validate(str(out)).ok


@pytest.mark.slow
def test_no_content_that_is_read_by_range_leads_anywhere(
    canary: Path, listener: Listener, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read so, a film may open `http` addresses: its own and no other, whatever it says."""
    # Beside a film that is read by range lies nothing, whatever a relative name leads to.
    here = f"http://127.0.0.1:{listener.port}"
    monkeypatch.setenv("http_proxy", here)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    storage = Storage(s3_bucket)
    storage.put("canary.mp4", canary)
    hostile = hostile_files(canary, listener)
    for trick, content in pointing_elsewhere("canary.mp4").items():
        hostile[f"{trick}_beside.mp4"] = content
    for name, content in hostile.items():
        storage.put(name, content)
    movies = [movie for movie in find_movies(s3_bucket) if movie.movie_id != "canary"]
    assert len(movies) == 8 * 15
    for movie in movies:
        mark = source.fingerprint(movie)
        with (
            pytest.raises(MediaError) as caught,
            access.held(movie, mark, by_range=True) as address,
        ):
            prepare(movie, mark, Recipe(), 60.0)
        assert caught.value.kind == "permanent", caught.value
        assert address not in str(caught.value)
    assert listener.count == 0
    # What all of them name can be read that way, if it is asked for.
    (good,) = [movie for movie in find_movies(s3_bucket) if movie.movie_id == "canary"]
    with access.held(good, source.fingerprint(good), by_range=True):
        assert prepare(good, source.fingerprint(good), Recipe(), 60.0).num_clips
    assert listener.count == 0
    # The tricks are real: without the whitelist of containers this one opens a connection.
    monkeypatch.delenv("http_proxy")
    (script,) = [movie for movie in movies if movie.movie_id == "concat_http"]
    with access.held(script, source.fingerprint(script), by_range=True) as address:
        command = [ffmpeg_path(), "-f", "concat", "-safe", "0", "-protocol_whitelist", "http,tcp"]
        subprocess.run([*command, "-i", address, "-f", "null", "-"], check=False, timeout=60)
    assert listener.count > 0


NAMES = [
    "-i.mp4",
    "--help.mp4",
    "a\nb.mp4",
    "per%03dcent.mp4",
    "%2e%2e%2fup.mp4",
    "a..mp4.mp4",
    "a?query=1#part.mp4",
    "data:text,x.mp4",
    "http:,,127.0.0.1.mp4",
    "concat:a|b.mp4",
    "subfile,,start,0,end,9,,:x.mp4",
    "$(touch owned).mp4",
    "`touch owned`;x.mp4",
    "'quote\" \\ back.mp4",
    "\u202egnp.mp4",
    "фильм 映画.mp4",
    "e\u0301.mp4",
    "n" * 251 + ".mp4",
    os.fsdecode(b"bytes\xff\xfe.mp4"),
]


@pytest.mark.usefixtures("local_ray")
def test_any_name_is_a_film_and_no_path(tmp_path: Path) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    film = make_film(tmp_path / "film.mp4", Film(seconds=4, width=64, height=48))
    for name in NAMES:
        os.link(film, films / name)
    assert preprocess(films, out) == 1
    rows = open_dataset(str(out)).movies.to_pylist()
    assert len(rows) == len(NAMES)
    assert all(layout.is_movie_id(row["movie_id"]) for row in rows)
    (bad,) = [row for row in rows if row["status"] != "done"]
    assert (bad["movie_id"], bad["error_class"]) == ("bytes", "unreadable")
    assert "rename it" in bad["error"]
    assert {path.name for path in tmp_path.iterdir()} == {"films", "out", "film.mp4"}
    folders = {path.name for path in (out / "shards").iterdir()}
    assert folders == {row["movie_id"] for row in rows if row["status"] == "done"}
    assert validate(str(out)).ok


def test_links_that_lead_out_of_the_corpus_are_refused(tmp_path: Path, canary: Path) -> None:
    films = tmp_path / "films"
    (films / "below").mkdir(parents=True)
    make_film(films / "real.mp4", Film(seconds=4, width=64, height=48))
    (films / "inside.mp4").symlink_to(films / "real.mp4")
    (films / "outside.mp4").symlink_to(canary)
    (films / "folder").symlink_to(canary.parent)
    (films / "below" / "circle").symlink_to(films)
    # The corpus itself may be a link: that is the word of whoever started the run.
    link = tmp_path / "link"
    link.symlink_to(films)
    found = {movie.movie_id: movie for movie in find_movies(str(link))}
    assert set(found) == {"real", "inside", "outside"}
    assert source.fingerprint(found["inside"]) == source.fingerprint(found["real"])
    with pytest.raises(OutsideCorpusError, match="--follow-links"):
        source.fingerprint(found["outside"])
    wanted = {movie.movie_id: movie for movie in find_movies(str(link), follow_links=True)}
    assert set(wanted) == {"real", "inside", "outside", "folder-canary"}
    assert source.fingerprint(wanted["outside"]) == source.fingerprint(wanted["folder-canary"])


def test_what_is_no_regular_file_never_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    for movie in find_movies(str(tmp_path), follow_links=True):
        with pytest.raises(OutsideCorpusError, match="no regular file"):
            source.fingerprint(movie)


def test_a_picture_sequence_is_no_film(tmp_path: Path) -> None:
    make_film(tmp_path / "film.mkv", Film(seconds=1))
    ffmpeg("-i", tmp_path / "film.mkv", tmp_path / "shot%03d.jpg")
    (tmp_path / "shot%03d.mp4").write_bytes((tmp_path / "shot001.jpg").read_bytes())
    (movie,) = [m for m in find_movies(str(tmp_path)) if m.movie_id.startswith("shot")]
    with pytest.raises(MediaError):
        prepare(movie, source.fingerprint(movie), Recipe(), 60.0)
