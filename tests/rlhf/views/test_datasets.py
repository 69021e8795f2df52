"""The dataset's page and its files."""

from __future__ import annotations

import io
import json

import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.urls import reverse

from feedback.models import Judgment
from rlhf import lineage
from rlhf.models import RewardDataset
from rlhf.views.datasets import funnel
from tests.factories import make_queue, make_user
from tests.factories_rlhf import make_built_dataset, make_dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_user(role="engineer"))
    return client


def test_the_page_shows_counts_digest_and_first_rows(client: Client) -> None:
    dataset = make_built_dataset()
    page = client.get(reverse("rlhf:dataset", args=[dataset.pk])).content.decode()
    assert dataset.digest in page
    assert "A <strong>good</strong> answer" in page
    assert page.count('class="pair-row"') == 5


def test_a_file_comes_as_it_is(client: Client) -> None:
    dataset = make_built_dataset()
    answer = client.get(reverse("rlhf:dataset-file", args=[dataset.pk, "train.parquet"]))
    assert pq.read_table(io.BytesIO(b"".join(answer.streaming_content))).num_rows == 7
    manifest = client.get(reverse("rlhf:dataset-file", args=[dataset.pk, "manifest.json"]))
    assert json.loads(b"".join(manifest.streaming_content))["digest"] == dataset.digest


@pytest.mark.parametrize("name", ["artifact.json", "..", "%2e%2e", "train.csv"])
def test_no_other_file_is_handed_out(client: Client, name: str) -> None:
    dataset = make_built_dataset()
    assert client.get(reverse("rlhf:dataset", args=[dataset.pk]) + f"files/{name}").status_code == 404


def test_a_dataset_whose_files_are_elsewhere_still_has_a_page(client: Client) -> None:
    dataset = make_dataset()
    page = client.get(reverse("rlhf:dataset", args=[dataset.pk]))
    assert "not on this machine" in page.content.decode()


def test_a_failed_dataset_says_why(client: Client) -> None:
    dataset = make_dataset(status="failed", digest="", error="There is no decisive train pair.", counts={})
    assert "no decisive train pair" in client.get(reverse("rlhf:dataset", args=[dataset.pk])).content.decode()


def test_simulated_labels_are_marked(client: Client) -> None:
    human, simulated = make_built_dataset("one"), make_built_dataset("two", kind="simulated")
    pages = [client.get(reverse("rlhf:dataset", args=[d.pk])).content.decode() for d in (human, simulated)]
    assert ["simulated labels" in page for page in pages] == [False, True]


def test_the_funnel_starts_with_judgments_and_ends_with_what_was_left_out() -> None:
    rows = funnel({"out: gate prompt": 1, "pairs": 4, "judgments": 9, "withdrawn": 2})
    assert [(r["name"], r["out"]) for r in rows] == [
        ("judgments", False), ("withdrawn", False), ("pairs", False), ("gate prompt", True),
    ]  # fmt: skip


def test_a_dataset_is_ordered_by_its_form_and_a_bad_field_is_named(client: Client) -> None:
    make_queue("sky")
    page = client.get("/datasets/new/")
    assert page.status_code == 200 and b"aggregation" in page.content
    bad = client.post("/datasets/new/", {"name": "x", "queues": ["sky"], "min_votes": "none"})
    assert bad.status_code == 400 and b"recipe.min_votes" in bad.content
    made = client.post("/datasets/new/", {"name": "x", "queues": ["sky"], "aggregation": "majority", "drop": ["pii"]})
    assert made.status_code == 302
    assert RewardDataset.objects.get().recipe == {"aggregation": "majority", "drop": ["pii"]}


def test_rows_are_searched_and_the_lineage_is_drawn(client) -> None:
    dataset = make_built_dataset()
    found = client.get(f"/datasets/{dataset.pk}/rows/?q=poor&order=disputed")
    assert found.status_code == 200 and b"7 rows" in found.content
    assert b"0 rows" in client.get(f"/datasets/{dataset.pk}/rows/?q=nowhere").content
    drawn = client.get(f"/lineage/dataset/{dataset.pk}/")
    assert drawn.status_code == 200 and b"<svg" in drawn.content and b"2 more" in drawn.content
    assert client.get(f"/lineage/dataset/{dataset.pk}1/").status_code == 404


def test_a_dataset_with_withdrawn_judgments_offers_to_be_built_without_them(client) -> None:
    dataset = make_built_dataset()
    lineage.withdraw(judgments=Judgment.objects.filter(pk=Judgment.objects.values("pk")[:1]), reason="asked to")
    page = client.get(f"/datasets/{dataset.pk}/")
    assert b"Rebuild without them" in page.content
    assert client.post(f"/datasets/{dataset.pk}/again/").status_code == 302
    assert RewardDataset.objects.count() == 2
