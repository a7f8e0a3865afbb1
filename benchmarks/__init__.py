"""What the figures in the documents come from: `python3 -m benchmarks.NAME`."""

import signal
import sys

# Ctrl-C during the imports ends a benchmark without a word, as it ends a script. `-m` is what
# Python itself calls a program that it still looks for.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
