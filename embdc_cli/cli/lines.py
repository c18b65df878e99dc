"""One-line summaries of what commands did, from the documents that the library returns."""

from __future__ import annotations

from collections.abc import Iterator

from embdc_cli.batch import Document
from embdc_cli.cli import wording


def encoded(item: Document, *, verbose: bool) -> Iterator[str]:
    """What became of one input of `embdc encode`."""
    names = f"{item['input']} -> {item['output']}"
    status = item.get("status")
    if status == "skipped":
        yield f"{item['input']}: skipped, {item['output']} is complete and up to date"
        return
    line = f"{names}: {_sizes(item)}"
    if status == "planned":
        line = f"{names}: would be {_sizes(item)}"
    achieved = item.get("achieved") or {}
    if isinstance(achieved.get("cosine"), float):
        line += f", cosine {wording.cosine(achieved['cosine'])}"
    external = item.get("external_codebook_bytes")
    if external:
        line += f", codebook of {wording.size(external)} not counted"
    elapsed = item.get("seconds") or {}
    if "total" in elapsed and status != "planned":
        line += f", {wording.seconds(elapsed['total'])}"
    yield line
    target = item.get("target") or {}
    if target.get("saturated"):
        yield f"{item['input']}: lossless is below the target already"
    if status == "incomplete":
        yield f"{item['input']}: the input is damaged, only its good part is in the archive"
    if verbose:
        for stream in item.get("streams") or []:
            yield f"  {stream['name']}: {wording.shape(stream['shape'])} {stream['dtype']}, {stream['codec']}"
        stages = [f"{name} {wording.seconds(value)}" for name, value in elapsed.items() if name != "total"]
        if stages:
            yield f"  time: {', '.join(stages)}"


def totalled(totals: Document) -> str:
    """The last line of a batch."""
    counts = [
        f"{totals[status]} {status}"
        for status in ("done", "skipped", "planned", "incomplete", "stopped", "failed", "remaining")
        if totals[status]
    ]
    line = f"{wording.plural(totals['inputs'], 'input')}: {', '.join(counts) or 'nothing to do'}"
    if totals["file_bytes"] and totals["raw_bytes"]:
        line += f"; {wording.size(totals['raw_bytes'])} -> {wording.size(totals['file_bytes'])}"
    return line


def decoded(document: Document, *, verbose: bool) -> Iterator[str]:
    """What `embdc decode` wrote, and how much it could not."""
    streams = [f"{one['name']} {wording.shape(one['shape'])} {one['dtype']}" for one in document["streams"]]
    shown = streams if len(streams) <= 3 else [*streams[:2], f"{len(streams) - 2} more"]
    lost = sum(loss["rows"][1] - loss["rows"][0] for loss in document["lost"])
    line = f"{document['archive']} -> {document['output']}: {', '.join(shown)}"
    yield line + (f"; {wording.plural(lost, 'row')} lost" if lost else "")
    if verbose:
        yield from (f"  {stream}" for stream in streams)


def joined(document: Document, *, verbose: bool) -> Iterator[str]:
    """What `embdc cat` wrote."""
    parts, items = wording.plural(len(document["inputs"]), "archive"), wording.plural(document["items"], "item")
    yield f"{parts} -> {document['output']}: {items}, {wording.size(document['file_bytes'])}"
    if verbose:
        yield f"  streams: {', '.join(document['streams'])}"


def listed(totals: Document) -> str:
    """The last line of `embdc ls`: how much there is, and what is not as it should be."""
    line = f"{wording.plural(totals['archives'], 'archive')}, {wording.plural(totals['items'], 'item')}"
    wrong = [f"{totals[status]} {status}" for status in ("incomplete", "unfinished", "uploading", "missing", "failed")]
    line = ", ".join([line, *(one for one in wrong if not one.startswith("0 "))])
    return f"{line}; {wording.size(totals['file_bytes'])}"


def traffic(io: Document) -> str:
    """How much of archives was read."""
    return f"{wording.size(io['bytes'])} in {wording.plural(io['requests'], 'read')}"


def divided(document: Document, *, verbose: bool) -> Iterator[str]:
    """What `embdc split` wrote."""
    parts = document["outputs"]
    size = wording.size(sum(part["file_bytes"] for part in parts))
    yield f"{document['archive']} -> {parts[0]['output']}: {wording.plural(len(parts), 'part')}, {size}"
    if verbose:
        for part in parts:
            start, stop = part["seconds"]
            yield f"  {part['output']}: {start:.3f} s to {stop:.3f} s, {wording.plural(part['rows'], 'row')}"


def repaired(document: Document) -> Iterator[str]:
    """What `embdc repair` put right and kept, and what is lost for good."""
    line = f"{document['archive']} -> {document['output']}: {wording.plural(document['chunks'], 'chunk')} kept"
    if document["corrected"]:
        line += f", {wording.plural(len(document['corrected']), 'flipped bit')} put right"
    yield f"{line}; {wording.size(document['file_bytes'])}"
    yield from (f"  lost: {loss(lost)}" for lost in document["lost"])
    for lost in document["lost_times"]:
        start, stop = lost["rows"]
        streams = ", ".join(lost["streams"])
        yield f"  lost: times of item {lost['item']} ({streams}), rows {start} to {stop}, spread evenly"
    if not document["summary"]:
        yield "  lost: the summary with the quality achieved"


def trained(document: Document, *, verbose: bool) -> Iterator[str]:
    """What `embdc train-codebook` wrote, and what it saved on inputs it was not trained on."""
    yield f"{document['output']}: {wording.size(document['file_bytes'])}, {document['kind']} {document['digest'][:12]}"
    if verbose:
        vectors, tokens = f"{document['rank']} vectors", wording.plural(document["tokens_trained"], "token")
        yield f"  {vectors} of {document['channels']} channels, from {tokens}"
    yield from learnt_levels(document, verbose=verbose)
    yield from learnt_network(document, verbose=verbose)
    for point in document["heldout"]:
        rate, without, gain = point["bits_per_value"], point["bits_per_value_without"], point["gain"]
        line = f"  held out, nmse {point['nmse']:g}: {wording.number(rate, 3)} bits/value"
        line += f", {wording.number(without, 3)} without"
        yield line + (f" ({100 * gain:.0f} % less)" if gain is not None else "")
    if not document["heldout"]:
        yield "  nothing was held out, so what it saves is not known"
    elif document["break_even_bytes"] is None:
        yield "  it does not pay on the held-out inputs"
    else:
        yield f"  it pays from {wording.size(document['break_even_bytes'])} of float16 embeddings on"


def learnt_levels(document: Document, *, verbose: bool) -> Iterator[str]:
    """Of a codebook of kind vq: how its levels are used, and what refinement and an earlier codebook did for them."""
    levels = document.get("levels")
    if not levels:
        return
    used = sum(level["used"] for level in levels) / len(levels)
    yield f"  {wording.plural(len(levels), 'level')}, {100 * used:.0f} % of codewords used"
    if verbose:
        for number, level in enumerate(levels):
            size, share = f"{level['codewords']} codewords of {level['width']}", f"{100 * level['used']:.0f} % used"
            line = f"  level {number}: {size}, {share}"
            yield line + f", perplexity {level['perplexity']:.0f}, had by {100 * level['tokens']:.0f} % of tokens"
    refinement = document["refinement"]
    if refinement is not None:
        gains = (
            f"{100 * refinement['gain_trained']:.1f} % in training, {100 * refinement['gain_heldout']:.1f} % held out"
        )
        yield f"  {wording.plural(refinement['steps'], 'step')} of refinement save {gains}"
    init = document["init"]
    if init is not None:
        both = f"nmse {init['nmse']:.3g} at {init['bits']:.3g} bits/value"
        yield f"  from --init {both}, afresh {init['nmse_without']:.3g} at {init['bits_without']:.3g}"


def learnt_network(document: Document, *, verbose: bool) -> Iterator[str]:
    """Whether there is a network for decoded tokens, and what it takes away from their error."""
    found = document["reconstruction"]
    if found is None:
        return
    for codec in dict.fromkeys(point["codec"] for point in found["points"]):
        own = [point for point in found["points"] if point["codec"] == codec]
        gains = ", ".join(f"{100 * point['gain_heldout']:.1f}" for point in own if point["gain_heldout"] is not None)
        kept = "kept" if found["kept"] else "not kept"
        if gains:
            yield f"  network {kept}: {gains} % less held-out error of {codec}, at steps of a rising size"
    if verbose:
        nanoseconds = 1e9 * found["seconds_per_value"]
        yield f"  network of {wording.size(found['network_bytes'])}, {nanoseconds:.0f} ns a value"


def verified(document: Document, *, verbose: bool) -> Iterator[str]:
    """The verdict of `embdc verify` on one archive, its problems, and the comparison if there was one."""
    path, against = document["path"], document["against"]
    checked = f"{wording.plural(document['chunks'], 'chunk')}, {wording.size(document['bytes_checked'])} checked"
    verdicts = {0: f"ok, {checked}", 3: f"incomplete, what is there is good; {checked}", 5: f"corrupt; {checked}"}
    yield f"{path}: {verdicts.get(document['exit'], f'not what it was made from; {checked}')}"
    if verbose:
        yield f"  format version {document['format_version']}, {'' if document['complete'] else 'not '}complete"
    for problem in document["problems"]:
        yield f"  offset {problem['offset']}: {problem['what']}"
        yield from (f"    lost: {loss(lost)}" for lost in problem["lost"])
    if against is not None:
        nmse, cosine = wording.number(against["nmse"]), wording.cosine(against["cosine"])
        largest = wording.number(against["max_abs_error"])
        yield f"  against the original: nmse {nmse}, cosine {cosine}, largest error {largest}"


def found(document: Document, *, verbose: bool) -> Iterator[str]:
    """What `embdc search` found, nearest first, and by which query where there are several."""
    if verbose:
        sought = "rows" if document["pooled"] else "tokens"
        yield f"{document['vectors']} {sought} by {document['metric']}"
    for number, query in enumerate(document.get("queries", [document])):
        if "queries" in document:
            yield f"query {number}"
        yield from (_hit(hit) for hit in query["hits"])


def _hit(hit: Document) -> str:
    line = f"{hit['score']:.6g}  {hit['archive']}: item {hit['item']}, {hit['stream']}, frame {hit['frame']}"
    if hit["token"] is not None:
        line += f", token {hit['token']}"
    return line + (f", {hit['time']:.3f} s" if hit["time"] is not None else "")


def beyond(miss: Document) -> str:
    """A limit of `embdc compare` that a stream missed."""
    found = "nothing to measure" if miss["found"] is None else wording.number(miss["found"], 6)
    limit = f"{miss['bound']} {miss['limit']:g} ({miss['option']})"
    return f"stream {miss['stream']!r}: {miss['measure']}, expected {limit}, found {found}"


def loss(lost: Document) -> str:
    """Rows that damage has cost: `stream patch, rows 64 to 128 (2.133 s to 4.267 s)`."""
    start, stop = lost["rows"]
    line = f"stream {lost['stream']}, rows {start} to {stop}"
    if lost["seconds"] is not None:
        line += " ({:.3f} s to {:.3f} s)".format(*lost["seconds"])
    return line


def _sizes(item: Document) -> str:
    line = ""
    if item.get("raw_bytes"):
        line = f"{wording.size(item['raw_bytes'])} -> "
    line += wording.size(item["file_bytes"]) if item.get("file_bytes") is not None else "unknown size"
    notes = []
    if item.get("bits_per_value"):
        notes.append(f"{wording.number(item['bits_per_value'], 3)} bits/value")
    if item.get("ratio_fp16"):
        notes.append(f"{wording.number(item['ratio_fp16'], 3)}x below float16")
    return line + (f" ({', '.join(notes)})" if notes else "")
