"""What the results of a study's runs say: intervals, effects, claims, and the verdict."""
