"""What only run folders in buckets need."""
