"""The administration: people, queues and members to change; what was said and what happened to read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from . import queues
from .models import Event, Item, Judgment, Membership, Policy, Prompt, Queue, User
from .views.access import person

# What `queues.change` takes; `kind` and slug are fixed, `status` exists from the first save on.
CHANGEABLE = (
    "title", "guidelines", "rubric", "overlap", "lease_seconds", "gold_rate", "selection", "control_rate",
)  # fmt: skip

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
    can_delete = False
    fields = ("user", "role", "kind")
    autocomplete_fields = ("user",)


@admin.register(Queue)
class QueueAdmin(ModelAdmin):
    """Queues change by their verbs here too, so that versions, seats and events follow."""

    list_display = ("title", "slug", "kind", "purpose", "status", "overlap")
    list_filter = ("status", "purpose", "kind")
    search_fields = ("slug", "title")
    fields = ("slug", "kind", *CHANGEABLE, "status", "guidelines_version")
    inlines = (MemberInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Queue | None = None) -> tuple[str, ...]:
        return ("guidelines_version", *(("slug", "kind") if obj else ("status",)))

    def has_delete_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Queue, form: ModelForm, change: bool) -> None:
        said = form.cleaned_data
        if change:
            stored = Queue.objects.get(pk=obj.pk)
            queues.change(queue=stored, actor=person(request), **{f: said[f] for f in (*CHANGEABLE, "status")})
        else:
            made, _ = queues.create(actor=person(request), **{f: said[f] for f in ("slug", "kind", *CHANGEABLE)})
            obj.pk = made.pk

    def save_formset(self, request: HttpRequest, form: ModelForm, formset: BaseInlineFormSet, change: bool) -> None:
        for member in formset.save(commit=False):
            queues.admit(
                queue=form.instance, user=member.user, role=member.role, kind=member.kind, actor=person(request)
            )


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
