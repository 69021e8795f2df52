"""The suite shares its cores with what it tests: expectations wait longer than a person would."""

from __future__ import annotations

from playwright.sync_api import expect

expect.set_options(timeout=20_000)
