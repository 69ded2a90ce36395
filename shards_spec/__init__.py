"""The shard format: schemas, sample codec, storage door, writer, reader, validator."""
