"""NeMo Curator's video stages that need no GPU, as its beginner's guide chains them.

    python -m benchmarks.peers.nemo_curator FOLDER_OF_MOVIES OUT CPUS

Clips of a fixed length are encoded one by one with libvpx-vp9, the encoder that version 1.4 names
for machines without NVENC whose FFmpeg lacks OpenH264; their frames are extracted at 5 per second
and 224 x 128 pixels, and the clips written. Curator stores no frames. Every stage reserves a CPU,
so Ray is given three more than there are.
"""

from __future__ import annotations

import sys

import ray
from nemo_curator.backends.ray_data import RayDataExecutor
from nemo_curator.pipeline import Pipeline
from nemo_curator.stages.video.clipping.clip_extraction_stages import (
    ClipTranscodingStage,
    FixedStrideExtractorStage,
)
from nemo_curator.stages.video.clipping.clip_frame_extraction import ClipFrameExtractionStage
from nemo_curator.stages.video.io.clip_writer import ClipWriterStage
from nemo_curator.stages.video.io.video_reader import VideoReader

from benchmarks.peers import clip_output as output


def main() -> None:
    """Make the clips of a folder's movies."""
    folder, out, cpus = sys.argv[1:4]
    ray.init(num_cpus=3 + int(cpus), include_dashboard=False, logging_level="warning")
    pipeline = Pipeline(name="clips")
    pipeline.add_stage(VideoReader(input_video_path=folder))
    pipeline.add_stage(
        FixedStrideExtractorStage(
            clip_len_s=output.CLIP_SECONDS,
            clip_stride_s=output.CLIP_SECONDS,
            min_clip_length_s=output.CLIP_SECONDS - 0.01,
            limit_clips=0,
        )
    )
    pipeline.add_stage(ClipTranscodingStage(num_cpus_per_worker=1, encoder="libvpx-vp9"))
    pipeline.add_stage(
        ClipFrameExtractionStage(
            num_cpus=1, target_fps=[output.FPS], target_res=(output.HEIGHT, output.WIDTH)
        )
    )
    pipeline.add_stage(
        ClipWriterStage(
            output_path=out,
            input_path=folder,
            upload_clips=True,
            dry_run=False,
            generate_embeddings=False,
            generate_previews=False,
            generate_captions=False,
        )
    )
    pipeline.run(RayDataExecutor())


if __name__ == "__main__":
    main()
