"""What a run takes where its parameters don't say otherwise; the flags' defaults too."""

DEFAULTS = {
    "train_steps": 40000,
    "output_dir": ".",
    "data": None,
    "precision": "float32",
    "save_interval": 500,
    "log_interval": 50,
    "evaluate_interval": None,
    "against_mnist": False,
    "plot_model": None,
    "distribute": None,
    "summary": False,
    "resume": False,
    "overwrite": False,
    "script": None,
    "command": None,
}
# What a resumed run may take otherwise than it began. All other parameters but those of where and
# how this process runs are the algorithm's.
CHANGEABLE = (
    "train_steps",
    "data",
    "save_interval",
    "log_interval",
    "evaluate_interval",
    "against_mnist",
)
PROCESS = {"model_name", *DEFAULTS} - {*CHANGEABLE, "precision"}
