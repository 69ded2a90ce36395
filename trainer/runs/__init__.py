"""What makes up a training run: learning, records and checkpoints, its launch, its evaluation."""
