"""What the figures in the documents come from: `python3 -m benchmarks.NAME`."""
