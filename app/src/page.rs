//! A page of figures that needs nothing else: no script, no file beside it; light, dark and on paper.

const STYLE: &str = "
:root { color-scheme: light dark; --text: #171b22; --weak: #5a6473; --line: #d8dce4; --accent: #2463e0; --page: #f3f4f7; --sheet: #fff; --bad: #b3261e; --good: #1c7a3e; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ef; --weak: #9aa4b4; --line: #333a46; --accent: #6d9bff; --page: #14171c; --sheet: #1c2027; --bad: #ff8a80; --good: #6fd08c; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 0; padding: 32px; }
main { max-width: 1200px; margin: auto; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 0 0 12px; } h3 { font-size: 13px; margin: 0 0 4px; color: var(--weak); }
p { color: var(--weak); margin: 0 0 20px; }
section, .summary { background: var(--sheet); border: 1px solid var(--line); border-radius: 14px; padding: 20px 24px; margin: 0 0 20px; }
.summary { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--weak); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 16px; }
.plots svg { width: 100%; height: auto; display: block; }
.fall { display: grid; grid-template-columns: 84px 1fr 70px; gap: 3px 10px; align-items: center; font-size: 13px; }
.fall b { font-weight: 400; color: var(--weak); } .fall i { text-align: right; font-style: normal; font-variant-numeric: tabular-nums; }
.bar { height: 12px; border-radius: 3px; background: var(--accent); min-width: 2px; }
.rows { overflow-x: auto; } .rows td:first-child { white-space: normal; min-width: 220px; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
code { font-size: 13px; font-weight: 400; color: var(--weak); margin-left: 6px; }
pre { font-size: 12px; margin: 0; text-align: left; white-space: pre-wrap; color: var(--weak); }
@media print {
  :root { color-scheme: light; --text: #000; --weak: #444; --line: #bbb; --page: #fff; --sheet: #fff; --bad: #b3261e; --good: #1c7a3e; }
  body { padding: 0; font-size: 11px; } section, .summary { border-radius: 0; padding: 8px 12px; margin: 0 0 10px; }
  tr, h2 { break-inside: avoid; } h2 { break-after: avoid; } .plots { grid-template-columns: 1fr 1fr; }
}
";

/// A whole page around `body`, which is HTML.
pub fn shell(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style><main>{body}</main></html>\n",
        escape(title)
    )
}

/// Text that stands in a page.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
