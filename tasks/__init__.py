"""What is learned, from which data."""
