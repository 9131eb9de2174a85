"""The style sheet of a report."""

from ostinato.report.style import PAGE_STYLE

STYLE = f"""{PAGE_STYLE}
table.wide {{ width: 100% }}
.wide td:first-child {{ min-width: 11rem }}
.bar {{ width: 30%; min-width: 6rem; padding-left: 1rem }}
.bar span {{ display: block; height: .55rem; background: var(--accent); min-width: 1px }}
.charts {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 2rem 2.5rem }}
.charts h3 {{ margin: 0 0 .3rem }}
svg {{ display: block; width: 100%; height: auto; overflow: visible }}
svg text {{ font-family: var(--sans) !important; fill: var(--ink) }}
.charts svg text {{ fill: var(--soft) }}
.flow {{ min-width: 34rem; max-width: 42rem; margin: 1.5rem 0 }}
.flow text {{ font-size: 14px }}
.flow .number {{ font-weight: 600 }}
.flow .all {{ fill: var(--ink) }}
.flow .accepted {{ fill: var(--accent) }}
.flow .duplicates {{ fill: var(--second) }}
.flow .rejected {{ fill: var(--third) }}
.flow .band {{ opacity: .3 }}
"""
