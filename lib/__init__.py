"""What the GAN scripts share, whose losses and steps are in the scripts themselves.

gan.py has the networks and the chapter's trainer, keras2.py what Keras 3 computes otherwise, data.py
what a step draws (noise too), images.py how images are read, generator.py a trained generator and
its file, pictures.py grids of images; training/ a run, sampling/ what a trained generator is for,
scoring/ how good it is, program/ a script's flags and its ends, plumbing/ files, errors and
TensorFlow.
"""
