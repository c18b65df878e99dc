"""The serving stacks by the name that --for takes."""

from __future__ import annotations

from typing import Final

from embdc_cli.handoff.consumers import llava, sglang, transformers, vllm
from embdc_cli.handoff.consumers.consumer import Consumer

CONSUMERS: Final[dict[str, Consumer]] = {
    "vllm": Consumer(vllm.check, vllm.arrays, vllm.call),
    "sglang": Consumer(sglang.check, sglang.arrays, sglang.call),
    "hf": Consumer(transformers.check, transformers.arrays, transformers.call),
    "llava": Consumer(llava.check, llava.arrays, llava.call),
}
