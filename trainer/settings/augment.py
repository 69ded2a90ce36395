"""Settings of augmentation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.settings.checks import flag, require


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random augmentation of training clips, on the device; 0 or False disables a setting."""

    window: float = 1.0
    """Share of a clip's frames, (0, 1], that a random window keeps, with the audio of the same
    time: hides nothing, but shows each clip at other moments (temporal jitter); evaluation uses
    whole clips; 1 disables it."""
    crop_area: float = 1.0
    """Smallest share of the frame that a random crop keeps, (0, 1]; crops are resized to the full
    size. Hides framing, vignette and logos; 1 disables it."""
    flip: bool = True
    """Mirror half of the clips horizontally."""
    brightness: float = 0.3
    """Pixels are multiplied by up to 1 +- this; hides exposure and color grading."""
    contrast: float = 0.3
    """Distance from the clip's mean gray is multiplied by up to 1 +- this."""
    saturation: float = 0.3
    """Distance from each pixel's gray is multiplied by up to 1 +- this; hides the palette."""
    hue: float = 0.0
    """Hue is rotated by up to +- this, turns, [0, 0.5]; hides the palette."""
    grayscale: float = 0.0
    """Share of clips converted to gray, [0, 1]; hides the palette."""
    gain_db: float = 6.0
    """Level changes by up to +- this, dB; no effect with `--model.inputs.audio-norm` clip or
    band."""
    equalizer_db: float = 0.0
    """Mel bands are raised or lowered along a smooth random curve, up to +- this, dB; hides the
    timbre of room, theme music and encoder."""
    mel_mask: float = 0.1
    """Up to this share of the mel bands is masked, one block per clip (SpecAugment)."""
    time_mask: float = 0.1
    """Up to this share of the time frames is masked, one block per clip (SpecAugment)."""

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "mel_mask", "time_mask"):
            value = getattr(self, name)
            require(0 <= value < 1, f"{flag('augment', name)} = {value:g}: must be in [0, 1)")
        for name in ("gain_db", "equalizer_db"):
            value = getattr(self, name)
            require(
                0 <= value < math.inf,
                f"{flag('augment', name)} = {value:g}: must be at least 0 and finite",
            )
        require(0 < self.window <= 1, f"augment.window = {self.window:g}: must be in (0, 1]")
        require(
            0 < self.crop_area <= 1, f"augment.crop-area = {self.crop_area:g}: must be in (0, 1]"
        )
        require(0 <= self.hue <= 0.5, f"augment.hue = {self.hue:g}: must be in [0, 0.5] turns")
        require(
            0 <= self.grayscale <= 1, f"augment.grayscale = {self.grayscale:g}: must be in [0, 1]"
        )
