"""Work on many machines.

`encode_item` encodes one input and needs nothing but its arguments, so that any engine can call it:

    options = EncodeOptions(target_bpv=0.5, skip_existing=True)
    ray.data.from_items(items).map(encode_item, fn_kwargs={"options": options})
    spark.sparkContext.parallelize(items).mapPartitions(lambda part: (encode_item(item, options) for item in part))

`encode.py` is the batch of `embdc encode --engine ray`, `training.py` the engine of `embdc train-codebook`, on the
inputs that workers hold open (`holding.py`). `cluster.py` is all that knows Ray, and knows nothing of what
the work is.
"""

from embdc_cli.distributed.item import encode_item

__all__ = ["encode_item"]
