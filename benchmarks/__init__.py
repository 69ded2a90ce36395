"""Commands that make the project's claims about speed and exactness again, with their results."""
