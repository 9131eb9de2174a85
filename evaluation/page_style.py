"""What the page of an evaluation adds to the style of all pages."""

from ostinato.sample.output.gallery_style import STYLE as GALLERY_STYLE

STYLE = f"""{GALLERY_STYLE}
.warning {{ border-left-color: var(--third); font-weight: 500 }}
.lead + .lead {{ margin-top: -.4rem }}
.figures dd small {{ display: block; font: 400 .85rem/1.4 var(--sans); color: var(--soft) }}
figure {{ margin: 1.2rem 0 1.6rem; max-width: 33rem }}
figure svg {{ display: block; width: 100%; height: auto; overflow: visible }}
figure svg text {{ font-family: var(--sans) !important }}
figcaption {{ margin-top: .4rem }}
.two {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 0 2.5rem }}
.scroll {{ margin-bottom: 1.4rem }}
tr.ours td {{ font-weight: 600 }}
tr.human td {{ border-top: 1px solid var(--soft); font-style: italic }}
td:first-child, th:first-child {{ text-align: left }}
td.words + td.words, td + td.words {{ min-width: 13rem }}
@media (min-width: 50rem) {{ td.words:first-child {{ min-width: 9.5rem }} }}
.two article {{ border: 0; padding: .4rem 0 1rem; min-width: 0 }}
.two article h3 {{ margin: .6rem 0 .5rem }}
.two article h3 .soft {{ display: block; margin: 0 }}
.sheet {{ min-width: 26rem }}
.made td {{ white-space: normal; overflow-wrap: anywhere; text-align: left; vertical-align: top }}
.made td:first-child {{ color: var(--soft); white-space: nowrap }}
pre code {{ white-space: pre-wrap; overflow-wrap: anywhere }}
details > .scroll {{ margin-top: .6rem }}
details .scroll table {{ margin-left: 0 }}
details .scroll td, details .scroll th {{ text-align: right; white-space: nowrap; min-width: 0 }}
details .scroll td:first-child, details .scroll th:first-child {{ text-align: left }}
summary {{ padding: .35rem 0; color: var(--accent) }}
"""
