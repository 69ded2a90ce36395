"""The head of `train --help`: the few settings that matter first, with their values now."""

from __future__ import annotations

from trainer.config import TrainConfig

#: (setting, what it decides).
FIRST = (
    ("steps", "optimizer steps of the whole run; may be raised later"),
    ("policy.movies_per_batch", "m: movies in a batch"),
    ("policy.clips_per_movie", "k: clips of each; (k - 1) / (m k - 1) of the negatives are"),
    ("policy.heldout_fraction", "share of the movies that are never trained on"),
    ("loss.within_mass", "softmax share of within-movie negatives; 0: constant weight"),
    ("optimizer.lr", "peak learning rate"),
    ("model.video", "video tower"),
    ("model.audio", "audio tower"),
    ("eval_every", "steps between evaluations; 0 for only the last step"),
    ("init_from", "weights to start from: file, exported folder or run"),
)

USAGE = """\
usage: {prog} train --data URI --run DIR [settings]

Train a model from shards; in the folder of an unfinished run, resume it.

  --data URI           dataset; of several (--data A B), --data-weights 2 1 sets the shares
  --run DIR            run folder, also s3://, gs:// or az://; run again to resume
  --config NAME        recipe: auto, {recipes},
                       or a function of your own: module:function, file.py:function
  --settings FILE      TOML file with settings that replace the recipe's
  --from RUN           start from the settings of another run
  --set NAME=VALUE     replace a single setting, such as optimizer.lr=3e-4; may be repeated

The settings that matter first, with their values now:

"""


def first_settings(config: TrainConfig, prog: str, recipes: list[str]) -> str:
    """The text for the terminal."""
    rows = []
    for name, text in FIRST:
        value: object = config
        for part in name.split("."):
            value = getattr(value, part)
        rows.append((f"--{name.replace('_', '-')}", str(value) or "none", text))
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"  {flag:{wide[0]}}  {value:>{wide[1]}}  {text}" for flag, value, text in rows]
    lines.insert(3, f"{'':{wide[0] + wide[1] + 6}}within-movie: rho {config.policy.rho:.3f} now")
    usage = USAGE.format(prog=prog, recipes=", ".join(recipes))
    return f"{usage}{chr(10).join(lines)}\n\nAll settings, by group:\n\n"
