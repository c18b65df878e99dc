"""Archives in training loops: clips of many archives as torch data sets, and batches on their way to a device.

clips = Clips(["a.embdc", "b.embdc"], rows=16, stream="patch")      # any clip at any time, for samplers
clips = ShuffledClips(paths, seconds=2, fps=8, stream="patch")      # all clips, each chunk decoded once an epoch
for batch in prefetched(DataLoader(clips, batch_size=8, num_workers=2), "cuda"):
    batch["values"]                                # (8, 16, N, D) on the device
"""

from embdc_cli.data.clips import Clips
from embdc_cli.data.collate import collate, collate_padded
from embdc_cli.data.manifest import Manifest
from embdc_cli.data.prefetch import prefetched
from embdc_cli.data.shuffled import ShuffledClips

__all__ = ["Clips", "Manifest", "ShuffledClips", "collate", "collate_padded", "prefetched"]
