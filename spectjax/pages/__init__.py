"""What was found in a study as one HTML file that needs no network."""
