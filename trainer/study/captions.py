"""Style and captions of the result page."""

from __future__ import annotations

STYLE = """
:root { --ink: #1d2126; --soft: #5b626b; --line: #dfe3e8; --paper: #fff; --tint: #f4f6f8;
        --good: #2e7d4f; --bad: #a63a3a; --blue: #2f6db3; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--tint); color: var(--ink);
       font: 16px/1.55 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 40px 64px; background: var(--paper); }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 12px; }
h2 { font-size: 21px; margin: 44px 0 8px; padding-top: 18px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 16px 0 2px; }
p { margin: 8px 0; max-width: 78ch; } ul { margin: 8px 0; padding-left: 22px; max-width: 82ch; }
li { margin: 5px 0; }
.verdict { border-left: 5px solid var(--blue); background: var(--tint); padding: 14px 20px;
           margin: 20px 0; font-size: 17px; }
.soft, figcaption { color: var(--soft); font-size: 14px; }
figure { margin: 18px 0; } figure > img { width: 100%; height: auto; }
figure.narrow > img { width: 62%; }
table { border-collapse: collapse; font-size: 12.5px; width: 100%; }
th, td { text-align: left; padding: 5px 8px; border-bottom: 1px solid var(--line);
         vertical-align: top; }
th { font-weight: 600; background: var(--tint); } td span { color: var(--soft); }
.wide { overflow-x: auto; }
td.supported { color: var(--good); font-weight: 600; }
td.refuted { color: var(--bad); font-weight: 600; }
.example { display: grid; grid-template-columns: 190px repeat(4, 1fr); gap: 8px; margin: 10px 0;
           align-items: start; }
.example.head { font-weight: 600; font-size: 14px; margin-top: 20px; }
.clip { font-size: 12.5px; line-height: 1.3; }
.clip img { width: 100%; display: block; border: 3px solid var(--line); border-radius: 3px; }
.own img { border-color: var(--good); } .alike img { border-color: #8fc4a5; }
.wrong img { border-color: #d9a1a1; }
.batches { display: flex; gap: 40px; flex-wrap: wrap; margin: 16px 0; }
.batch { font-size: 14px; } .batch svg { display: block; margin-bottom: 6px; }
code { background: var(--tint); padding: 1px 4px; border-radius: 3px; font-size: 14px; }
"""

#: What a study is judged by, by the first key of `Verdict.judged_by`.
MEANING = {
    "seen_video": (
        "<b>what is seen and heard</b> (probes for labels that overlap: mean average precision, "
        "mAP, over the labels)"
    ),
    "class_video": "<b>what is shown</b> (class probe: meaning)",
    "within_v2a": (
        "<b>what happens at a moment</b> (within-movie R@1: how often the audio of a clip is found "
        "from its video, among all clips of the movie, and the reverse)"
    ),
}

CURVE = (
    "Points are means over seeds with 95 % intervals, small dots are single runs. Dotted lines are "
    "chance, dashed ones the network before training. Hollow squares: the same batches without the "
    "negatives from the same movie. All on held-out movies except the loss."
)
LOSS = (
    "One point per run. If look and score suffice to recognize negatives, the task is easy and the "
    "loss low; that says nothing about meaning."
)
TRAINING = (
    "One line per run. The softmax mass is the share of the loss's attention on clips of the same "
    "movie."
)
SIMILARITIES = (
    "Similarity of video and audio of two clips, for pairs of each kind. A model of meaning "
    "separates classes, whatever the movie; a model of movies separates movies, whatever is shown. "
    "Dotted: means."
)
EFFECTS = (
    "Each row is the effect of one change. Right of zero is better. Thick bars are 95 % intervals "
    "over seeds, paired; thin ones, over seeds and held-out movies."
)
