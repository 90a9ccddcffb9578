"use strict";
/* Sorting, filters, downloads, the choice of a measure; all of it in the address, so that a view can be shared. */
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const DEFAULTS = { task: "", model: "", family: "", access: "", q: "", sort: "", dir: "", table: "", measure: "" };
  let state = { ...DEFAULTS };
  const filters = document.querySelector(".filters"), choice = document.querySelector(".choice");
  const boards = [...document.querySelectorAll(".board:not(.across)")]; // one for each of DATA.tables
  const across = [...document.querySelectorAll(".across")];
  const key = (table) => `${table.task}/${table.protocol}`;
  const rowsOf = (board, kinds) => kinds.flatMap((kind) => [...board.querySelectorAll(`tbody.${kind} > tr[data-name]`)]);

  const read = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    state = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, given.get(name) ?? ""]));
  };
  const write = () => {
    const kept = new URLSearchParams(Object.entries(state).filter(([, value]) => value));
    const hash = kept.toString() ? `#${kept}` : "#";
    if (hash !== location.hash && (kept.toString() || location.hash)) {
      try { history.replaceState(null, "", hash); } catch { location.hash = hash; }
    }
  };
  const change = (changes) => { state = { ...state, ...changes }; write(); render(); };

  /* Tables */
  const wanted = (board) =>
    (!state.model || state.model === board.dataset.model) &&
    (!state.task || state.task === board.dataset.task || state.task === `${board.dataset.task}/${board.dataset.protocol}`);
  const fits = (row) =>
    (!state.family || row.dataset.family === state.family) && (!state.access || row.dataset.access === state.access) &&
    row.dataset.name.toLowerCase().includes(state.q.trim().toLowerCase());
  const value = (row, column) => {
    const cell = column === "name" ? row.cells[0] : row.querySelector(`td[data-column="${column}"]`);
    const found = cell?.dataset.v;
    return found === undefined ? null : column === "name" || column === "access" ? found : Number(found);
  };
  const sortBoard = (board) => {
    const heads = [...board.querySelectorAll("thead th[data-column]")];
    heads.forEach((head) => head.setAttribute("aria-sort", head.dataset.column !== state.sort ? "none" : state.dir === "asc" ? "ascending" : "descending"));
    const sign = state.dir === "asc" ? 1 : -1;
    board.querySelectorAll("tbody").forEach((body) => {
      const rows = [...body.querySelectorAll("tr[data-name]")].map((row) => [row, state.sort ? value(row, state.sort) : null]);
      rows.sort(([a, x], [b, y]) => {
        const order = x === null || y === null ? (x === null) - (y === null) : sign * (typeof x === "string" ? x.localeCompare(y, "en") : x - y);
        return order || a.dataset.row - b.dataset.row;
      });
      body.append(...rows.map(([row]) => row));
    });
  };
  const renderBoards = () => {
    let shown = 0, all = 0;
    for (const board of [...boards, ...across]) {
      board.hidden = !wanted(board);
      sortBoard(board);
      for (const row of rowsOf(board, ["measure", "control"])) {
        row.hidden = !fits(row);
        if (across.includes(board)) continue; // the same measures once more
        all += 1;
        shown += !board.hidden && !row.hidden;
      }
      for (const body of board.querySelectorAll("tbody.measure, tbody.control"))
        body.hidden = ![...body.querySelectorAll("tr[data-name]")].some((row) => !row.hidden);
    }
    filters.querySelector(".count").textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows; baselines stay`;
    downloads();
  };

  /* Downloads: the rows that are shown, in the order of the records, every column at full precision. */
  const flat = (cell) => {
    if (cell == null) return "";
    if (Array.isArray(cell)) return Array.isArray(cell[0]) ? cell.map(flat).join("; ") : cell.join(" ");
    if (typeof cell === "object") return Object.entries(cell).map((pair) => pair.join(":")).join(" ");
    return String(cell);
  };
  const harmless = (cell) => (/^[=+\-@\t\r]/.test(cell) && Number.isNaN(Number(cell)) ? `'${cell}` : cell); // no formulas
  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const downloads = () => {
    const visible = new Set([...boards, ...across].filter((board) => !board.hidden).flatMap((board) =>
      rowsOf(board, ["measure", "control", "baseline"]).filter((row) => !row.hidden).map((row) => Number(row.dataset.row))));
    for (const board of boards.filter((one) => !one.hidden && one.dataset.more)) {
      const [first, end] = board.dataset.more.split(" ").map(Number);
      for (let at = first; at < end; at += 1) visible.add(at);
    }
    const rows = DATA.rows.filter((_, at) => visible.has(at));
    const csv = [DATA.columns, ...rows.map((row) => row.map(flat).map(harmless))].map((row) => row.map(quoted).join(",")).join("\n") + "\n";
    const json = JSON.stringify(rows.map((row) => Object.fromEntries(DATA.columns.map((name, place) => [name, row[place]]))), null, 1) + "\n";
    const link = (format, type, content) => { filters.querySelector(`[data-format="${format}"]`).href = `data:${type};charset=utf-8,${encodeURIComponent(content)}`; };
    link("csv", "text/csv", csv);
    link("json", "application/json", json);
  };

  /* One measure */
  const option = (value, text) => { const made = document.createElement("option"); made.value = value; made.textContent = text; return made; };
  const chosenTable = () => {
    const visible = DATA.tables.filter((_, at) => !boards[at].hidden), known = visible.filter((table) => table.measures.length);
    return known.find((table) => key(table) === state.table) ?? known[0] ?? visible[0] ?? DATA.tables[0];
  };
  const chosenMeasure = (table) =>
    table.measures.find((one) => one.name === state.measure) ?? table.measures.find((one) => one.similarity) ?? table.measures[0];
  const element = (name, text, more = {}) => Object.assign(document.createElement(name), { textContent: text, ...more });
  const facts = (table, measure) => {
    const said = [`${measure.kind}, sees ${measure.access === "none" ? "none of the data" : measure.access}`, `strategy ${measure.strategy}`,
      measure.objective == null ? null : `objective ${Plots.number(measure.objective)}`, measure.recovery == null ? null : `recovery ${Plots.number(measure.recovery)}`,
      measure.objective_gain && `ρ of objective and score ${Plots.number(measure.objective_gain[0], 2)} over ${measure.objective_gain[1]} random groupings`,
      `${measure.trainings} trainings`, `${Plots.number(measure.seconds)} s`];
    const parts = [element("p", said.filter(Boolean).join(" · "))];
    if (measure.skipped) parts.push(element("p", `Skipped: ${measure.skipped}`));
    else if (!measure.similarity) parts.push(element("p", "A sample carries scores only: there are no figures of it."));
    if (measure.groups.length) {
      const list = element("ul", "", { className: "groups" });
      measure.groups.forEach((group, at) => {
        const item = element("li", "");
        item.style.borderLeftColor = Plots.groupColour(measure.colours[at]);
        item.append(element("i", `${at + 1} `), group.map((code) => {
          const elsewhere = measure.served[code] != null && measure.served[code] !== at;
          return table.languages[code][1] + (elsewhere ? ` (served by ${measure.served[code] + 1})` : "");
        }).join(", "));
        list.append(item);
      });
      parts.push(list);
    } else if (!measure.skipped) parts.push(element("p", "No groups were formed."));
    document.querySelector(".facts").replaceChildren(...parts);
  };
  let drawn = [null, null];
  const renderFigures = () => {
    const table = chosenTable(), measure = chosenMeasure(table);
    document.getElementById("figures").hidden = !measure;
    if (!measure) return; // strategies by themselves
    choice.elements.table.replaceChildren(...DATA.tables.filter((_, at) => !boards[at].hidden).map((one) => option(key(one), `${one.task}, protocol ${one.protocol}`)));
    choice.elements.table.value = key(table);
    choice.elements.table.closest("label").hidden = choice.elements.table.length < 2;
    choice.elements.measure.replaceChildren(...table.measures.map((one) => option(one.name, one.name + (one.skipped ? " (skipped)" : ""))));
    choice.elements.measure.value = measure.name;
    boards.forEach((board, at) => rowsOf(board, ["measure", "control"]).forEach((row) =>
      row.classList.toggle("chosen", DATA.tables[at] === table && row.dataset.name === measure.name)));
    if (drawn[0] !== measure) {
      facts(table, measure);
      Plots.show(document.querySelector(".plots:not(.map)"), Figures.ofMeasure(table, measure), `${table.task}-${measure.name}`);
    }
    if (drawn[1] !== table) {
      const map = Figures.map(table);
      document.getElementById("map-title").hidden = !map.length;
      Plots.show(document.querySelector(".plots.map"), map, table.task);
    }
    drawn = [measure, table];
  };

  const render = () => {
    for (const name of ["task", "model", "family", "access", "q"]) if (filters.elements[name].value !== state[name]) filters.elements[name].value = state[name];
    renderBoards();
    renderFigures();
  };

  filters.addEventListener("input", (event) => change({ [event.target.name]: event.target.value }));
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", (event) => { event.preventDefault(); change({ task: "", model: "", family: "", access: "", q: "", sort: "", dir: "" }); });
  choice.addEventListener("input", (event) => change(event.target.name === "table" ? { table: event.target.value } : { measure: event.target.value }));
  choice.addEventListener("submit", (event) => event.preventDefault());
  [...boards, ...across].forEach((board, at) => board.addEventListener("click", (event) => {
    const head = event.target.closest("thead th[data-column]"), pick = event.target.closest(".pick");
    if (head) {
      const first = head.dataset.best === "low" ? "asc" : "desc", second = first === "asc" ? "desc" : "asc";
      const next = state.sort !== head.dataset.column ? first : state.dir === first ? second : "";
      change(next ? { sort: head.dataset.column, dir: next } : { sort: "", dir: "" }); // the third click: as at first
    } else if (pick) {
      const measure = pick.closest("tr").dataset.name, known = (table) => table.measures.some((one) => one.name === measure);
      const table = DATA.tables[at] ?? DATA.tables.find((one, place) => !boards[place].hidden && known(one)); // across: where it is known
      change({ ...(table && { table: key(table) }), measure });
      document.getElementById("figures").scrollIntoView({ behavior: "smooth" });
    }
  }));
  addEventListener("hashchange", () => { read(); render(); });
  const redraw = () => { drawn = [null, null]; renderFigures(); };
  Plots.dark.addEventListener("change", redraw);
  matchMedia("(max-width: 759px)").addEventListener("change", redraw);
  read();
  render();
})();
