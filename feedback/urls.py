"""The annotator's addresses."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, path

from .views import pages, reacting, signing, working

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
]
