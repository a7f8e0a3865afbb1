"""What a run takes where its parameters don't say otherwise; the flags' defaults too."""

DEFAULTS = {
    "train_steps": 40000,
    "noise": "uniform",
    "image_range": [0.0, 1.0],
    "output_dir": ".",
    "data": None,
    "image_size": None,
    "grey": False,
    "precision": "float32",
    "save_interval": 500,
    "log_interval": 50,
    "evaluate_interval": None,
    "keep_interval": None,
    "plot_model": None,
    "distribute": None,
    "summary": False,
    "resume": False,
    "overwrite": False,
    "script": None,
    "command": None,
}
# A resumed run may change these parameters, and those of PROCESS: where and how a process runs.
# All others are the algorithm's: a run records them, and they are fixed.
CHANGEABLE = (
    "train_steps",
    "data",
    "image_size",
    "grey",
    "save_interval",
    "log_interval",
    "evaluate_interval",
    "keep_interval",
)
PROCESS = (
    "model_name",
    "output_dir",
    "plot_model",
    "distribute",
    "summary",
    "resume",
    "overwrite",
    "script",
    "command",
)
