"""What the GAN scripts share: networks, data, the run, the command line."""
