"""What a run takes where its parameters don't say otherwise; the flags' defaults too."""

# Of the algorithm, as the flags that a script adds. Recorded; a resumed run can't change them.
FIXED = {"noise": "uniform", "image_range": [0.0, 1.0], "precision": "float32"}
# Recorded too; a resumed run may change them.
CHANGEABLE = {
    "train_steps": 40000,
    "data": None,
    "image_size": None,
    "grey": False,
    "save_interval": 500,
    "log_interval": 50,
    "evaluate_interval": None,
    "keep_interval": None,
}
# Where and how a process runs. Not recorded.
PROCESS = {
    "model_name": None,
    "output_dir": ".",
    "plot_model": None,
    "distribute": None,
    "summary": False,
    "resume": False,
    "overwrite": False,
    "script": None,
    "command": None,
}
DEFAULTS = FIXED | CHANGEABLE | PROCESS
