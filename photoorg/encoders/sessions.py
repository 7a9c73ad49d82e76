"""ONNX Runtime sessions: which provider and how many threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from photoorg.errors import EncoderUnavailableError

Device = Literal["auto", "cpu", "cuda"]


def open_session(path: Path, *, device: Device, threads: int | None) -> Any:
    """An onnxruntime.InferenceSession of `path`; EncoderUnavailableError if it cannot be had."""
    runtime = import_runtime()
    try:
        session = runtime.InferenceSession(str(path), options(threads), providers=providers(device))
    except Exception as error:  # onnxruntime's errors share no narrower base class
        raise EncoderUnavailableError(
            f"{path} cannot be loaded as an ONNX model: {error}.",
            fix="Fetch the file again, or check that this onnxruntime knows its operators.",
        ) from error
    require_provider(session, device)
    return session


def options(threads: int | None) -> Any:
    """Session options with `threads` threads (None: one per core) that sleep while they wait."""
    runtime = import_runtime()
    chosen = runtime.SessionOptions()
    chosen.log_severity_level = 3
    chosen.intra_op_num_threads = threads or 0
    # Workers share their cores with decoding; spinning would take the cores from it.
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return chosen


def providers(device: Device) -> list[str]:
    """Execution providers in order of preference for `device`."""
    available = import_runtime().get_available_providers()
    has_cuda = "CUDAExecutionProvider" in available
    if device == "cuda" and not has_cuda:
        raise EncoderUnavailableError(
            "This onnxruntime has no CUDA provider.",
            fix="Install onnxruntime-gpu in place of onnxruntime, or set encoder.device: cpu.",
        )
    if device == "cpu" or not has_cuda:
        return ["CPUExecutionProvider"]
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def require_provider(session: Any, device: Device) -> None:
    """Raise EncoderUnavailableError if CUDA was asked for and onnxruntime fell back to the CPU."""
    if device == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise EncoderUnavailableError(
            "onnxruntime could not start its CUDA provider and fell back to the CPU.",
            fix="Check that the CUDA and cuDNN libraries it was built for are installed.",
        )


def import_runtime() -> Any:
    """The onnxruntime package; EncoderUnavailableError says how to install it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise EncoderUnavailableError(
            "This space needs onnxruntime, which is not installed.",
            fix="Install photoorg[cpu] or photoorg[gpu].",
        ) from error
    return onnxruntime
