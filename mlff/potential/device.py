"""Where a potential computes."""

from __future__ import annotations

import torch


def chosen_device(device: str | torch.device | None = None) -> torch.device:
    """The named device; of None the GPU where there is one, and the CPU where there is none.

    Raises:
        ValueError: no such device, or none on this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"`device` is {device!r}; give 'cpu', 'cuda' or 'cuda:0', 'cuda:1', ...") from error
    if chosen.type == "cuda":
        if not torch.cuda.is_available():
            raise ValueError(f"`device` is {str(device)!r}, but torch finds no CUDA GPU here; use 'cpu', or install a "
                             f"torch that is built for this GPU and its driver")
        if chosen.index is not None and chosen.index >= torch.cuda.device_count():
            raise ValueError(f"`device` is {str(device)!r}, but the GPUs end at cuda:{torch.cuda.device_count() - 1}")
    elif chosen.type != "cpu":
        raise ValueError(f"`device` is {str(device)!r}; this package runs on 'cpu' and 'cuda' (float64 is needed)")
    return chosen
