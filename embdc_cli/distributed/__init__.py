"""Work on many machines.

`encode_item` encodes one input and needs nothing but its arguments, so that any engine can call it:

    options = EncodeOptions(target_bpv=0.5, skip_existing=True)
    ray.data.from_items(items).map(encode_item, fn_kwargs={"options": options})
    spark.sparkContext.parallelize(items).mapPartitions(lambda part: (encode_item(item, options) for item in part))

`encode.py` is the batch of `embdc encode --engine ray`, `training.py` the engine of `embdc train-codebook`, on the
inputs that workers hold open (`holding.py`). Both hand it to a pool of workers (`pool.py`), which lives through the
loss of any; `worker.py` runs in each. None of these knows what the work is, and only `cluster.py` knows Ray.
"""

from embdc_cli.distributed.item import encode_item

__all__ = ["encode_item"]
