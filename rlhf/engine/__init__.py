"""The only place that loads torch, transformers, peft and trl. One door: `python -m rlhf.engine RUN_DIR`."""
