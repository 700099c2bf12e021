"""What every room may use: files, progress, dependencies, shipped configs."""
