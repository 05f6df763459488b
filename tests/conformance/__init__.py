"""What we write, read by software that is not ours."""
