"""What is known of audio tracks: their language, their purpose, and which ones belong together."""
