"""Web servers: requests whose redirects and slowness are bounded."""
