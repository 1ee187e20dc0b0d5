"""The page's style."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c2126; --weak: #667079; --grid: #dde2e6; --panel: #f5f7f8; --good: #1a7f4b;
  --bad: #b3261e;
  --c0: #0b63c5; --c1: #d1720a; --c2: #12875a; --c3: #b0308f; --c4: #7a58c9; --c5: #9a7b00; --c6: #0e8ba0;
  --c7: #c0392b; --c8: #5d6b78; --c9: #8a5a3c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181c; --ink: #e3e7ea; --weak: #95a0aa; --grid: #303840; --panel: #1c2227; --good: #59c58e;
    --bad: #ff8a80;
    --c0: #5ea8ff; --c1: #ffa64d; --c2: #4fcf98; --c3: #f07fd2; --c4: #b39dff; --c5: #e0c34a; --c6: #55cfe2;
    --c7: #ff8577; --c8: #a9b6c2; --c9: #d0a083;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 24px 20px 64px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 40px 0 6px; padding-top: 12px; border-top: 1px solid var(--grid); }
h3 { font-size: 15px; margin: 18px 0 2px; }
p { margin: 4px 0 10px; max-width: 80ch; }
.weak, small { color: var(--weak); }
nav { margin: 14px 0 0; display: flex; flex-wrap: wrap; gap: 4px 16px; }
a { color: var(--c0); }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(350px, 100%), 1fr)); gap: 6px 26px; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; margin-top: 12px; }
figcaption small { font-weight: 400; display: block; }
svg { display: block; width: 100%; height: auto; font-family: inherit; }
.legend { position: sticky; top: 0; z-index: 1; background: var(--paper); padding: 6px 0; display: flex;
  flex-wrap: wrap; gap: 2px 18px; font-size: 13px; }
.legend svg { display: inline-block; width: 26px; height: 10px; margin-right: 5px; vertical-align: middle; }
.scroll { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--grid); }
th { font-weight: 600; color: var(--weak); white-space: nowrap; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.w { white-space: nowrap; }
tbody tr:hover { background: var(--panel); }
.good { color: var(--good); font-weight: 600; white-space: nowrap; }
.bad { color: var(--bad); font-weight: 600; white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 12px 0; font-size: 14px; }
dt { color: var(--weak); }
dd { margin: 0; }
details { margin: 8px 0; }
summary { cursor: pointer; color: var(--c0); }
@media print { .legend { position: static; } body { max-width: none; } }
"""
