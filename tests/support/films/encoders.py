"""Settings of encoders whose streams have frames that no other frame refers to."""

from __future__ import annotations

X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
#: To be followed by the parameters.
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params")
X265_PARAMS = "log-level=none:pools=1:keyint=30:scenecut=0"

MPEG1 = ("-c:v", "mpeg1video", "-bf", "2", "-b:v", "1M")
MPEG2 = ("-c:v", "mpeg2video", "-bf", "2", "-b:v", "1M")
MPEG4 = ("-c:v", "mpeg4", "-bf", "2", "-b:v", "1M")
#: MPEG without pictures that refer past a keyframe.
CLOSED = ("-flags", "+cgop", "-sc_threshold", "1000000000")
