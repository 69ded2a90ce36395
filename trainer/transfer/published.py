"""Published figures of other methods, for the table of a result.

Each has its source: `R` is the method's own repository, read there; `P` its abstract or a page that
collects results. No figure is from memory; pretraining sets and backbones in brackets are. Figures
of other protocols are not comparable to two points: fine-tuned and frozen differ by 3 to 7 points
for one and the same model, and others could not reproduce some of them within 2 points.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Published:
    """A figure in percent: accuracy, or mean average precision for AudioSet."""

    task: str
    method: str
    backbone: str
    data: str
    """What it was pretrained on."""
    protocol: str
    modality: str
    percent: float
    source: str


def published(task: str) -> list[Published]:
    """The figures of a task, by modality, in the order of their size."""
    return sorted((f for f in _FIGURES if f.task == task), key=lambda f: (f.modality, f.percent))


def _video(
    method: str,
    data: str,
    ucf: float,
    hmdb: float,
    source: str,
    *,
    backbone: str = "R(2+1)D-18",
    protocol: str = "fine-tuned",
) -> list[Published]:
    return [
        Published(
            task=task, method=method, backbone=backbone, data=data, protocol=protocol,
            modality="video", percent=percent, source=source,
        )
        for task, percent in (("ucf101", ucf), ("hmdb51", hmdb))
    ]  # fmt: skip


def _one(
    task: str,
    modality: str,
    percent: float,
    method: str,
    source: str,
    *,
    backbone: str,
    data: str,
    protocol: str = "fine-tuned",
) -> Published:
    return Published(
        task=task, method=method, backbone=backbone, data=data, protocol=protocol,
        modality=modality, percent=percent, source=source,
    )  # fmt: skip


_FIGURES = (
    *_video("AVID", "Kinetics-400", 86.9, 59.9, "R: AVID-CMA"),
    *_video("AVID", "AudioSet", 91.0, 64.1, "R: AVID-CMA"),
    *_video("AVID-CMA", "Kinetics-400", 87.5, 60.8, "R: AVID-CMA"),
    *_video("AVID-CMA", "AudioSet", 91.5, 64.7, "R: AVID-CMA"),
    *_video("XDC", "AudioSet", 93.0, 63.7, "R: XDC"),
    *_video("XDC", "IG-Random 65M (uncurated)", 94.6, 66.5, "R: XDC"),
    *_video("XDC", "IG-Kinetics 65M", 95.5, 68.9, "R: XDC"),
    *_video("GDT", "Kinetics-400", 90.9, 62.3, "R: GDT"),
    *_video("GDT", "HowTo100M", 94.1, 67.4, "R: GDT"),
    *_video("GDT", "IG65M", 95.2, 72.8, "R: GDT"),
    *_video("STiCA", "Kinetics-400", 93.1, 67.0, "R: STiCA", protocol="fine-tuned, 60 frames"),
    *_video("SeLaVi", "VGGSound", 86.1, 55.1, "R: SeLaVi"),
    *_video("CrissCross", "Kinetics-Sounds", 88.3, 60.5, "R: CrissCross"),
    *_video("CrissCross", "Kinetics-400", 91.5, 64.7, "R: CrissCross"),
    *_video("CrissCross", "AudioSet", 92.4, 67.4, "R: CrissCross"),
    *_video(
        *("BraVe V/A", "[AudioSet]", 93.0, 69.4, "R: BraVe"), backbone="TSM-50", protocol="frozen"
    ),
    *_video(
        *("BraVe V/FA", "[AudioSet]", 93.1, 70.5, "P: BraVe"),
        backbone="TSM-50x2",
        protocol="frozen",
    ),
    *_video("BraVe V/FA", "[AudioSet]", 95.7, 77.8, "P: BraVe", backbone="TSM-50x2"),
    *_video("MMV", "[AudioSet + HowTo100M]", 95.2, 75.0, "P: MMV", backbone="[TSM-50x2]"),
    *_video("XKD", "Kinetics-400", 94.1, 69.0, "P: XKD", backbone="ViT-B/16, 112 px"),
    *(
        _one(
            *("ucf101", "video", percent, "MMV", "R: MMV"),
            backbone=backbone,
            data="AudioSet + HowTo100M",
            protocol="frozen",
        )
        for backbone, percent in (("S3D-G", 89.6), ("TSM-50", 91.5), ("TSM-50x2", 91.8))
    ),
    *(
        _one(
            *("esc50", "audio", percent, "CrissCross", "R: CrissCross"),
            backbone="ResNet-18",
            data=data,
            protocol="as in its README",
        )
        for data, percent in (
            ("Kinetics-Sounds", 82.8),
            ("Kinetics-400", 86.8),
            ("AudioSet", 90.5),
        )
    ),
    _one(
        *("esc50", "audio", 88.9, "MMV", "R: MMV"),
        backbone="TSM-50x2",
        data="AudioSet + HowTo100M",
        protocol="frozen",
    ),
    _one(
        *("esc50", "audio", 91.1, "BraVe V/FA", "P: BraVe"),
        backbone="TSM-50x2",
        data="[AudioSet]",
        protocol="frozen",
    ),
    _one(
        *("esc50", "audio", 96.5, "XKD", "P: XKD"),
        backbone="ViT-B/16",
        data="not said in the excerpt",
    ),
    _one(*("esc50", "audio", 94.4, "MAViL", "P: MAViL"), backbone="ViT-B", data="AudioSet"),
    _one(
        *("esc50", "audio", 66.9, "ImageBind-huge", "R: ImageBind"),
        backbone="ViT-H",
        data="several",
        protocol="zero-shot",
    ),
    *(
        _one(
            *(task, modality, percent, "CAV-MAE scale+", "R: CAV-MAE"),
            backbone="ViT-B x 2",
            data="AudioSet",
        )
        for task, modality, percent in (
            ("audioset", "both", 42.0),
            ("audioset", "audio", 37.7),
            ("vggsound", "both", 65.5),
            ("vggsound", "audio", 59.8),
        )
    ),
    _one(*("vggsound", "both", 67.1, "MAViL", "P: MAViL"), backbone="ViT-B", data="AudioSet"),
)
