"""The administration: people, queues and members to change; what was said and what happened to read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from .models import Event, Item, Judgment, Membership, Policy, Prompt, Queue, User

admin.site.unregister(Group)  # roles are a field; groups would be a second truth


class ReadOnly(ModelAdmin):
    """For rows that only verbs may write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PersonAdmin(UserAdmin, ModelAdmin):
    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ("username", "role", "is_active", "last_login")
    list_filter = ("role", "is_active")
    fieldsets = (
        (None, {"fields": ("username", "password", "role", "is_active")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Administration", {"fields": ("is_staff", "is_superuser")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "role", "password1", "password2")}),)
    filter_horizontal = ()


class MemberInline(TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user",)


@admin.register(Queue)
class QueueAdmin(ModelAdmin):
    list_display = ("title", "slug", "kind", "purpose", "status", "overlap")
    list_filter = ("status", "purpose", "kind")
    search_fields = ("slug", "title")
    readonly_fields = ("status", "guidelines_version", "purpose", "overlap")  # these move by verbs
    inlines = (MemberInline,)


@admin.register(Prompt)
class PromptAdmin(ReadOnly):
    list_display = ("key", "split", "last_turn", "quarantined", "gate_uses")
    list_filter = ("split", "quarantined")
    search_fields = ("key", "external_id", "group")


@admin.register(Policy)
class PolicyAdmin(ReadOnly):
    list_display = ("slug", "kind", "base", "parent", "created_at")
    list_filter = ("kind",)
    search_fields = ("slug",)


@admin.register(Item)
class ItemAdmin(ReadOnly):
    list_display = ("key", "queue", "arm", "status", "settled_at")
    list_filter = ("status", "arm", "queue")
    list_select_related = ("queue",)


@admin.register(Judgment)
class JudgmentAdmin(ReadOnly):
    list_display = ("id", "queue", "author", "author_kind", "answer", "created_at", "withdrawn_at")
    list_filter = ("author_kind", "queue")
    list_select_related = ("queue", "author")


@admin.register(Event)
class EventAdmin(ReadOnly):
    list_display = ("at", "verb", "object_type", "object_id", "actor")
    list_filter = ("verb", "object_type")
    search_fields = ("object_id",)
    list_select_related = ("actor",)
