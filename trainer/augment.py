"""Random changes of training clips, batched on the device.

Each clip's draws are a hash of (seed, epoch, clip, what is drawn): no generator, hence no state to
save, and neither batch order, number of ranks nor device changes what a clip looks like.

    flip, brightness, contrast, saturation    break look: exposure, grade, palette
    gain, mel and time masks                  break sound: level, single bands, single moments

Shape suffixes: B clips, C channels, T frames, H x W pixels, M mel bands, L mel frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import torch

from trainer.config import AugmentConfig

#: Rec. 601 luma of RGB.
LUMA = (0.299, 0.587, 0.114)

#: Nats of power per decibel.
NATS_PER_DB = math.log(10.0) / 10.0

_MASK_64 = 0xFFFF_FFFF_FFFF_FFFF


class Draw(IntEnum):
    """What a random number is for; the number is part of the hash."""

    FLIP = 0
    BRIGHTNESS = 1
    CONTRAST = 2
    SATURATION = 3
    GAIN = 4
    MEL_WIDTH = 5
    MEL_PLACE = 6
    TIME_WIDTH = 7
    TIME_PLACE = 8


@dataclass(frozen=True)
class Dice:
    """Uniform random numbers for the clips of a batch."""

    seed: int
    epoch: int
    clip: torch.Tensor
    """(B,) int64, on the device where the numbers are wanted."""

    def uniform(self, draw: Draw) -> torch.Tensor:
        """(B,) float32 in [0, 1)."""
        key = _splitmix64_int(_splitmix64_int(self.seed ^ (self.epoch << 32)) + int(draw))
        hashed_B = _splitmix64(_splitmix64(self.clip + _signed(key)))
        return _shift_right(hashed_B, 40).float() / 2**24

    def around_one(self, draw: Draw, reach: float) -> torch.Tensor:
        """(B,) float32 in [1 - reach, 1 + reach)."""
        return 1.0 + reach * (2.0 * self.uniform(draw) - 1.0)


def augment_video(video_BCTHW: torch.Tensor, dice: Dice, config: AugmentConfig) -> torch.Tensor:
    """[0, 1] pixels -> [0, 1] pixels; all frames of a clip are changed alike."""
    if config.flip:
        flip_B = dice.uniform(Draw.FLIP) < 0.5
        video_BCTHW = torch.where(_wide(flip_B), video_BCTHW.flip(-1), video_BCTHW)
    if not (config.brightness or config.contrast or config.saturation):
        return video_BCTHW
    luma_C = torch.tensor(LUMA, device=video_BCTHW.device, dtype=video_BCTHW.dtype)
    if config.saturation:
        factor = _wide(dice.around_one(Draw.SATURATION, config.saturation))
        grey_B1THW = (video_BCTHW * luma_C.view(3, 1, 1, 1)).sum(dim=1, keepdim=True)
        video_BCTHW = torch.lerp(grey_B1THW, video_BCTHW, factor)
    # Brightness and contrast are one line through every pixel: one pass instead of two.
    brightness = _wide(dice.around_one(Draw.BRIGHTNESS, config.brightness))
    contrast = _wide(dice.around_one(Draw.CONTRAST, config.contrast))
    channel_means = video_BCTHW.mean(dim=(2, 3, 4), keepdim=True)
    grey = (channel_means * luma_C.view(3, 1, 1, 1)).sum(dim=1, keepdim=True)
    shifted = torch.addcmul(
        brightness * grey * (1.0 - contrast), video_BCTHW, brightness * contrast
    )
    return shifted.clamp_(0.0, 1.0)


def augment_audio(audio_BCML: torch.Tensor, dice: Dice, config: AugmentConfig) -> torch.Tensor:
    """Log-mel in nats -> log-mel in nats; masked parts take the clip's mean."""
    num_bands, num_frames = audio_BCML.shape[2:]
    masked = torch.zeros(1, dtype=torch.bool, device=audio_BCML.device)
    if config.mel_mask:
        draws = (dice.uniform(Draw.MEL_WIDTH), dice.uniform(Draw.MEL_PLACE))
        masked = masked | _block(num_bands, config.mel_mask, *draws)[:, None, :, None]
    if config.time_mask:
        draws = (dice.uniform(Draw.TIME_WIDTH), dice.uniform(Draw.TIME_PLACE))
        masked = masked | _block(num_frames, config.time_mask, *draws)[:, None, None, :]
    mean = audio_BCML.mean(dim=(2, 3), keepdim=True)
    audio_BCML = torch.where(masked, mean, audio_BCML)
    if config.gain_db:
        gain_db_B = config.gain_db * (2.0 * dice.uniform(Draw.GAIN) - 1.0)
        audio_BCML = audio_BCML + NATS_PER_DB * gain_db_B[:, None, None, None]
    return audio_BCML


def _block(
    size: int, largest_share: float, width_B: torch.Tensor, place_B: torch.Tensor
) -> torch.Tensor:
    """(B, size) bool: one run of places a clip, of 0 to `size * largest_share` places."""
    width_B1 = (width_B * (size * largest_share + 1.0)).floor()[:, None]
    start_B1 = (place_B[:, None] * (size - width_B1 + 1.0)).floor()
    places = torch.arange(size, device=width_B.device)
    return (places >= start_B1) & (places < start_B1 + width_B1)


def _wide(values_B: torch.Tensor) -> torch.Tensor:
    return values_B[:, None, None, None, None]


def _splitmix64(values: torch.Tensor) -> torch.Tensor:
    """The finaliser of SplitMix64 on int64 tensors, whose products wrap as unsigned ones do."""
    values = values + _signed(0x9E37_79B9_7F4A_7C15)
    values = (values ^ _shift_right(values, 30)) * _signed(0xBF58_476D_1CE4_E5B9)
    values = (values ^ _shift_right(values, 27)) * _signed(0x94D0_49BB_1331_11EB)
    return values ^ _shift_right(values, 31)


def _splitmix64_int(value: int) -> int:
    value = (value + 0x9E37_79B9_7F4A_7C15) & _MASK_64
    value = ((value ^ (value >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK_64
    value = ((value ^ (value >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK_64
    return value ^ (value >> 31)


def _shift_right(values: torch.Tensor, num_bits: int) -> torch.Tensor:
    """Logical shift; torch's own keeps the sign."""
    return (values >> num_bits) & ((1 << (64 - num_bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
