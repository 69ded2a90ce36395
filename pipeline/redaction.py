"""See `shards_spec.redaction`."""

from shards_spec.redaction import redacted as redacted
