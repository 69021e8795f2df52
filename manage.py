#!/usr/bin/env python
"""Django's command line; a bad setting ends it with one line."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        _ = settings.INSTALLED_APPS  # loads the settings
    except ImproperlyConfigured as error:
        sys.exit(f"plumbline: {error}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
