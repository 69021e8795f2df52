from __future__ import annotations

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Makes Plumbline's Celery app the default one in every process and thread that loads Django."""

    name = "config"

    def ready(self) -> None:
        from config.celery import app

        app.set_default()
