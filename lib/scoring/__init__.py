"""How good a generator is, in numbers.

A score is a formula in formulas.py, a key in `evaluation.score`, a column and its spread in table.py.
"""
