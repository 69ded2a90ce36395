"""What settings of the loss do."""
