"""Color: from what a stream contains to the BT.709 frames of an ordinary display.

The scaler gets matrix and range explicitly, because programs guess differently where a stream does
not declare them. Undeclared means BT.601 below 720 lines, BT.709 from there on, and limited range.

High dynamic range and wide gamut are mapped here, in numpy on the small scaled frames, so that the
result does not depend on a filter that an ffmpeg build may lack:

    PQ or HLG code -> light, cd/m2 (ITU-R BT.2100) -> tone curve of BT.2390 (EETF) on the largest of
    R, G, B, down to reference white, 203 cd/m2 (BT.2408) -> BT.709 primaries (BT.2087), clipped
    -> code of a display of gamma 2.4 (BT.1886)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.probe.streams.video_stream import VideoStream

#: HDR reference white, cd/m2 (BT.2408): becomes the white of stored frames.
REFERENCE_WHITE_NITS = 203.0
#: Peak of an HDR master that does not declare its own, cd/m2.
DEFAULT_PEAK_NITS = 1000.0
#: Smallest height, pixels as coded, at which an undeclared matrix is BT.709.
HD_LINES = 720
#: Exponent of the display for which frames are stored (BT.1886).
DISPLAY_GAMMA = 2.4

_RGB_FORMATS = ("gbr", "rgb", "bgr", "0rgb", "0bgr", "argb", "abgr", "pal", "x2rgb", "x2bgr", "xyz")
#: Linear BT.2020 to BT.709 primaries (BT.2087, annex 1).
_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349],
     [-0.018151, -0.100579, 1.118730]], dtype=np.float32,
)  # fmt: skip
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Color:
    """How the scaler has to interpret a stream, and what remains to be mapped."""

    matrix: str
    """ffmpeg's name for the YCbCr matrix; empty for RGB streams."""
    full_range: bool
    transfer: str
    """`pq`, `hlg` or `sdr`."""
    wide_gamut: bool
    """BT.2020 primaries."""

    @property
    def needs_mapping(self) -> bool:
        """Whether scaled frames go through `ToneMap`."""
        return self.wide_gamut or self.transfer != "sdr"

    def __str__(self) -> str:
        parts = [self.matrix or "rgb", "full" if self.full_range else "limited"]
        if self.transfer != "sdr":
            parts.append(f"{self.transfer}->bt1886 by bt2390")
        if self.wide_gamut:
            parts.append("bt2020->bt709")
        return " ".join(parts)


def color_of(video: VideoStream) -> Color:
    """What the stream declares about its colors, completed by the rules above."""
    transfer = {"smpte2084": "pq", "arib-std-b67": "hlg"}.get(video.color_transfer, "sdr")
    matrix = video.color_matrix
    is_rgb = video.pixel_format.startswith(_RGB_FORMATS) or matrix == "gbr"
    if is_rgb:
        matrix = ""
    elif not matrix and transfer != "sdr":
        matrix = "bt2020nc"
    elif not matrix:
        matrix = "bt709" if video.height >= HD_LINES else "smpte170m"
    defaults_to_full = video.pixel_format.startswith("yuvj") or is_rgb
    full = video.color_range == "pc" or (not video.color_range and defaults_to_full)
    wide = video.color_primaries == "bt2020" or (transfer != "sdr" and not video.color_primaries)
    return Color(matrix, full, transfer, wide)


class ToneMap:
    """Maps frames of 16-bit codes to 8-bit BT.709; built once, used for every frame of a movie."""

    def __init__(self, color: Color, peak_nits: float) -> None:
        """`peak_nits`: peak luminance of the master; 0 if unknown."""
        codes = np.arange(65_536, dtype=np.float64) / 65_535
        self._wide = color.wide_gamut
        self._is_hlg = color.transfer == "hlg"
        peak = DEFAULT_PEAK_NITS if self._is_hlg else peak_nits or DEFAULT_PEAK_NITS
        peak = max(peak, REFERENCE_WHITE_NITS)
        self._is_hdr = color.transfer != "sdr"
        to_light: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
            "pq": pq_to_nits,
            "hlg": _hlg_to_scene,
            "sdr": lambda code: code**DISPLAY_GAMMA,
        }
        self._light = to_light[color.transfer](codes).astype(np.float32)
        # The curve as a factor on light, looked up by the PQ code of the brightest channel.
        nits = pq_to_nits(codes)
        mapped = pq_to_nits(_eetf(codes, nits_to_pq(peak)))
        self._nits = nits.astype(np.float32)
        self._gain = (mapped / np.maximum(nits, 1e-6) / REFERENCE_WHITE_NITS).astype(np.float32)

    def __call__(self, frame: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """(H, W, 3) RGB codes, full range -> (H, W, 3) BT.709 RGB."""
        light: Floats = self._light[frame]
        if self._is_hlg:
            # The system gamma of BT.2100 for a display of 1000 cd/m2.
            luma = np.maximum(light @ _BT2020_LUMA, 1e-6)
            light = light * (1000.0 * luma**0.2)[..., None]
            light = light * np.interp(light.max(axis=-1), self._nits, self._gain)[..., None]
        elif self._is_hdr:
            light = light * self._gain[frame.max(axis=-1)][..., None]
        if self._wide:
            light = light.astype(np.float32) @ _BT2020_TO_BT709.T
        codes = np.clip(light, 0.0, 1.0) ** (1.0 / DISPLAY_GAMMA)
        rounded: NDArray[np.uint8] = np.rint(codes * 255.0).astype(np.uint8)
        return rounded


def pq_to_nits(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """The PQ EOTF of BT.2100: code in [0, 1] -> cd/m2 in [0, 10 000]."""
    root = np.power(code, 1 / 78.84375)
    ratio = np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)
    nits: NDArray[np.float64] = 10_000.0 * np.power(ratio, 1 / 0.1593017578125)
    return nits


def nits_to_pq(nits: float) -> float:
    """Inverse of `pq_to_nits`."""
    power = (nits / 10_000.0) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def _hlg_to_scene(code: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse HLG OETF of BT.2100: code in [0, 1] -> scene light in [0, 1]."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    light: NDArray[np.float64] = np.where(
        code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12
    )
    return light


def _eetf(code: NDArray[np.float64], peak: float) -> NDArray[np.float64]:
    """The curve of BT.2390 from a master of `peak` to reference white, all as PQ codes.

    Straight up to a knee, then a Hermite spline that ends flat at reference white.
    """
    scaled = np.clip(code / peak, 0.0, 1.0)
    top = nits_to_pq(REFERENCE_WHITE_NITS) / peak
    knee = 1.5 * top - 0.5
    if knee >= 1.0:
        return scaled * peak
    t = np.clip((scaled - knee) / (1 - knee), 0.0, 1.0)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * top
    )
    return np.where(scaled < knee, scaled, spline) * peak
