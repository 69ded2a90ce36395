"""File contents that redirect a player: to other files, to the network."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path


class Listener:
    """Accepts connections on loopback and counts them."""

    def __init__(self) -> None:
        self.count = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            connection.close()


def pointing_elsewhere(target: str) -> dict[str, bytes]:
    """File contents that redirect a player to `target`, by name of the trick."""
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:7\n#EXTINF:7,\n{target}\n#EXT-X-ENDLIST\n"
    key = f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n#EXTINF:7,\n{target}\n'
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT7S"><Period><AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    return {
        "hls": hls.encode(),
        "hls_key": key.encode(),
        "concat": f"ffconcat version 1.0\nfile '{target}'\n".encode(),
        "concat_bare": f"file '{target}'\nduration 7\n".encode(),
        "dash": dash.encode(),
        "sdp": sdp.encode(),
        "smil": f'<smil><body><video src="{target}"/></body></smil>'.encode(),
        "asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>'.encode(),
        "pls": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n".encode(),
        "rtsp_text": f"RTSPtext\r\n{target}\r\n".encode(),
        "asf_reference": f"[Reference]\r\nRef1={target}\r\n".encode(),
        "ass": f"[Script Info]\n[Fonts]\nfontname: {target}\n".encode(),
        "svg": f'<svg xmlns:xlink="x"><image xlink:href="{target}"/></svg>'.encode(),
        "mov_alias": data_reference(target),
        "mov_movie_reference": movie_reference(target),
    }


def hostile_files(canary: Path, listener: Listener) -> dict[str, bytes]:
    """Every trick with every kind of target, by file name."""
    here = f"127.0.0.1:{listener.port}"
    targets = {
        "path": str(canary),
        "file": f"file:{canary}",
        "http": f"http://{here}/canary.mp4",
        "tcp": f"tcp://{here}",
        "crypto": f"crypto:{canary}",
        "subfile": f"subfile,,start,0,end,0,,:{canary}",
        "concat": f"concat:{canary}|{canary}",
    }
    endings = ["mp4", "mov", "mkv", "avi", "ts"]
    return {
        f"{trick}_{kind}.{endings[number % 5]}": content
        for number, (kind, target) in enumerate(targets.items())
        for trick, content in pointing_elsewhere(target).items()
    }


def box(name: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + name + body


def movie_reference(target: str) -> bytes:
    """QuickTime's redirect: a movie that only names another one."""
    url = target.encode() + b"\0"
    rdrf = box(b"rdrf", struct.pack(">I4sI", 0, b"url ", len(url)), url)
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", box(b"rmra", box(b"rmda", rdrf)))


def data_reference(target: str) -> bytes:
    """A movie whose one track has its samples in another file, by an absolute alias."""
    path = target.encode()
    alias = bytearray(150)
    tail = struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2) + b"\xff\xff\0\0"
    alis = box(b"alis", b"\0\0\0\0", bytes(alias), tail)
    dref = box(b"dref", struct.pack(">II", 0, 1), alis)
    entry = struct.pack(">6xH16xHHII4xH32xHh", 1, 64, 48, 72 << 16, 72 << 16, 1, 24, -1)
    table = box(
        b"stbl",
        box(b"stsd", struct.pack(">II", 0, 1), box(b"raw ", entry)),
        box(b"stts", struct.pack(">IIII", 0, 1, 1, 7000)),
        box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)),
        box(b"stsz", struct.pack(">III", 0, 9216, 1)),
        box(b"stco", struct.pack(">III", 0, 1, 0)),
    )
    media = box(b"minf", box(b"vmhd", bytes(12)), box(b"dinf", dref), table)
    handler = box(b"hdlr", bytes(8) + b"vide" + bytes(13))
    header = box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 1000, 7000, 0, 0))
    track = box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", header, handler, media))
    movie = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 7000) + bytes(80))
    return box(b"ftyp", b"qt  \0\0\0\0qt  ") + box(b"moov", movie, track) + box(b"mdat", bytes(64))
