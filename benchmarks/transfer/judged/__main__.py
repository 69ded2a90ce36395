"""Encoders of a study, read out on real pieces by networks of other people.

    apt-get download scratch=1.4.0.6~dfsg1-6.1 sonic-pi-samples=3.2.2~repack-8 \\
      tuxpaint-stamps-default=2022.06.04-1
    for package in *.deb; do dpkg -x $package media/; done
    mkdir movie; cp big_buck_bunny.mp4 movie/
    python -m benchmarks.transfer.judged media movie/big_buck_bunny.mp4 work \\
      "drawn movies=RUN/CORPUS" "Freedoom=RUN/freedoom" > benchmarks/results/transfer/judged.md

The judges are installed as `judges.INSTALL` says. What the movie becomes is kept in `work`; the
figures of each seed are written to `work/judged.json`, which `page` reads. The movie's folder must
hold it alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.support.machine import processor
from benchmarks.transfer.judged.agreement import Score, neighbor_score, tag_score
from benchmarks.transfer.judged.encoders import Encoder, encoders_of, recipe_of
from benchmarks.transfer.judged.judges import Listener, Viewer
from benchmarks.transfer.judged.material import Material, most_common, movie, pictures, sounds
from benchmarks.transfer.judged.page import ROWS, Row, Scores, page, to_json

#: Side of the square that the studies' encoders see, pixels.
CROP_PIXELS = 48

#: Tags that the page names for each material.
NUM_COMMON = 12


def scores_of(encoder: Encoder, material: Material) -> Iterator[tuple[Row, dict[str, Score]]]:
    """Both figures in all rows of a material."""
    for row in ROWS:
        if row.material != material.name:
            continue
        inputs, owner = material.inputs[row.modality], material.owner[row.modality]
        features = mean_by_owner(encoder.features(row.modality, inputs), owner, len(material))
        tags = tag_score(features, material.tags[row.asked], material.layout)
        neighbor = neighbor_score(features, material.logits[row.asked], material.layout)
        yield row, {"tags": tags, "neighbor": neighbor}


def mean_by_owner(windows_WF: torch.Tensor, owner_W: torch.Tensor, count: int) -> torch.Tensor:
    """(W, F) of windows -> (count, F) of the clips or files that they are of."""
    sums = torch.zeros(count, windows_WF.shape[1]).double()
    sums.index_add_(0, owner_W, windows_WF.double())
    return sums / torch.bincount(owner_W, minlength=count)[:, None]


def main(media: Path, film: Path, work: Path, studies: Sequence[str]) -> None:
    """Print the result file."""
    begin = time.monotonic()
    folders = dict(named.split("=", 1) for named in studies)
    recipe = recipe_of(Path(next(iter(folders.values()))))
    materials = [
        movie(film, work, recipe, CROP_PIXELS),
        sounds(media, recipe),
        pictures(media, recipe, CROP_PIXELS),
    ]
    found: dict[str, Scores] = {}
    for name, folder in folders.items():
        scores: Scores = defaultdict(lambda: defaultdict(dict))
        for encoder in encoders_of(Path(folder)):
            assert encoder.run.recipe.fingerprint == recipe.fingerprint
            for material in materials:
                for row, figures in scores_of(encoder, material):
                    for figure, score in figures.items():
                        scores[row, figure][encoder.arm][encoder.seed] = score
            print(f"{name}: {encoder.arm}, seed {encoder.seed}", file=sys.stderr)
        found[name] = scores
    most = {
        f"{asked} in {material.name}": list(most_common(tags, names, NUM_COMMON))
        for asked, names in (("seen", Viewer().names), ("heard", Listener().names))
        for material in materials
        if (tags := material.tags.get(asked)) is not None
    }
    about = {
        "made": f"{time.strftime('%Y-%m-%d')}, {processor()}, torch {torch.__version__}",
        "seconds": time.monotonic() - begin,
        "sizes": {material.name: len(material) for material in materials},
        "most": most,
    }
    values = to_json(found, about)
    (work / "judged.json").write_text(json.dumps(values) + "\n")
    print(page(values))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(*map(Path, sys.argv[1:4]), sys.argv[4:])
