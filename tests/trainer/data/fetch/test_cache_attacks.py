"""A cache folder that others could reach: forged clips, planted links, foreign owners."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pytest
import torch

from shards_spec.dataset.reader import Dataset
from shards_spec.errors import InputError
from trainer.__main__ import main
from trainer.config import TrainConfig
from trainer.data.fetch.cache import DIGEST_BYTES, ClipCache
from trainer.data.fetch.clip_location import ClipLocation
from trainer.data.fetch.private_folder import PrivateFolder
from trainer.data.loader.config import StreamConfig
from trainer.data.plan.policy import BatchPolicy
from trainer.data.stream.batch import Batch
from trainer.data.stream.stream import ClipStream
from trainer.train import train

POLICY = BatchPolicy(movies_per_batch=2, clips_per_movie=4)
CONTENT = b"a" * 100


def location(content: bytes = CONTENT) -> ClipLocation:
    checksum = google_crc32c.value(content)
    return ClipLocation("m_000001", "m", "m.tar", 0, len(content), checksum, 16, 16, 0, 0)


def forged(content: bytes) -> bytes:
    """Other bytes of the same length with the same CRC-32C: its last four bytes are solved for."""
    head = bytes(byte ^ 0x55 for byte in content[:-4])
    base, wanted = google_crc32c.value(head + bytes(4)), google_crc32c.value(content)
    # The checksum is linear in the last 32 bits, up to `base`: Gauss-Jordan elimination in GF(2).
    rows = []
    for bit in range(32):
        tail = (1 << bit).to_bytes(4, "little")
        rows.append((google_crc32c.value(head + tail) ^ base, 1 << bit))
    tail_bits, missing = 0, base ^ wanted
    for bit in range(32):
        pivot = next(row for row in rows if row[0] >> bit & 1)
        rows = [
            (row[0] ^ pivot[0], row[1] ^ pivot[1]) if row[0] >> bit & 1 else row
            for row in rows
            if row is not pivot
        ]
        if missing >> bit & 1:
            missing, tail_bits = missing ^ pivot[0], tail_bits ^ pivot[1]
    data = head + tail_bits.to_bytes(4, "little")
    assert google_crc32c.value(data) == wanted
    assert data != content
    return data


def only_file(folder: Path) -> Path:
    [path] = folder.glob("??/*")
    return path


def batches(dataset: Dataset, cache: str) -> list[Batch]:
    config = StreamConfig(frame_size=32, num_processes=0, num_threads=1, cache_dir=cache)
    with ClipStream(dataset, POLICY, config, seed=5) as stream:
        return [next(stream) for _ in range(stream.num_steps_per_epoch)]


def test_a_forged_clip_with_the_right_checksum_enters_no_batch(
    make_toy_dataset: Callable[..., Dataset], tmp_path: Path
) -> None:
    data = make_toy_dataset(str(tmp_path / "data"), num_movies=2, clips_per_movie=8)
    cache = tmp_path / "cache"
    plain = batches(data, str(cache))
    paths = list(cache.glob("??/*"))
    assert len(paths) >= 16
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(content[:DIGEST_BYTES] + forged(content[DIGEST_BYTES:]))
    for one, other in zip(plain, batches(data, str(cache)), strict=True):
        assert torch.equal(one.frames, other.frames)
        assert torch.equal(one.logmel, other.logmel)


def test_a_clip_without_the_digest_of_its_name_is_removed(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path / "c", 10_000)
    cache.put(location(), CONTENT)
    path = only_file(tmp_path / "c")
    whole = path.read_bytes()
    others = [CONTENT, bytes(DIGEST_BYTES) + CONTENT, whole + b"x", whole[:-1], b""]
    for other in others:
        path.write_bytes(other)
        assert cache.get(location()) is None
        assert not path.exists()
        cache.put(location(), CONTENT)
    # The valid file of another clip, under this clip's name.
    second = location()._replace(clip_id="m_000002")
    cache.put(second, CONTENT)
    for name in (tmp_path / "c").glob("??/*"):
        name.write_bytes(whole)
    assert cache.get(second) is None
    assert cache.get(location()) == CONTENT


@pytest.mark.parametrize("is_hard", [False, True])
@pytest.mark.parametrize("name", ["size", "key", "clip", "unfinished clip"])
def test_planted_links_are_not_written_through(tmp_path: Path, name: str, is_hard: bool) -> None:
    folder, target = tmp_path / "c", tmp_path / "target"
    ClipCache(folder, 10_000).put(location(), CONTENT)
    target.write_bytes(b"precious" * 4)
    clip = only_file(folder)
    path = {
        "clip": clip,
        "unfinished clip": clip.with_name(f".{clip.name}"),
    }.get(name, folder / name)
    path.unlink(missing_ok=True)
    if is_hard:
        os.link(target, path)
    else:
        path.symlink_to(target)
    if name == "key":
        target.chmod(0o600)
    cache = None
    # The first attempt may only have removed the link.
    for _ in range(2):
        try:
            cache = ClipCache(folder, 10_000)
        except InputError:
            continue
        cache.put(location(), CONTENT)
    assert target.read_bytes() == b"precious" * 4
    assert cache is not None
    assert cache.get(location()) == CONTENT


def test_a_planted_folder_is_not_written_into(tmp_path: Path) -> None:
    folder, target = tmp_path / "c", tmp_path / "target"
    ClipCache(folder, 10_000).put(location(), CONTENT)
    part = only_file(folder).parent
    only_file(folder).unlink()
    part.rmdir()
    target.mkdir()
    part.symlink_to(target)
    cache = ClipCache(folder, 10_000)
    cache.put(location(), CONTENT)
    assert cache.get(location()) == CONTENT
    assert list(target.iterdir()) == []
    assert part.is_dir()
    assert not part.is_symlink()


def test_pipes_in_a_cache_do_not_block(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    ClipCache(folder, 10_000).put(location(), CONTENT)
    for path in (only_file(folder), folder / "size", folder / "key"):
        path.unlink()
        os.mkfifo(path)
    for _ in range(3):
        try:
            cache = ClipCache(folder, 10_000)
        except InputError:
            continue
        cache.put(location(), CONTENT)
    assert cache.get(location()) == CONTENT


def test_files_and_folders_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    before = os.umask(0)
    try:
        ClipCache(folder, 10_000).put(location(), CONTENT)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")]}
    assert modes <= {0o700, 0o600}


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c").chmod(mode)
    with pytest.raises(InputError, match=rf"/c' can be written by other users \(mode {mode:o}\)"):
        ClipCache(tmp_path / "c", 10_000)
    (tmp_path / "c").chmod(0o755)
    ClipCache(tmp_path / "c", 10_000)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir(mode=0o700)
    os.chown(tmp_path / "c", 65_534, 65_534)
    with pytest.raises(InputError, match="belongs to another user"):
        ClipCache(tmp_path / "c", 10_000)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_a_key_of_another_user_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    key = PrivateFolder(folder).secret("key", 32)
    assert PrivateFolder(folder).secret("key", 32) == key
    os.chown(folder / "key", 65_534, 65_534)
    assert PrivateFolder(folder).secret("key", 32) != key
    (folder / "key").chmod(0o644)
    assert (folder / "key").stat().st_uid == 0
    readable = (folder / "key").read_bytes()
    assert PrivateFolder(folder).secret("key", 32) != readable


def test_the_settings_of_a_run_folder_choose_no_cache_folder(
    make_toy_dataset: Callable[..., Dataset],
    tmp_path: Path,
    tiny_config: TrainConfig,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = make_toy_dataset(str(tmp_path / "data"), num_movies=10, clips_per_movie=8)
    run, chosen = tmp_path / "run", tmp_path / "chosen"
    stream = dataclasses.replace(tiny_config.stream, cache_dir=str(chosen))
    config = dataclasses.replace(tiny_config, steps=2, stop_at_step=1, stream=stream)
    train(data.storage.uri, run, config)
    shutil.rmtree(chosen)
    words = ["train", "--data", data.storage.uri, "--run", str(run)]
    assert main(words) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert f"names the cache folder '{chosen}', which is not used" in output
    assert main(["evaluate", *words[1:]]) == 0
    assert not chosen.exists()
