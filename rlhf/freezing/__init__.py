"""Freezing judgments into a dataset, a step a file: recipe, pairs, rules, texts, rows, writing."""
