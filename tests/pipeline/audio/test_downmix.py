"""How the channels of a track are mixed to mono."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from pipeline.audio.downmix import WEIGHTS, joined_mix, mono_mix
from pipeline.ffmpeg.binaries import ffmpeg_path

LAYOUTS = {
    "mono": ["FC"],
    "stereo": ["FL", "FR"],
    "5.1": ["FL", "FR", "FC", "LFE", "BL", "BR"],
    "5.1(side)": ["FL", "FR", "FC", "LFE", "SL", "SR"],
    "6.1": ["FL", "FR", "FC", "LFE", "BC", "SL", "SR"],
    "7.1": ["FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mixing_to_mono(layout: str) -> None:
    """Each channel in turn is at full scale for 100 ms, so the mix shows its gain."""
    names = LAYOUTS[layout]
    lanes = "|".join(f"eq(floor(t*10)\\,{place})" for place in range(len(names)))
    source = f"aevalsrc={lanes}:c={layout}:s=8000:d={len(names) / 10}"
    command = [ffmpeg_path(), "-v", "error", "-nostdin", "-f", "lavfi", "-i", source]
    command += ["-af", f"pan={mono_mix(layout, len(names))}", "-f", "f32le", "pipe:1"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=500)
    mixed = np.frombuffer(done.stdout, "<f4").reshape(len(names), -1)
    gains = np.array([WEIGHTS.get(name, 0.0) for name in names])
    np.testing.assert_allclose(mixed[:, 400], gains / gains.sum(), atol=1e-4)
    # All channels together at full scale just reach full scale: nothing can clip.
    assert mixed[:, 400].sum() == pytest.approx(1.0, abs=1e-4)


def test_layouts_without_loudspeakers() -> None:
    assert mono_mix("", 10) == "mono|c0<" + "+".join(f"1*c{i}" for i in range(10))
    assert mono_mix("binaural", 2) == "mono|c0<1*c0+1*c1"
    assert mono_mix("ambisonic 1", 4) == "mono|c0<1*c0"


def test_joined_mono_tracks_have_the_weights_of_their_channels() -> None:
    assert joined_mix("stereo", 2) == "mono|c0<0.707107*c0+0.707107*c1"
    assert joined_mix("5.1", 6).split("<")[1].split("+") == [
        *("0.707107*c0", "0.707107*c1", "1.0*c2", "0.0*c3", "0.5*c4", "0.5*c5"),
    ]
    assert joined_mix("", 4) == "mono|c0<1*c0+1*c1+1*c2+1*c3"
