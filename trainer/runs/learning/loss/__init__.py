"""The loss: symmetric cross-modal InfoNCE, with a weight on negatives from the same movie.

For clip i with video v_i and audio a_i, and s_ij = scale * <v_i, a_j>,

    L_i = -log( e^s_ii / ( e^s_ii  +  w * sum over same movie e^s_ij  +  sum over others e^s_ij ) )

in both directions, averaged. The weight w is applied by adding log(w) to those logits, so that one
cross-entropy covers all cases; w = 1 leaves the emphasis to the batch policy, which decides how
many such negatives meet. With `within_mass`, w is adjusted after every step so that within-movie
negatives get that share of the softmax for any m and k (`mass.py`). Guards remove likely false
negatives, neighbors in time, clips of the same shot or pairs that are too similar, from the sum.

Other losses of the same pairs, `objective`, are in `objectives.py`. The baselines that all of this
argues against take other clips of the movie as positives: with W all others of i's movie
(`positives = "movie"`), the nearest in time (`near`) or the farthest (`far`),

    L_i = mean over j in W of -log( e^s_ij / ( e^s_ij  +  sum over other movies e^s_ij ) )

With several ranks every clip is compared with the clips of all ranks: embeddings are gathered
*with* gradient, each rank computes the rows of its own clips, and the mean over ranks (which is
what DDP computes of gradients) equals the loss of one process with all clips, up to rounding.

Shape suffixes: B this rank's clips, N clips of all ranks, Q clips of the memory queue, M = N + Q
columns, D embedding size.
"""

from __future__ import annotations

from trainer.runs.learning.loss.criterion import Criterion, LossOutput, contrastive_loss
from trainer.runs.learning.loss.diagnostics import Diagnostics
from trainer.runs.learning.loss.pairs import ClipOrigins, Pairs

__all__ = [
    "ClipOrigins",
    "Criterion",
    "Diagnostics",
    "LossOutput",
    "Pairs",
    "contrastive_loss",
]
