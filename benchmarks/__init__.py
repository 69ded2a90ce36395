"""Commands that reproduce the project's claims about speed and accuracy, with their results."""
