"""Random augmentation of training clips, batched on the device.

Each clip's draws are a hash of (seed, epoch, clip, view, what is drawn): no generator, hence no
state to save, and neither batch order, number of ranks nor device changes what a clip looks like.

Each change hides a shortcut: something that identifies the movie without its content.

    window (`window.py`)             the moments at which clips were cut
    flip                             left and right
    random resized crop              framing, vignette, logos and other marks at fixed places
    brightness, contrast             exposure and grade
    saturation, hue, grayscale       palette
    gain                             level of the mix
    mel equalizer                    room, microphones, the theme's timbre, the encoder's cut-off
    mel and time masks (SpecAugment, arXiv:1904.08779)    single bands, single moments

Shape suffixes: B clips, C channels, T frames, H x W pixels, M mel bands, L mel frames.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch.nn import functional

from trainer.models.hashing import signed, splitmix64, splitmix64_int, uniform
from trainer.models.inputs import constant
from trainer.settings import AugmentConfig

#: Rows give luma and the two chroma axes (I, Q of NTSC) of RGB; a rotation in the chroma plane
#: changes the hue and keeps luma.
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))

#: Its inverse; computed here, because computing it on a device would block.
RGB = torch.linalg.inv(torch.tensor(YIQ)).tolist()

#: Crops are up to this much wider or taller than the frame's aspect ratio.
MAX_CROP_STRETCH = 4 / 3

#: Cosines over the mel bands, from half a period to this many, that form an equalizer's curve.
NUM_EQUALISER_WAVES = 3

#: Nats of power per decibel.
NATS_PER_DB = math.log(10.0) / 10.0


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
    HUE = 9
    GRAYSCALE = 10
    CROP_AREA = 11
    CROP_SHAPE = 12
    CROP_X = 13
    CROP_Y = 14
    EQUALISER = 15
    """And the following numbers, one per wave."""
    WINDOW = EQUALISER + NUM_EQUALISER_WAVES + 1


#: Random numbers drawn for each clip.
NUM_DRAWS = Draw.WINDOW + 1


@dataclass(frozen=True)
class Dice:
    """Uniform random numbers for the clips of a batch."""

    seed: int
    epoch: int
    clip: torch.Tensor
    """(B,) int64, on the device where the numbers are used."""
    view: int = 0
    """Which view of the clips, where a step uses several."""

    def uniform(self, draw: Draw, offset: int = 0) -> torch.Tensor:
        """(B,) float32 in [0, 1)."""
        return self._numbers[int(draw) + offset]

    def around_one(self, draw: Draw, reach: float) -> torch.Tensor:
        """(B,) float32 in [1 - reach, 1 + reach)."""
        return 1.0 + reach * (2.0 * self.uniform(draw) - 1.0)

    def key(self) -> torch.Tensor:
        """(B,) int64: a hash of each clip, from which networks draw (drop path)."""
        return splitmix64(self.clip + signed(splitmix64_int(self._base() ^ NUM_DRAWS)))

    @functools.cached_property
    def _numbers(self) -> torch.Tensor:
        """(draws, B), in one operation: on a device, one draw takes as long as all of them."""
        base = self._base()
        keys = [signed(splitmix64_int(base + number)) for number in range(NUM_DRAWS)]
        keys_D1 = constant(keys, self.clip.device, torch.int64)[:, None]
        hashed_DB = splitmix64(splitmix64(self.clip + keys_D1))
        return uniform(hashed_DB)

    def _base(self) -> int:
        base = splitmix64_int(self.seed ^ (self.epoch << 32))
        return splitmix64_int(base + self.view) if self.view else base


def augment_video(video_BCTHW: torch.Tensor, dice: Dice, config: AugmentConfig) -> torch.Tensor:
    """[0, 1] pixels -> [0, 1] pixels; all frames of a clip change in the same way."""
    if config.crop_area < 1.0:
        video_BCTHW = _crop_and_resize(video_BCTHW, dice, config.crop_area)
    if config.flip:
        video_BCTHW = torch.where(_wide(flipped(dice)), video_BCTHW.flip(-1), video_BCTHW)
    if changes_colors(config):
        map_BC4 = color_map(video_BCTHW.mean(dim=(2, 3, 4)), dice, config)
        mixed = torch.baddbmm(map_BC4[..., 3:], map_BC4[..., :3], video_BCTHW.flatten(2))
        return mixed.clamp_(0.0, 1.0).view_as(video_BCTHW)
    return video_BCTHW.clamp(0.0, 1.0)


def flipped(dice: Dice) -> torch.Tensor:
    """(B,) bool: which clips are mirrored."""
    return dice.uniform(Draw.FLIP) < 0.5


def changes_colors(config: AugmentConfig) -> bool:
    """Whether any change of color is enabled."""
    return any(
        (config.saturation, config.hue, config.grayscale, config.brightness, config.contrast)
    )


def color_map(means_BC: torch.Tensor, dice: Dice, config: AugmentConfig) -> torch.Tensor:
    """All changes of color as one linear map on RGB in [0, 1]: (B, 3, 4) float32, matrix and shift.

    Args:
        means_BC: (B, 3) float32, each clip's mean color, which contrast leaves in place.
    """
    matrix_B33 = _color_matrix(dice, config)
    # Brightness and contrast are one linear function of every pixel.
    brightness_B11 = dice.around_one(Draw.BRIGHTNESS, config.brightness)[:, None, None]
    contrast_B11 = dice.around_one(Draw.CONTRAST, config.contrast)[:, None, None]
    luma_1C = constant([YIQ[0]], means_BC.device)
    gray_B11 = luma_1C @ (matrix_B33 @ means_BC[..., None])
    shift_B11 = brightness_B11 * gray_B11 * (1.0 - contrast_B11)
    matrix_B33 = matrix_B33 * (brightness_B11 * contrast_B11)
    return torch.cat((matrix_B33, shift_B11.expand(-1, 3, 1)), dim=2)


def augment_audio(audio_BCML: torch.Tensor, dice: Dice, config: AugmentConfig) -> torch.Tensor:
    """Log-mel in nats -> log-mel in nats; masked parts take the clip's mean."""
    num_bands, num_frames = audio_BCML.shape[2:]
    if config.equalizer_db:
        audio_BCML = audio_BCML + _equalizer(num_bands, dice, config.equalizer_db)
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


def _crop_and_resize(video_BCTHW: torch.Tensor, dice: Dice, least_area: float) -> torch.Tensor:
    """One crop per clip, of at least that share of the frame, resized to the full size."""
    area_B = least_area + (1.0 - least_area) * dice.uniform(Draw.CROP_AREA)
    reach = math.log(MAX_CROP_STRETCH)
    stretch_B = torch.exp(reach * (2.0 * dice.uniform(Draw.CROP_SHAPE) - 1.0))
    width_B = (area_B * stretch_B).sqrt().clamp(max=1.0)
    height_B = (area_B / stretch_B).sqrt().clamp(max=1.0)
    # Coordinates of `grid_sample`: the frame extends from -1 to 1 on both axes.
    center_x_B = (1.0 - width_B) * (2.0 * dice.uniform(Draw.CROP_X) - 1.0)
    center_y_B = (1.0 - height_B) * (2.0 * dice.uniform(Draw.CROP_Y) - 1.0)
    zero_B = torch.zeros_like(area_B)
    rows = ((width_B, zero_B, center_x_B), (zero_B, height_B, center_y_B))
    affine_B23 = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    # Frames of a clip share its crop, so they can be passed as channels of one image.
    pixels_BKHW = video_BCTHW.flatten(1, 2)
    grid_BHW2 = functional.affine_grid(affine_B23, list(pixels_BKHW.shape), align_corners=False)
    cropped = functional.grid_sample(
        pixels_BKHW, grid_BHW2.to(pixels_BKHW.dtype), padding_mode="border", align_corners=False
    )
    return cropped.view_as(video_BCTHW)


def _color_matrix(dice: Dice, config: AugmentConfig) -> torch.Tensor:
    """(B, 3, 3) float32 on RGB: chroma is rotated by the change of hue and scaled."""
    device = dice.clip.device
    to_yiq, to_rgb = constant(YIQ, device), constant(RGB, device)
    scale_B = dice.around_one(Draw.SATURATION, config.saturation)
    is_gray_B = dice.uniform(Draw.GRAYSCALE) < config.grayscale
    scale_B = torch.where(is_gray_B, 0.0, scale_B)
    turn_B = 2.0 * math.pi * config.hue * (2.0 * dice.uniform(Draw.HUE) - 1.0)
    cos_B, sin_B = scale_B * turn_B.cos(), scale_B * turn_B.sin()
    chroma_B33 = torch.zeros(len(scale_B), 3, 3, device=device)
    chroma_B33[:, 0, 0] = 1.0
    chroma_B33[:, 1, 1] = chroma_B33[:, 2, 2] = cos_B
    chroma_B33[:, 1, 2], chroma_B33[:, 2, 1] = -sin_B, sin_B
    matrix_B33: torch.Tensor = to_rgb @ chroma_B33 @ to_yiq
    return matrix_B33


def _equalizer(num_bands: int, dice: Dice, reach_db: float) -> torch.Tensor:
    """(B, 1, M, 1) nats: a smooth curve over the mel bands, at most `reach_db` up or down."""
    device = dice.clip.device
    place_M = (torch.arange(num_bands, device=device) + 0.5) / num_bands
    waves = range(1, NUM_EQUALISER_WAVES + 1)
    curves_VM = torch.stack([torch.cos(math.pi * wave * place_M) for wave in waves])
    draws = [2.0 * dice.uniform(Draw.EQUALISER, wave) - 1.0 for wave in waves]
    curve_BM = torch.stack(draws, dim=1) @ curves_VM / NUM_EQUALISER_WAVES
    return NATS_PER_DB * reach_db * curve_BM[:, None, :, None]


def _block(
    size: int, largest_share: float, width_B: torch.Tensor, place_B: torch.Tensor
) -> torch.Tensor:
    """(B, size) bool: one block of consecutive positions per clip, 0 to `size * largest_share`."""
    width_B1 = (width_B * (size * largest_share + 1.0)).floor()[:, None]
    start_B1 = (place_B[:, None] * (size - width_B1 + 1.0)).floor()
    places = torch.arange(size, device=width_B.device)
    return (places >= start_B1) & (places < start_B1 + width_B1)


def _wide(values_B: torch.Tensor) -> torch.Tensor:
    return values_B[:, None, None, None, None]
