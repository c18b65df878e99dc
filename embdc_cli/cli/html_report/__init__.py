"""`--report`: the `--json` documents of compare, plan, inspect and train-codebook as one HTML file each.

markup              text to HTML; the only place that escapes, and nothing reaches a page without it
axis, plot, bars, shades
                    inline SVG: scales with ticks; points and lines in a frame; bars; cells of a grid
table, values       tables, and values as their cells
rate_distortion, quality_over_time, channel_error, byte_parts, chunk_bytes, plane_bits,
codebook_usage, held_out
                    one figure each, with the table of what it shows
comparison, forecast, archive, codebook       the reports: which figures and tables, in which order
page, batch, style  the whole file; no script, no reference to anything outside it

Everything is a function of the document: no clock, no host, no randomness, so the same document gives the same bytes.
"""
