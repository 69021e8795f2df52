"""The annotator's addresses."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from .views import (
    console,
    console_items,
    console_people,
    console_quality,
    pages,
    reacting,
    signing,
    standing,
    working,
)

app_name = "feedback"
urlpatterns: list[URLPattern | URLResolver] = [
    path("", pages.home, name="home"),
    path("accounts/login/", signing.SignIn.as_view(), name="sign-in"),
    path("accounts/logout/", signing.sign_out, name="sign-out"),
    path("queues/", pages.queues, name="queues"),
    path("queues/<slug:slug>/", working.work, name="work"),
    path("queues/<slug:slug>/judge/<uuid:pk>/", working.judge, name="judge"),
    path("queues/<slug:slug>/skip/", working.skip, name="skip"),
    path("queues/<slug:slug>/undo/", working.undo, name="undo"),
    path("queues/<slug:slug>/heartbeat/", working.heartbeat, name="heartbeat"),
    path("history/", pages.history, name="history"),
    path("reactions/<str:token>/", reacting.reaction, name="reaction"),
    path("design/", pages.design, name="design"),
    path("queues/<slug:slug>/standing/", standing.standing, name="standing"),
    path("queues/<slug:slug>/calibration/<int:pk>/", console_quality.spread, name="spread"),
    path("reviewed/", standing.reviewed, name="reviewed"),
    path("join/<str:word>/", standing.join, name="join"),
    path("console/", console.index, name="console"),
    path("console/new/", console.new, name="console-new"),
    path("console/audit/", console.audit, name="console-audit"),
    path("console/time.csv", console_people.costs_csv, name="console-csv"),
    path("console/people/", console_people.everybody, name="console-everybody"),
    path("console/people/invite/", console_people.invite, name="console-invite"),
    path("console/people/<str:username>/", console_people.profile, name="console-profile"),
    path("console/people/<str:username>/change/", console_people.change, name="console-change"),
    path("console/queues/<slug:slug>/", console.overview, name="console-queue"),
    path("console/queues/<slug:slug>/edit/", console.edit, name="console-edit"),
    path("console/queues/<slug:slug>/state/", console.move, name="console-move"),
    path("console/queues/<slug:slug>/clone/", console.clone, name="console-clone"),
    path("console/queues/<slug:slug>/preview/", console.preview, name="console-preview"),
    path("console/queues/<slug:slug>/guidelines/", console.guidelines, name="console-guidelines"),
    path("console/queues/<slug:slug>/items/", console_items.index, name="console-items"),
    path("console/queues/<slug:slug>/items/act/", console_items.act, name="console-act"),
    path("console/queues/<slug:slug>/items/<uuid:key>/", console_items.one, name="console-item"),
    path("console/queues/<slug:slug>/import/", console_items.files, name="console-import"),
    path("console/queues/<slug:slug>/import/<int:pk>/", console_items.one_file, name="console-import-file"),
    path("console/queues/<slug:slug>/quality/", console_quality.index, name="console-quality"),
    path("console/queues/<slug:slug>/people/", console_people.index, name="console-people"),
    path("console/queues/<slug:slug>/people/act/", console_people.act, name="console-people-act"),
    path("console/queues/<slug:slug>/review/", console_quality.desk, name="console-review"),
    path("console/queues/<slug:slug>/flags/", console_quality.flags, name="console-flags"),
    path("console/queues/<slug:slug>/calibration/", console_quality.calibration, name="console-calibration"),
    path("console/queues/<slug:slug>/money/", console_people.costs, name="console-money"),
]
