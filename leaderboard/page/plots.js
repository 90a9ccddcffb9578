"use strict";
/* What all figures share: colours of the theme, labels, matrices, and drawing when a figure comes into view. */
const Plots = (() => {
  const GROUPS = [
    "#4477aa", "#e2586a", "#228833", "#b09a1e", "#3b9fc9", "#aa3377", "#d9764f", "#2f9e80", "#8a6d00", "#7b6fc4",
    "#8c564b", "#7c8894",
  ];
  const SCALES = {
    light: [[0, "#f7f5ef"], [0.25, "#cfe3da"], [0.5, "#7fb8b3"], [0.75, "#2f7f93"], [1, "#0e3a56"]],
    dark: [[0, "#14222c"], [0.25, "#17465a"], [0.5, "#2b7f8c"], [0.75, "#7dc0ae"], [1, "#f2f2c8"]],
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (variable) => getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
  const theme = () => ({
    ink: colour("--ink"), quiet: colour("--quiet"), line: colour("--line"), card: colour("--card"),
    soft: colour("--soft"), accent: colour("--accent"), warn: colour("--warn"),
    scale: SCALES[dark.matches ? "dark" : "light"],
  });
  const groupColour = (index) => GROUPS[index % GROUPS.length];
  const narrow = () => innerWidth < 760;

  // Plotly reads tags and entities in its labels: text from records must not be taken for either.
  const text = (value) => String(value).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const cut = (value, length) => (value.length > length ? value.slice(0, length - 1) + "…" : value);
  const full = ([code, name]) => text(name === code ? code : `${name} (${code})`);
  const labels = (languages, places) => {
    const codes = narrow() || languages.length > 60;
    return places.map((at) => text(codes ? languages[at][0] : cut(languages[at][1], 22)));
  };
  const number = (value, digits = 3) => (value == null ? "–" : String(+value.toPrecision(digits)).replace("-", "−"));
  const points = (value) => (value == null ? "–" : (value * 100).toFixed(1).replace("-", "−"));

  /* A flat list back to rows; of a symmetric matrix it holds the upper triangle. */
  const unpack = (flat, n) => {
    const rows = Array.from({ length: n }, () => new Array(n).fill(null));
    let at = 0;
    const triangle = flat.length !== n * n;
    for (let s = 0; s < n; s++)
      for (let t = triangle ? s : 0; t < n; t++) {
        rows[s][t] = flat[at++];
        if (triangle) rows[t][s] = rows[s][t];
      }
    return rows;
  };
  /* The range of the cells off the diagonal, which would outshine all others. */
  const range = (rows) => {
    let low = Infinity, high = -Infinity;
    rows.forEach((row, s) => row.forEach((cell, t) => {
      if (s !== t && cell != null) { low = Math.min(low, cell); high = Math.max(high, cell); }
    }));
    return low > high ? [0, 1] : low === high ? [low - 0.5, high + 0.5] : [low, high];
  };

  const axis = (colours, more = {}) => ({
    gridcolor: colours.line, zerolinecolor: colours.line, linecolor: colours.line, tickcolor: colours.line,
    automargin: true, fixedrange: true, ...more,
  });
  const named = (colours, names, more = {}) => axis(colours, {
    tickmode: "array", tickvals: names.map((_, at) => at), ticktext: names, showgrid: false, zeroline: false,
    tickfont: { size: names.length > 60 ? 7 : names.length > 30 ? 9 : 11 }, ...more,
  });
  const layout = (colours, title, height, more = {}) => ({
    title: { text: title, x: 0, xref: "container", xanchor: "left", pad: { l: 8, t: 18 }, y: 1, yref: "container",
      yanchor: "top", automargin: false, font: { size: 15, color: colours.ink } },
    height, margin: { l: 10, r: 14, t: 62, b: 10 }, paper_bgcolor: colours.card, plot_bgcolor: colours.card,
    font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, sans-serif", size: 12, color: colours.ink },
    hoverlabel: { font: { size: 12 }, align: "left" }, modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.quiet, activecolor: colours.accent }, dragmode: false, showlegend: false, ...more,
  });
  const heading = (title, under) =>
    `${text(title)}<br><span style="font-size:11px;color:${colour("--quiet")}">${text(cut(under, narrow() ? 40 : 90))}</span>`;

  const pending = new Map();
  const draw = (element) => {
    const make = pending.get(element);
    if (!make) return;
    pending.delete(element);
    const { data, layout: shape } = make(element.clientWidth);
    Plotly.newPlot(element, data, shape, {
      responsive: true, displaylogo: false, displayModeBar: true, scrollZoom: false, doubleClick: false,
      modeBarButtons: [["toImage"]],
      toImageButtonOptions: { format: "png", scale: 2, filename: element.dataset.file },
    });
  };
  const watcher = "IntersectionObserver" in window
    ? new IntersectionObserver((seen) => seen.forEach((one) => {
        if (one.isIntersecting) { watcher.unobserve(one.target); draw(one.target); }
      }), { rootMargin: "300px" })
    : null;

  /* Put figures ({id, label, wide, height, caption, make(width)}) into a container, in place of those there. */
  const show = (container, figures, file) => {
    container.querySelectorAll(".plot").forEach((old) => {
      pending.delete(old);
      if (watcher) watcher.unobserve(old);
      Plotly.purge(old);
    });
    container.replaceChildren(...figures.map((figure) => {
      const element = document.createElement("figure");
      element.id = `figure-${figure.id}`;
      if (figure.wide) element.className = "wide";
      const plot = document.createElement("div");
      plot.className = "plot";
      plot.id = `plot-${figure.id}`;
      plot.style.minHeight = "20rem"; // so that only those in view are drawn
      plot.dataset.file = `${file}-${figure.id}`.replace(/[^\w.=+-]+/g, "_");
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", figure.label);
      const caption = document.createElement("figcaption");
      caption.textContent = figure.caption;
      element.append(plot, caption);
      pending.set(plot, (width) => { plot.style.minHeight = ""; return figure.make(width); });
      return element;
    }));
    container.querySelectorAll(".plot").forEach((plot) => (watcher ? watcher.observe(plot) : draw(plot)));
  };

  return { theme, dark, groupColour, narrow, text, cut, full, labels, number, points, unpack, range, axis, named,
    layout, heading, show };
})();
