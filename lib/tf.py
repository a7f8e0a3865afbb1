"""TensorFlow and its Keras, imported without the greeting and set up to compute right.

All of lib takes them from here; after any of its modules, `import tensorflow` is as quiet.
"""

import logging
import os

# Keras 3 on TensorFlow, whatever other projects here use
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_USE_LEGACY_KERAS"] = "0"

# TensorFlow greets every user with a screenful about drivers and processor features, from
# native code that heeds no log level yet. So it is imported with standard error turned away;
# a failing import still raises. Set TF_CPP_MIN_LOG_LEVEL=0 to see everything.
if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
    logging.getLogger("absl").setLevel("ERROR")  # Keras: h5 is a legacy format
    logging.getLogger("tensorflow").setLevel("ERROR")  # a predict for each model: retracing
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        import tensorflow as tf

        tf.config.list_physical_devices()  # says at once what the drivers lack
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)
else:
    import tensorflow as tf

keras, layers = tf.keras, tf.keras.layers

# whatever ~/.keras/keras.json says for other projects
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")

# With several updates in one graph, TensorFlow 2.21's dependency optimizer drops control
# edges that order reads and updates of a variable: in about every second WGAN run some
# gradient was computed from a weight already updated. Without it, equal seeds give equal
# bits.
tf.config.optimizer.set_experimental_options({"dependency_optimization": False})
