"use strict";
/* The figures of one measure, and the map of all groupings of a table. Matrices are [source][target]. */
const Figures = (() => {
  const P = Plots;
  const pairs = (rows) => rows.flat().filter((cell, at) => cell != null && at % (rows.length + 1)).length;
  const square = (width, names) => {
    return Math.max(Math.min(width, names > 50 ? 960 : 620), Math.min(names * 8, 900), 300);
  };

  const matrix = (table, rows, order, title, under, unit, said, scale100) => (width) => {
    const colours = P.theme(), languages = table.languages;
    const z = order.map((s) => order.map((t) => (rows[s][t] == null ? null : rows[s][t] * (scale100 ? 100 : 1))));
    const [zmin, zmax] = P.range(z);
    const names = P.labels(languages, order);
    const hover = order.map((s) => order.map((t) => `${P.full(languages[s])} → ${P.full(languages[t])}<br>${said(s, t)}`));
    const layout = P.layout(colours, P.heading(title, under), square(width, order.length), {
      plot_bgcolor: colours.soft,
      xaxis: P.named(colours, names, { tickangle: -90, title: { text: "target", font: { size: 11, color: colours.quiet } } }),
      yaxis: P.named(colours, names, { autorange: "reversed", title: { text: "source", font: { size: 11, color: colours.quiet } } }),
    });
    const gap = order.length > 60 ? 0 : 1;
    const bar = { thickness: 9, outlinewidth: 0, tickfont: { size: 10 }, title: { text: P.narrow() ? "" : P.text(unit), side: "right", font: { size: 10 } } };
    return { data: [{ type: "heatmap", z, zmin, zmax, colorscale: colours.scale, xgap: gap, ygap: gap, hoverongaps: false,
      hoverinfo: "text", hovertext: hover, colorbar: bar }], layout };
  };

  /* The group that serves a language, or null. */
  const serving = (measure, at) => {
    if (measure.served[at] != null) return measure.served[at];
    const found = measure.groups.findIndex((group) => group.includes(at));
    return found < 0 ? null : found;
  };

  const scatter = (table, measure, S, T) => () => {
    const colours = P.theme(), names = table.languages.map(P.full);
    const kinds = { apart: { x: [], y: [], text: [] }, same: { x: [], y: [], text: [] } };
    S.forEach((row, s) => row.forEach((cell, t) => {
      if (s === t || cell == null || T[s][t] == null) return;
      const group = serving(measure, t);
      const into = group != null && measure.groups[group].includes(s) ? kinds.same : kinds.apart;
      into.x.push(cell);
      into.y.push(T[s][t] * 100);
      into.text.push(`${names[s]} → ${names[t]}<br>similarity ${P.number(cell)}<br>transfer ${P.points(T[s][t])}`);
    }));
    const trace = (points, name, shade, size, opacity) => ({ type: "scatter", mode: "markers", name, x: points.x, y: points.y,
      hovertext: points.text, hoverinfo: "text", marker: { color: shade, size, opacity } });
    const layout = P.layout(colours, P.heading("Similarity against transfer", measure.name), 460, {
      xaxis: P.axis(colours, { title: { text: "similarity", standoff: 6 }, zeroline: false }),
      yaxis: P.axis(colours, { title: { text: `transfer, ${P.text(table.metric)} ×100`, standoff: 6 }, zeroline: false }),
      showlegend: kinds.same.x.length > 0, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
    });
    return { data: [trace(kinds.apart, "other pairs", colours.quiet, 5, 0.45), trace(kinds.same, "in one group", colours.warn, 7, 0.85)], layout };
  };

  const dendrogram = (table, measure) => () => {
    const colours = P.theme(), order = measure.order, n = measure.leaves.length;
    const paint = (at) => { const group = serving(measure, at); return group == null ? null : measure.colours[group]; };
    const nodes = measure.leaves.map((at) => ({ y: order.indexOf(at), x: 0, paint: paint(at) }));
    const branches = new Map();
    measure.merges.forEach(([left, right, height]) => {
      const a = nodes[left], b = nodes[right];
      const one = a.paint === b.paint ? a.paint : null;
      nodes.push({ y: (a.y + b.y) / 2, x: height, paint: one });
      if (!branches.has(one)) branches.set(one, { x: [], y: [] });
      branches.get(one).x.push(a.x, height, height, b.x, null);
      branches.get(one).y.push(a.y, a.y, b.y, b.y, null);
    });
    const data = [...branches].map(([one, line]) => ({ type: "scatter", mode: "lines", x: line.x, y: line.y, hoverinfo: "skip",
      line: { color: one == null ? colours.quiet : P.groupColour(one), width: one == null ? 1 : 2 } }));
    data.push({ type: "scatter", mode: "markers", x: order.slice(0, n).map(() => 0), y: order.slice(0, n).map((_, y) => y),
      cliponaxis: false, marker: { size: 8, color: order.slice(0, n).map((at) => (paint(at) == null ? colours.quiet : P.groupColour(paint(at)))) },
      hoverinfo: "text", hovertext: order.slice(0, n).map((at) => P.full(table.languages[at]) + (serving(measure, at) == null ? "" : `<br>group ${serving(measure, at) + 1}`)) });
    const names = P.labels(table.languages, order.slice(0, n));
    const layout = P.layout(colours, P.heading("Dendrogram", measure.name), Math.max(460, 110 + n * (n > 60 ? 11 : 17)), {
      xaxis: P.axis(colours, { title: { text: "distance", standoff: 6 }, rangemode: "tozero", zeroline: false, showgrid: false }),
      yaxis: P.named(colours, names, { range: [n - 0.4, -0.6], ticks: "outside", ticklen: 7, tickcolor: "rgba(0,0,0,0)" }),
    });
    return { data, layout };
  };

  const gains = (table, measure) => () => {
    const colours = P.theme(), kinds = Object.entries(measure.gains).filter(([, gain]) => gain);
    const lead = kinds[0][1].each;
    const shown = table.languages.map((_, at) => at).filter((at) => kinds.some(([, gain]) => gain.each[at] != null));
    shown.sort((a, b) => (lead[b] ?? -Infinity) - (lead[a] ?? -Infinity) || a - b);
    const looks = { multilingual: [colours.accent, "circle", -0.14], monolingual: [colours.warn, "diamond", 0.14] };
    const data = kinds.map(([kind, gain]) => {
      const [shade, symbol, shift] = looks[kind];
      const interval = gain.items || gain.seeds;
      const all = [gain.mean, ...shown.map((at) => gain.each[at])].map((value) => (value == null ? null : value * 100));
      const known = interval && gain.mean != null; // one bar, of the first dot; a 0 would be drawn as one, too
      const bars = known ? [(interval[1] - gain.mean) * 100] : [], below = known ? [(gain.mean - interval[0]) * 100] : [];
      const hover = ["mean", ...shown.map((at) => P.full(table.languages[at]))].map((name, at) => `${name}<br>${P.points(at ? gain.each[shown[at - 1]] : gain.mean)} points over ${kind}` +
        (at || !interval ? "" : ` [${P.points(interval[0])}, ${P.points(interval[1])}]`));
      return { type: "scatter", mode: "markers", name: `over ${kind}`, x: all, y: all.map((_, at) => at + shift), hoverinfo: "text",
        hovertext: hover, marker: { color: shade, symbol, size: all.map((_, at) => (at ? 8 : 11)) },
        error_x: { type: "data", symmetric: false, array: bars, arrayminus: below, visible: Boolean(known), color: shade, thickness: 1.5, width: 3 } };
    });
    const names = ["<b>mean</b>", ...P.labels(table.languages, shown)];
    const layout = P.layout(colours, P.heading("Gain of every language", measure.name), Math.max(460, 120 + names.length * (names.length > 60 ? 11 : 17)), {
      xaxis: P.axis(colours, { title: { text: "points", standoff: 6 }, zeroline: true, zerolinecolor: colours.quiet }),
      yaxis: P.named(colours, names, { range: [names.length - 0.4, -0.6], showgrid: true }),
      showlegend: true, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
    });
    return { data, layout };
  };

  /* Small multiples: the measure on all its evidence, then on each part. */
  const views = (table, measure, chosen, title) => (width) => {
    const colours = P.theme(), order = measure.order;
    const panels = [{ name: "all", matrix: measure.similarity, rho: measure.rho }, ...chosen];
    const columns = Math.min(panels.length, width < 520 ? 2 : width < 900 ? 3 : 4);
    const lines = Math.ceil(panels.length / columns);
    const across = 1 / columns, side = (width - 20) / columns, down = 1 / lines;
    const data = [], shapes = { annotations: [] };
    panels.forEach((panel, at) => {
      const id = at ? at + 1 : "", left = (at % columns) * across, top = 1 - Math.floor(at / columns) * down;
      const rows = P.unpack(panel.matrix, table.languages.length);
      const z = order.map((s) => order.map((t) => (s === t ? null : rows[s][t])));
      const [zmin, zmax] = P.range(z);
      data.push({ type: "heatmap", z, zmin, zmax, colorscale: colours.scale, showscale: false, xaxis: `x${id}`, yaxis: `y${id}`, hoverongaps: false,
        hoverinfo: "text", hovertext: order.map((s) => order.map((t) => `${P.full(table.languages[s])} → ${P.full(table.languages[t])}<br>${P.text(panel.name)}: ${P.number(rows[s][t])}`)) });
      const edge = (domain, anchor, more) => P.axis(colours, { domain, anchor, showticklabels: false, ticks: "", showgrid: false, zeroline: false, automargin: false, ...more });
      const bottom = top - down + 6 / (lines * (side + 34)), upper = top - 34 / (lines * (side + 34));
      shapes[`xaxis${id}`] = edge([left + 0.006, left + across - 0.006], `y${id}`);
      shapes[`yaxis${id}`] = edge([bottom, upper], `x${id}`, { autorange: "reversed" });
      shapes.annotations.push({ text: P.text(panel.name) + (panel.rho == null ? "" : ` <span style="color:${colours.quiet}">ρ ${panel.rho.toFixed(2).replace("-", "−")}</span>`),
        showarrow: false, x: left + 0.006, xref: "paper", xanchor: "left", y: upper, yref: "paper", yanchor: "bottom", font: { size: 12 } });
    });
    const layout = P.layout(colours, P.heading(title, measure.name), 66 + lines * (side + 34), { plot_bgcolor: colours.soft, margin: { l: 10, r: 10, t: 56, b: 10 }, ...shapes });
    return { data, layout };
  };

  const yardstick = (table, measure, S) => () => {
    const colours = P.theme();
    const shown = table.languages.map((_, at) => at).filter((at) => measure.yardstick[at] != null);
    const mean = (at) => {
      const cells = S.flatMap((row, s) => (s === at ? [] : [row[at], S[at][s]])).filter((cell) => cell != null);
      return cells.length ? cells.reduce((sum, cell) => sum + cell, 0) / cells.length : null;
    };
    const trace = (name, value, shade, symbol) => ({ type: "scatter", mode: "markers", name, x: shown.map(value), y: shown.map((_, y) => y),
      hoverinfo: "text", hovertext: shown.map((at) => `${P.full(table.languages[at])}<br>${name}: ${P.number(value(at))}`), marker: { color: shade, size: 8, symbol } });
    const layout = P.layout(colours, P.heading("Yardstick", measure.name), Math.max(420, 110 + shown.length * 17), {
      xaxis: P.axis(colours, { title: { text: "similarity", standoff: 6 }, zeroline: false }),
      yaxis: P.named(colours, P.labels(table.languages, shown), { range: [shown.length - 0.4, -0.6], showgrid: true }),
      showlegend: true, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", font: { size: 11 } },
    });
    return { data: [trace("to others", mean, colours.quiet, "circle"), trace("to itself", (at) => measure.yardstick[at], colours.accent, "diamond")], layout };
  };

  const contributions = (measure) => () => {
    const colours = P.theme(), parts = measure.contributions;
    const names = parts.map(([part]) => P.text(P.cut(part, P.narrow() ? 18 : 36)));
    const layout = P.layout(colours, P.heading("What it is made of", measure.name), Math.max(260, 100 + parts.length * 26), {
      xaxis: P.axis(colours, { title: { text: "share, %", standoff: 6 }, rangemode: "tozero" }),
      yaxis: P.named(colours, names, { autorange: "reversed" }),
    });
    return { data: [{ type: "bar", orientation: "h", x: parts.map(([, share]) => share * 100), y: parts.map((_, at) => at), marker: { color: colours.accent },
      hoverinfo: "text", hovertext: parts.map(([part, share]) => `${P.text(part)}: ${P.points(share)} %`) }], layout };
  };

  const ofMeasure = (table, measure) => {
    if (!measure.similarity) return [];
    const n = table.languages.length, order = measure.order, facts = table.facts;
    const S = P.unpack(measure.similarity, n), T = P.unpack(table.transfers[measure.transfer], n);
    const both = S.flatMap((row, s) => row.map((cell, t) => (s !== t && cell != null && T[s][t] != null ? 1 : 0))).reduce((a, b) => a + b, 0);
    const said = (s, t) => `similarity ${P.number(S[s][t])}<br>transfer ${P.points(T[s][t])}`;
    const count = (rows) => `n = ${pairs(rows)} ordered pairs of ${n} languages`;
    const large = n > 50;
    const figures = [
      { id: "similarity", wide: large, label: "Heatmap of similarity", make: matrix(table, S, order, "Similarity", measure.name, "similarity", said, false),
        caption: `Source by row, target by column, in the order of the dendrogram; colours span the cells off the diagonal, empty cells are not known. ${facts} · ${count(S)}.` },
      { id: "transfer", wide: large, label: "Heatmap of transfer", make: matrix(table, T, order, "Transfer", `${table.task}, in the order of ${measure.name}`, `${table.metric} ×100`, said, true),
        caption: `Score on the target's test set of a model trained on the source alone, in the same order; the diagonal is the monolingual score. ${facts} · ${count(T)}.` },
      { id: "scatter", label: "Scatter of similarity against transfer", make: scatter(table, measure, S, T),
        caption: `A point is a source and a target. ${facts} · n = ${both} ordered pairs.` },
    ];
    if (measure.merges.length)
      figures.push({ id: "dendrogram", label: "Dendrogram of the languages", make: dendrogram(table, measure),
        caption: `Average linkage on the symmetrised similarity without its source and target effects; the distance is counted from the most alike pair.${measure.groups.length ? " Colours are the groups, which another rule than this tree has found." : ""} ${facts} · n = ${measure.leaves.length} languages.` });
    if (Object.values(measure.gains).some(Boolean)) {
      const intervals = Object.values(measure.gains).filter((gain) => gain && (gain.items || gain.seeds));
      const over = intervals.length ? ` The bar at the mean is its 95 % interval over ${intervals[0].items ? "test items" : "seeds"}; single languages have none.` : "";
      figures.push({ id: "gains", label: "Gains of every language", make: gains(table, measure),
        caption: `Score of the language in its group minus its score under one model for all, or under its own.${over} ${facts} · n = ${n} languages.` });
    }
    if (Object.keys(measure.yardstick).length)
      figures.push({ id: "yardstick", label: "Similarity to itself and to others", make: yardstick(table, measure, S),
        caption: `Similarity of a language to itself under another seed, and its mean similarity to the others: where the first is no higher, the second says nothing. ${facts} · n = ${Object.keys(measure.yardstick).length} languages.` });
    if (measure.contributions.length)
      figures.push({ id: "contributions", label: "Contributions", make: contributions(measure), caption: `Share of each part of this learned measure. ${facts} · n = ${measure.contributions.length} parts.` });
    if (figures.length % 2) figures.at(-1).wide = true; // no half row stays empty
    const part = measure.views.filter((view) => !view.along), along = measure.views.filter((view) => view.along);
    const panels = "Each panel has its own range of colours; ρ is the centred correlation with transfer of that part alone.";
    if (part.length)
      figures.push({ id: "parts", wide: true, label: "Similarity by part of the model", make: views(table, measure, part, "By part of the model"), caption: `${panels} ${facts} · ${count(S)}.` });
    if (along.length)
      figures.push({ id: "training", wide: true, label: "Similarity along the training", make: views(table, measure, along, "Along the training"), caption: `${panels} ${facts} · ${count(S)}.` });
    return figures;
  };

  const map = (table) => {
    const measures = table.measures.filter((measure) => measure.groups.length);
    if (!measures.length) return [];
    const make = () => {
      const colours = P.theme(), order = table.order, names = table.languages.map(P.full);
      const groups = measures.map((measure) => order.map((at) => serving(measure, at)));
      const z = groups.map((row, m) => row.map((group) => (group == null ? null : measures[m].colours[group] % 12)));
      const hover = groups.map((row, m) => row.map((group, at) => {
        const others = group == null ? [] : measures[m].groups[group].filter((other) => other !== order[at]);
        const listed = others.slice(0, 12).map((other) => P.text(table.languages[other][1])).join(", ") + (others.length > 12 ? ` and ${others.length - 12} more` : "");
        return `${P.text(measures[m].name)}<br>${names[order[at]]} ${group == null ? "in no group" : others.length ? `with ${listed}` : "alone"}`;
      }));
      const steps = Array.from({ length: 12 }, (_, at) => [[at / 12, P.groupColour(at)], [(at + 1) / 12, P.groupColour(at)]]).flat();
      const few = order.length <= 40 && !P.narrow();
      const layout = P.layout(colours, P.heading("Groups by measure", table.task), 150 + measures.length * 22, { plot_bgcolor: colours.soft,
        xaxis: P.named(colours, P.labels(table.languages, order), { tickangle: -90 }),
        yaxis: P.named(colours, measures.map((measure) => P.text(P.cut(measure.name, P.narrow() ? 16 : 40))), { autorange: "reversed", tickfont: { size: 11 } }) });
      return { data: [{ type: "heatmap", z, zmin: -0.5, zmax: 11.5, colorscale: steps, showscale: false, xgap: 1, ygap: 2, hoverongaps: false, hoverinfo: "text", hovertext: hover,
        text: groups.map((row) => row.map((group) => (group == null ? "" : String(group + 1)))), texttemplate: few ? "%{text}" : "", textfont: { size: 10, color: "#ffffff" } }], layout };
    };
    return [{ id: "map", wide: true, label: "Which measure puts which languages together", make,
      caption: `Cells of one row with one colour (and number) are one group; across rows, a colour goes with the languages it has most in common with. Languages stand beside those they are most often grouped with. ${table.facts} · n = ${measures.length} measures, ${table.languages.length} languages.` }];
  };

  return { ofMeasure, map, serving };
})();
