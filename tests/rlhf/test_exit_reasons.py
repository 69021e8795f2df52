from __future__ import annotations

import pytest

from rlhf.exit_reasons import explain, last_error

TRACE = "step 3\nTraceback (most recent call last):\n  File x\n{}\n"


@pytest.mark.parametrize(
    ("code", "log", "kind", "says"),
    [
        (1, TRACE.format("MemoryError"), "out_of_memory", "batch_size"),
        (1, TRACE.format("torch.OutOfMemoryError: CUDA out of memory. Tried 2 GiB"), "out_of_memory", "batch_size"),
        (1, "RuntimeError: [enforce fail at alloc] DefaultCPUAllocator: can't allocate memory", "out_of_memory", ""),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", "out_of_memory", ""),
        (1, TRACE.format("OSError: [Errno 28] No space left on device: 'x'"), "disk_full", "free some space"),
        (1, TRACE.format("ModuleNotFoundError: No module named 'deepspeed'"), "missing_module", "deepspeed"),
        (1, TRACE.format("SafetensorError: Error while deserializing header"), "damaged_weights", "header"),
        (1, "size mismatch for base_model.q_proj.lora_A: copying a param", "wrong_base", "does not fit"),
    ],
)
def test_what_another_try_cannot_mend_is_named_and_not_tried_again(code: int, log: str, kind: str, says: str) -> None:
    reason = explain(code, log)
    assert (reason.code, reason.again) == (kind, False)
    assert says in reason.message


@pytest.mark.parametrize(
    ("code", "kills", "kind", "says"),
    [
        (-9, 0, "killed", "SIGKILL"),
        (137, 0, "killed", "SIGKILL"),
        (-9, 1, "out_of_memory", "want of memory"),
        (-11, 0, "crash", "SIGSEGV"),
        (3, 0, "crash", "exit code 3"),
    ],
)
def test_what_another_try_may_mend_is_tried_again(code: int, kills: int, kind: str, says: str) -> None:
    reason = explain(code, "all was well", memory_kills=kills)
    assert (reason.code, reason.again) == (kind, True)
    assert says in reason.message


def test_a_crash_is_told_in_the_words_of_its_last_traceback() -> None:
    log = TRACE.format("ValueError: first") + TRACE.format("KeyError: 'chosen'") + "cleaning up\n"
    assert last_error(log) == "KeyError: 'chosen'"
    assert "KeyError" in explain(1, log).message
    assert last_error("no trace at all") == ""
