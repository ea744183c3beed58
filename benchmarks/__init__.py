"""What must be measured, one command each: `python -m benchmarks.<name> --json F`. Medians, with the floor measured in the same run."""
