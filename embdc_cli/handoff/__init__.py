"""Decoded embeddings as the tensors that a serving stack takes in place of pictures or video: `embdc decode --for`.

choose       which streams and rows of each item, and what is known of their patch grid
read_model   what the language model takes, from its config.json; recorded_model: that of the archive's encoder
family       grid (Qwen-VL) or frames (LLaVA): tokens checked, joined, projected or pooled as the model itself does
consumer     names, shapes and nesting of the one stack: one file each, in the table `consumers.CONSUMERS`
write        a safetensors file of them

Everything that can be checked without decoding is checked before anything is decoded.
"""

from embdc_cli.handoff.handover import hand_over, write

__all__ = ["hand_over", "write"]
