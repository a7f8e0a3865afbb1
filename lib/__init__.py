"""What the GAN scripts share, whose losses and steps are in the scripts themselves.

gan.py has the networks and DCGAN's step, keras2.py what Keras 3 computes otherwise, data.py what a
step draws, pictures.py grids of images, generator_file.py the file of a generator; training/ a run,
sampling/ what a trained generator is for, scoring/ how good it is, program/ a script's flags and
its ends, plumbing/ files, errors and TensorFlow.
"""
