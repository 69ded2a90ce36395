"""What a plan will do to training, known before it starts."""
