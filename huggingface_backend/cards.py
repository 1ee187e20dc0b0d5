"""The NVIDIA cards that this process may use, as the driver tells them."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

DRIVER = "libcuda.so.1"
_NAME = 256
_CAPABILITY = (75, 76)
"""The driver's numbers of a card's compute capability, major and minor."""


class NoCardError(Exception):
    """No card can be used; one line why."""


@dataclass(frozen=True)
class Card:
    """One card. Its number is its place in the list, which follows CUDA_VISIBLE_DEVICES."""

    name: str
    memory: int
    """Bytes."""
    capability: str
    """Such as 8.6."""


@cache
def driver() -> tuple[int, tuple[Card, ...]]:
    """The newest major version of CUDA that the driver runs, and its cards. NoCardError where there is none."""
    try:
        library = ctypes.CDLL(DRIVER)
    except OSError:
        raise NoCardError(f"this machine has no NVIDIA driver ({DRIVER})") from None
    found = ctypes.c_int()
    if library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(found)) or not found.value:
        raise NoCardError("the NVIDIA driver shows no card to this process")
    version = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    return version.value // 1000, tuple(_card(library, number) for number in range(found.value))


def card(number: int, cuda: int = 0) -> Card:
    """A card by its number; NoCardError where it is missing, or the driver is older than this major of CUDA."""
    newest, cards = driver()
    if newest < cuda:
        raise NoCardError(f"the NVIDIA driver is for CUDA {newest}, and CUDA {cuda} is needed")
    if number >= len(cards):
        raise NoCardError(f"there is no card {number}: the driver shows {len(cards)}, counted from 0")
    return cards[number]


def _card(library: Any, number: int) -> Card:
    device, memory, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(_NAME)
    library.cuDeviceGet(ctypes.byref(device), number)
    library.cuDeviceGetName(name, _NAME, device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    versions = []
    for attribute in _CAPABILITY:
        value = ctypes.c_int()
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        versions.append(str(value.value))
    return Card(name.value.decode("utf-8", "replace"), memory.value, ".".join(versions))
