"""Damage to the bytes of a clip, with a checksum, size and index that agree with it."""

from __future__ import annotations

import io
import json
import random
import struct

import numpy as np
import simplejpeg

from shards_spec.dataset.reader import Dataset
from tests.support.datasets.flawed import replace_members
from tests.support.hostile.values import JSON_TEXTS, json_value


def damage_clip(data: Dataset, rng: random.Random) -> str:
    """Replace a member of one clip; returns what was done."""
    way = rng.choice([_strip, _strip, _logmel, _row, _flac])
    name, value, said = way(data, rng)
    replace_members(data, **{name: value})
    return said


def _strip(data: Dataset, rng: random.Random) -> tuple[str, bytes, str]:
    row = data.clips.slice(8, 1).to_pylist()[0]
    height, width = row["num_frames"] * row["height"], row["width"]
    noise = np.random.default_rng(rng.randrange(1000)).integers(0, 256, (height, width, 3), "uint8")
    whole = simplejpeg.encode_jpeg(noise, 90, "RGB", "420")
    ways = {
        "empty": b"",
        "not a JPEG": b"GIF89a" + whole,
        "cut": whole[: rng.randrange(2, len(whole))],
        "gray": simplejpeg.encode_jpeg(noise[:, :, :1].copy(), 90, "GRAY", "Gray"),
        "444": simplejpeg.encode_jpeg(noise, 90, "RGB", "444"),
        "progressive": whole.replace(b"\xff\xc0", b"\xff\xc2", 1),
        "half as high": simplejpeg.encode_jpeg(noise[: height // 2].copy(), 90, "RGB", "420"),
        "wider": simplejpeg.encode_jpeg(np.hstack([noise, noise]), 90, "RGB", "420"),
        "appended": whole + b"\xff" * 3_000_000,
        "bits": bytes(b ^ (rng.random() < 0.01) for b in whole),
    }
    name = rng.choice([*ways, "header", "header"])
    if name != "header":
        return "frames_jpg", ways[name], f"strip: {name}"
    # The size in the header alone: what a decoder allocates.
    flat = simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8), 1, "RGB", "420")
    place = flat.index(b"\xff\xc0") + 5
    size = (rng.choice([0, 16, 65_488, 65_535]), rng.choice([0, 16, 65_500, 65_535]))
    return (
        "frames_jpg",
        flat[:place] + struct.pack(">HH", *size) + flat[place + 4 :],
        f"strip {size}",
    )


def _logmel(data: Dataset, rng: random.Random) -> tuple[str, bytes, str]:
    shape = (data.recipe.n_mels, data.recipe.num_mel_frames)
    values = np.zeros(shape, np.float16)
    header = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"
    form = rng.choice(
        [
            ("<f2", "False", "(999999999, 999999999)"),
            ("<f2", "False", "(0, 0)"),
            ("<f2", "True", str(shape)),
            ("|O", "False", str(shape)),
            ("<f2", "__import__('os').system('touch pwned')", str(shape)),
            ("<f2", "False", "(" * 5_000),
            ("<f2", "False", str(shape)),
        ]
    )
    text = (header % form).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    body = values.tobytes()
    if rng.random() < 0.4:
        values[:] = rng.choice([np.nan, np.inf, -np.inf, 65_504, -65_504])
        sink = io.BytesIO()
        np.lib.format.write_array(sink, values, version=(1, 0))
        return "logmel_npy", sink.getvalue(), f"log-mel of {values[0, 0]}"
    data_bytes = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body
    return "logmel_npy", data_bytes, f"log-mel {form}"


def _row(data: Dataset, rng: random.Random) -> tuple[str, bytes, str]:
    if rng.random() < 0.5:
        text = rng.choice(JSON_TEXTS)
        return "json", text.encode(), f"row {text[:20]!r}"
    row = data.clips.slice(8, 1).to_pylist()[0]
    name, value = rng.choice(list(row)), json_value(rng)
    text = json.dumps({**row, name: value})
    return "json", text.encode("utf-8", "surrogatepass"), f"row {name} = {value!r:.30}"


def _flac(data: Dataset, rng: random.Random) -> tuple[str, bytes, str]:
    value = rng.choice([b"fLaC", b"fLaC" + b"\xff" * 40, b"\x00" * 3_000_000, b"fLaC\x00\x00\x00"])
    return "audio_flac", value, f"audio {value[:8]!r}"
