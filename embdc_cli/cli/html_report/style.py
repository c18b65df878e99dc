"""How a report looks: light and dark as the reader's system is, light on paper, fonts that are there already."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c2430; --muted: #5a6473; --grid: #e3e7ec; --rule: #9aa4b1;
  --first: #0b66c3; --second: #b8480b; --bad: #c0262d; --fill: #0b66c326;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161c; --ink: #e5e9ef; --muted: #9aa5b4; --grid: #262d37; --rule: #5b6675;
    --first: #62adff; --second: #ff9d5c; --bad: #ff7b80; --fill: #62adff33;
  }
}
@media print {
  :root {
    color-scheme: light;
    --paper: #ffffff; --ink: #000000; --muted: #444444; --grid: #dddddd; --rule: #777777;
    --first: #0b66c3; --second: #b8480b; --bad: #c0262d; --fill: #0b66c326;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 56rem; padding: 2rem 1.25rem 4rem;
  background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; print-color-adjust: exact;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--grid); }
h3 { font-size: 1rem; margin: 2rem 0 .25rem; }
p { margin: .25rem 0 .75rem; }
.lead { font-size: 1.1rem; }
.note, figcaption, footer { color: var(--muted); font-size: .875rem; }
.warning { border-left: 4px solid var(--bad); padding-left: .75rem; }
figure { margin: 1.25rem 0; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; min-width: min(100%, 30rem); }
table { font-variant-numeric: tabular-nums; font-size: .875rem; }
caption { text-align: left; font-weight: 600; padding-bottom: .35rem; }
th, td { padding: .3rem .6rem; text-align: right; vertical-align: top; overflow-wrap: normal; }
th.text, td.text { text-align: left; overflow-wrap: break-word; }
th { font-weight: 500; }
thead th { color: var(--muted); border-bottom: 1px solid var(--rule); vertical-align: bottom; }
tbody tr + tr > * { border-top: 1px solid var(--grid); }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--first); font-size: .875rem; }
footer { margin-top: 3rem; }
.grid { stroke: var(--grid); }
.axis { stroke: var(--rule); }
.tick, .axis-label { fill: var(--muted); }
.label { fill: var(--ink); stroke: var(--paper); stroke-width: 3px; paint-order: stroke; }
.label.chosen { font-weight: 700; }
.cell { fill: var(--ink); font-size: 11px; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.line.first { stroke: var(--first); }
.line.second { stroke: var(--second); stroke-dasharray: 7 4; }
.line.reference { stroke: var(--rule); stroke-width: 1.5; stroke-dasharray: 3 4; }
.dot.first { fill: var(--first); }
.dot.second { fill: var(--second); }
.dot.bad { fill: var(--bad); }
.dot { stroke: var(--paper); stroke-width: 1; }
.ring { fill: none; stroke-width: 2; }
.ring.first { stroke: var(--first); }
.bar { fill: var(--first); }
"""
