"""Other users of the machine: they read no movie, and nothing that they prepare is used."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.limits import Limits
from pipeline.other_users import is_own_file, open_private, private_folder
from pipeline.other_users.peer import is_same_user
from pipeline.sources import Movie, staged
from pipeline.sources.corpus import find_movies
from pipeline.sources.ranged import ranged_source
from shards_spec.storage import Storage

#: `nobody`, who owns nothing of ours.
OTHER = 65534
DATA = b"film" * 1000

linux = pytest.mark.skipif(sys.platform != "linux", reason="lists sockets as Linux does")
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

#: Sends a request as another user: family, host, port, path, user.
_CLIENT = """
import os, socket, sys
family, host, port, path, user = sys.argv[1:]
os.setgroups([]) if os.getuid() == 0 else None
os.setuid(int(user))
client = socket.socket(getattr(socket, family))
client.settimeout(20)
client.connect((host, int(port)))
client.sendall(f"GET {path} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n".encode())
data = b""
try:
    while piece := client.recv(65536):
        data += piece
except ConnectionError:
    pass
sys.stdout.buffer.write(data)
"""


@pytest.fixture
def movie(s3_bucket: str) -> Movie:
    """A movie in a bucket."""
    Storage(s3_bucket).put("a.mp4", DATA)
    return find_movies(s3_bucket)[0]


@pytest.fixture
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all copies, in a folder that all users can write to; it does not exist yet."""
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    return shared / f"reelshards-stage-{os.getuid()}"


def answer(family: str, host: str, url: str, user: int) -> bytes:
    """What a user's request for an address of this machine returns."""
    _, _, rest = url.partition("//127.0.0.1:")
    port, _, path = rest.partition("/")
    # Not the virtual environment's: another user may not be allowed to enter it.
    command = [sys.executable, "-I", "-S", "-c", _CLIENT, family, host, port, f"/{path}", str(user)]
    run = subprocess.run(command, capture_output=True, timeout=500, cwd="/", check=False)
    assert b"Error" not in run.stderr, run.stderr
    return run.stdout


FAMILIES = [("AF_INET", "127.0.0.1"), ("AF_INET6", "::ffff:127.0.0.1")]


@linux
@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_the_own_user_reads_a_movie_by_range(movie: Movie, family: str, host: str) -> None:
    with ranged_source(movie, "f", Limits()) as source:
        assert answer(family, host, source.url, os.getuid()).endswith(DATA)


@linux
@as_root
@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_another_user_gets_nothing_even_with_the_path(movie: Movie, family: str, host: str) -> None:
    with ranged_source(movie, "f", Limits()) as source:
        assert answer(family, host, source.url, OTHER) == b""
        # And the movie can still be read.
        assert answer("AF_INET", "127.0.0.1", source.url, os.getuid()).endswith(DATA)
        assert source.failure is None


@linux
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_that_is_gone_belongs_to_nobody(family: socket.AddressFamily) -> None:
    host = "127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1"
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.socket(family) as client:
            client.connect((host, server.getsockname()[1]))
            connection, (_, port) = server.accept()
            with connection:
                assert is_same_user(("127.0.0.1", port), server.getsockname())
        assert not is_same_user(("127.0.0.1", port + 1 if port < 65535 else 1), ("127.0.0.1", 1))


def test_without_tables_of_sockets_reading_by_range_is_refused(
    movie: Movie, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pipeline.other_users.peer._TABLES", {tmp_path / "tcp": socket.AF_INET})
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(SourceError, match="--sources staged"):
        ranged_source(movie, "f", Limits()).__enter__()


def test_copies_are_private(movie: Movie, staging: Path) -> None:
    before = os.umask(0)
    try:
        with staged.staged_copy(movie, 1.0) as path:
            assert path.read_bytes() == DATA
            for found in [staging, *staging.rglob("*")]:
                assert found.stat().st_mode & 0o077 == 0, found
    finally:
        os.umask(before)


def _given_to_another(staging: Path, folder: Path) -> None:
    staging.mkdir(mode=0o777)
    os.chown(staging, OTHER, OTHER)


def _link_instead_of_the_folder(staging: Path, folder: Path) -> None:
    (staging.parent / "elsewhere").mkdir()
    staging.symlink_to(staging.parent / "elsewhere")


def _writable_for_others(staging: Path, folder: Path) -> None:
    staging.mkdir()
    staging.chmod(0o777)


def _link_instead_of_a_copy(staging: Path, folder: Path) -> None:
    staging.mkdir(mode=0o700)
    (staging.parent / "elsewhere").mkdir()
    folder.symlink_to(staging.parent / "elsewhere")


def _link_instead_of_a_file(name: str) -> Callable[[Path, Path], None]:
    def plant(staging: Path, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        staging.chmod(0o700)
        where = staging if name == "room.lock" else folder
        (where / name).symlink_to(staging.parent / "victim")

    return plant


def _second_name_of_a_file(staging: Path, folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    os.link(staging.parent / "victim", folder / "bytes")


def _no_sticky_bit(staging: Path, folder: Path) -> None:
    staging.parent.chmod(0o777)


def _pipe(staging: Path, folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700)
    os.mkfifo(folder / "bytes")


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        pytest.param(_given_to_another, "belongs to another user", marks=as_root),
        (_link_instead_of_the_folder, "is not a folder"),
        (_writable_for_others, "others can write to"),
        (_link_instead_of_a_copy, "is not a folder"),
        (_link_instead_of_a_file("lock"), "cannot open .*lock"),
        (_link_instead_of_a_file("bytes"), "cannot open .*bytes"),
        (_link_instead_of_a_file("room.lock"), "cannot open .*room.lock"),
        (_second_name_of_a_file, "not a file of this user's own"),
        (_pipe, "bytes"),
        (_no_sticky_bit, "no sticky bit"),
    ],
)
def test_what_others_prepared_is_refused(
    movie: Movie, staging: Path, prepare: Callable[[Path, Path], None], problem: str
) -> None:
    victim = staging.parent / "victim"
    victim.write_bytes(b"precious")
    prepare(staging, staged.stage_folder(movie))
    with pytest.raises(SourceError, match=problem):
        staged.staged_copy(movie, 1.0).__enter__()
    assert victim.read_bytes() == b"precious"


@pytest.fixture
def planted(movie: Movie, staging: Path) -> Iterator[Path]:
    """Where a copy would be, in a folder that is there already."""
    folder = staged.stage_folder(movie)
    folder.mkdir(parents=True, mode=0o700)
    staging.chmod(0o700)
    return folder / "movie"


def test_a_link_in_place_of_a_copy_is_not_read(movie: Movie, planted: Path) -> None:
    other = planted.parent.parent.parent / "other.mp4"
    other.write_bytes(b"swap" * 1000)
    planted.symlink_to(other)
    with staged.staged_copy(movie, 1.0) as path:
        assert path.read_bytes() == DATA
    assert other.read_bytes() == b"swap" * 1000


@as_root
def test_a_copy_of_another_user_is_not_read(movie: Movie, planted: Path) -> None:
    planted.write_bytes(b"swap" * 1000)
    os.chown(planted, OTHER, OTHER)
    with staged.staged_copy(movie, 1.0) as path:
        assert path.read_bytes() == DATA


def test_folders_of_earlier_versions_become_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder = tmp_path / "stage"
    folder.mkdir(mode=0o755)
    assert private_folder(folder).stat().st_mode & 0o777 == 0o700
    with open(open_private(folder / "a", os.O_WRONLY), "w") as file:
        file.write("x")
    assert is_own_file(folder / "a")
    assert not is_own_file(folder)
    assert not is_own_file(folder / "b")
