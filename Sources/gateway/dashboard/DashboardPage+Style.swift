// The dashboard's style. Colours are variables, a set for light and one for dark; the script's charts read them too.

extension DashboardPage {
    static let style: StaticString = #"""
        :root {
          color-scheme: light dark;
          --ink: light-dark(#1d2330, #e4e7ee); --dim: light-dark(#5c6475, #9aa3b5); --paper: light-dark(#f6f6f3, #11141b); --card: light-dark(#ffffff, #191d27);
          --line: light-dark(#dcdee4, #2d3342); --accent: light-dark(#c2410c, #fb923c); --good: light-dark(#15803d, #4ade80); --bad: light-dark(#b91c1c, #f87171);
          --s0: light-dark(#2563eb, #60a5fa); --s1: light-dark(#0f9f6e, #34d399); --s2: light-dark(#d97706, #fbbf24); --s3: light-dark(#9333ea, #c084fc); --s4: light-dark(#dc2626, #f87171);
          --s5: light-dark(#0891b2, #22d3ee); --s6: light-dark(#be185d, #f472b6); --s7: light-dark(#4d7c0f, #a3e635); --s8: light-dark(#6b7280, #9ca3af); --s9: light-dark(#78350f, #d6a77a);
        }
        :root.light { color-scheme: light; }
        :root.dark { color-scheme: dark; }
        * { box-sizing: border-box; }
        body { margin: 0 auto; max-width: 96rem; padding: 1rem 1.25rem 3rem; background: var(--paper); color: var(--ink); font: 0.875rem/1.45 system-ui, sans-serif; }
        header { display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; align-items: baseline; }
        h1 { font-size: 1.25rem; margin: 0; }
        h1 span { font-weight: normal; color: var(--dim); font-size: 0.875rem; }
        h2 { font-size: 1rem; margin: 1.5rem 0 0.5rem; }
        #status { margin: 0; flex: 1; color: var(--dim); }
        #status.bad { color: var(--bad); font-weight: 600; }
        #controls { display: flex; gap: 0.75rem; align-items: center; }
        button, select, input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 4px; padding: 0.15rem 0.6rem; }
        button[aria-pressed="true"] { border-color: var(--accent); color: var(--accent); }
        :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
        [hidden] { display: none; }
        #login { margin: 2rem 0; }
        #refused { color: var(--bad); }
        #tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.75rem; margin: 1rem 0; }
        #tiles div, figure { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 0.6rem 0.8rem; margin: 0; }
        #tiles dt, figcaption { color: var(--dim); font-size: 0.8125rem; }
        #tiles dd { margin: 0; font-size: 1.375rem; font-variant-numeric: tabular-nums; }
        #tiles dd.bad { color: var(--bad); }
        .grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); gap: 0.75rem; }
        canvas { display: block; width: 100%; height: 11rem; margin: 0.35rem 0; }
        .legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0 1rem; margin: 0; padding: 0; font-size: 0.8125rem; font-variant-numeric: tabular-nums; min-height: 1.2rem; }
        .legend i { display: inline-block; width: 0.65rem; height: 0.65rem; border-radius: 2px; margin-right: 0.35rem; }
        .wide { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
        table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
        th, td { text-align: right; padding: 0.25rem 0.8rem; white-space: nowrap; border-bottom: 1px solid var(--line); }
        tr:last-child td { border-bottom: 0; }
        th:first-child, td:first-child, td.text, th.text { text-align: left; }
        th button { border: 0; background: none; padding: 0; color: var(--dim); cursor: pointer; font-weight: 600; }
        th[aria-sort="descending"] button::after { content: " ▾"; }
        th[aria-sort="ascending"] button::after { content: " ▴"; }
        td.none { color: var(--dim); text-align: left; }
        .bad { color: var(--bad); }
        .good { color: var(--good); }
        #events { list-style: none; margin: 0; padding: 0.4rem 0.8rem; background: var(--card); border: 1px solid var(--line); border-radius: 6px; max-height: 16rem; overflow-y: auto; }
        #events time { color: var(--dim); margin-right: 0.75rem; font-variant-numeric: tabular-nums; }
        #events .warning { color: var(--accent); }
        #events .error, #events .critical { color: var(--bad); }

        """#
}
