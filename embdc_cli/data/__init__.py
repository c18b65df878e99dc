"""Archives in training loops: clips of many archives as a torch data set, and batches on their way to a device.

clips = Clips(["a.embdc", "b.embdc"], rows=16, stream="patch")
for batch in prefetched(DataLoader(clips, batch_size=8, shuffle=True, num_workers=2), "cuda"):
    batch["values"]                                # (8, 16, N, D) on the device
"""

from embdc_cli.data.clips import Clips
from embdc_cli.data.prefetch import prefetched

__all__ = ["Clips", "prefetched"]
