"""Batches in a training loop of your own: python examples/training_loop.py DATASET

Also under torchrun, where each rank gets its part of every global batch.
"""

import itertools
import sys

import torch

import reelshards as rs

dataset = rs.open_dataset(sys.argv[1])
model = torch.nn.Linear(dataset.recipe.n_mels, 3)
optimizer = torch.optim.AdamW(model.parameters())
with rs.stream(dataset, movies_per_batch=2, clips_per_movie=4, seed=0) as stream:
    for batch in itertools.islice(stream, 2 * stream.num_steps_per_epoch):
        colors = batch.frames.float().mean(dim=(1, 2, 3)) / 255
        loss = torch.nn.functional.mse_loss(model(batch.logmel.float().mean(dim=2)), colors)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(batch.epoch, batch.step, batch.movie.unique().tolist(), round(loss.item(), 4))
