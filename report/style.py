"""The style sheet that all of Ostinato's pages share; each page adds rules of its own."""

PAGE_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --ink: #23262b; --soft: #5c626b; --line: #dcd9d0; --panel: #f4f2eb;
  --accent: #2b6885; --second: #b98a3c; --third: #a4574a;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", "Palatino Linotype", Palatino, "Source Serif 4", Georgia,
    serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #17191c; --ink: #e0e3e7; --soft: #a3aab5; --line: #31363c; --panel: #1e2125;
    --accent: #7cbad6; --second: #d2ab66; --third: #d08a7c;
  }
}
* { box-sizing: border-box }
html { background: var(--paper); color: var(--ink); font: 16px/1.55 var(--sans); -webkit-text-size-adjust: 100% }
body { margin: 0 }
main { max-width: 62rem; margin: 0 auto; padding: 3.5rem 1.5rem 5rem }
h1, h2 { font-family: var(--serif); font-weight: 600; line-height: 1.2; overflow-wrap: anywhere }
h1 { font-size: 2.4rem; margin: 0 0 .6rem }
h2 { font-size: 1.5rem; margin: 3.5rem 0 .8rem; padding-top: 1.4rem; border-top: 1px solid var(--line) }
h3 { font-size: 1rem; font-weight: 600; margin: 2rem 0 .4rem }
h3 .soft { font-weight: 400; font-size: .88rem; margin-left: .3rem }
p { margin: 0 0 1rem; max-width: 42rem }
.lead { font-size: 1.15rem }
.soft, figcaption, caption { color: var(--soft) }
.note { background: var(--panel); border-left: 3px solid var(--second); padding: .8rem 1rem }
.note { margin-top: 2rem; max-width: none }
code { font: .88em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere }
pre { background: var(--panel); padding: .9rem 1.1rem; overflow-x: auto; margin: 0 0 1rem }
pre code { overflow-wrap: normal }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; margin: 2rem 0 0 }
.figures div { border-top: 2px solid var(--accent); padding-top: .5rem }
.figures dt { color: var(--soft); font-size: .9rem }
.figures dd { margin: 0; font: 600 1.65rem/1.2 var(--serif); font-variant-numeric: lining-nums tabular-nums }
.figures dd small { display: block; font: 400 .85rem/1.4 var(--sans); color: var(--soft) }
dl { margin: 0 }
.scroll { overflow-x: auto; margin: 0 0 1rem }
table { border-collapse: collapse; font-size: .93rem; font-variant-numeric: tabular-nums }
th, td { padding: .32rem 1.1rem .32rem 0; text-align: right; vertical-align: baseline }
th, td { border-bottom: 1px solid var(--line) }
th { font-weight: 500; color: var(--soft); white-space: nowrap }
td { white-space: nowrap }
th.words, td.words { text-align: left }
th:last-child, td:last-child { padding-right: 0 }
td.words { min-width: 6rem; max-width: 22rem; overflow-wrap: anywhere; white-space: normal }
tr.sum td, tr.ours td { font-weight: 600 }
tr.human td { border-top: 1px solid var(--soft); font-style: italic }
table.wide { width: 100% }
.wide td:first-child { min-width: 11rem }
td.bar { width: 30%; min-width: 6rem; padding-left: 1rem }
.bar span { display: block; height: .55rem; background: var(--accent) }
figure { margin: 0; max-width: 33rem }
figure svg { display: block; width: 100%; height: auto; overflow: visible }
figure svg text { font-family: var(--sans) !important }
figcaption { font-size: .88rem }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
details { border-bottom: 1px solid var(--line); padding: .45rem 0 }
summary { cursor: pointer }
summary b { font-variant-numeric: tabular-nums; font-weight: 600 }
details table { margin: .6rem 0 .4rem 1.1rem; font-size: .86rem }
details td, details th { white-space: normal; text-align: left; overflow-wrap: anywhere; min-width: 6rem }
@media (max-width: 40rem) {
  main { padding: 2rem 1rem 3rem }
  h1 { font-size: 1.9rem }
  summary { padding: .5rem 0 }
  table { font-size: .86rem }
  main th, main td { padding-right: .6rem; min-width: 0; white-space: normal; overflow-wrap: break-word }
  main td.bar { min-width: 2rem; padding-left: 0 }
  .scroll td:not(.words) { white-space: nowrap }
  details table { margin-left: 0 }
}
@media print { html { background: none; font-size: 11pt } main { max-width: none; padding: 0 } }
"""
