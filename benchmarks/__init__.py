"""What the figures in the documents come from: `python3 -m benchmarks.NAME`."""

from lib.program.flags import OneLineParser, import_quietly

import_quietly(OneLineParser("").exit)  # TensorFlow
