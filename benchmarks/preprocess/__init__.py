"""What a whole preprocessing run costs against decoding: `python -m benchmarks.preprocess`."""
