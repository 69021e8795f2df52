"""Pure checks of one answer's text, one file each: `check(answer)` says why it fails, or None."""
