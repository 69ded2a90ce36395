"""What container formats hold that ffmpeg's lists of streams and packets do not show."""
