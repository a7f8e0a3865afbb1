"""How good a generator of MNIST digits is, in numbers."""
