"""What a trained generator is for: pictures, a window to explore it, a walk, a data set."""
