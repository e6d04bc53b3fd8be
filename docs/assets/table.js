// Makes tables sort and filter: <div data-table="NOUN"><table>...</table></div>. Without it they are plain tables.
// A cell's data-value is what it is sorted by; numbers before text, empty last.

"use strict";

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? a.localeCompare(b, "en", { numeric: true }) : difference;
}

function enhance(box) {
  const table = box.querySelector("table");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const labels = heads.map((head, at) => rows[0]?.cells[at].dataset.label ?? head.textContent.trim());
  const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();

  function restore() {
    body.append(...rows);
    heads.forEach((head) => head.removeAttribute("aria-sort"));
  }

  function sort(column, direction) {
    const sign = direction === "descending" ? -1 : 1;
    const filled = (row) => value(row, column) !== "";
    const order = [...rows].sort(
      (a, b) => filled(b) - filled(a) || sign * compare(value(a, column), value(b, column)),
    );
    body.append(...order);
    heads.forEach((head, at) => {
      if (at === column) head.setAttribute("aria-sort", direction);
      else head.removeAttribute("aria-sort");
    });
    select.value = `${column} ${direction}`;
  }

  heads.forEach((head, column) => {
    const button = element("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => {
      sort(column, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
    });
    head.replaceChildren(button);
  });

  const select = element("select", {}, element("option", { value: "", textContent: "as it comes" }));
  labels.forEach((label, column) => {
    for (const [direction, arrow] of [["ascending", "↑"], ["descending", "↓"]]) {
      select.append(element("option", { value: `${column} ${direction}`, textContent: `${label} ${arrow}` }));
    }
  });
  select.addEventListener("change", () => {
    const [column, direction] = select.value.split(" ");
    if (direction) sort(Number(column), direction);
    else restore();
  });

  const input = element("input", { type: "search", placeholder: "such as b4" });
  const status = element("span", { role: "status" });
  function filter() {
    const words = input.value.toLowerCase().split(/\s+/);
    rows.forEach((row) => {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    });
    const shown = rows.filter((row) => !row.hidden).length;
    status.textContent = `${shown} of ${rows.length} ${box.dataset.table}s`;
  }
  input.addEventListener("input", filter);
  filter();

  const narrow = element("label", { className: "only-narrow" }, "Sort by", select);
  box.prepend(element("div", { className: "table-tools" }, element("label", {}, "Filter", input), narrow, status));
}

document.querySelectorAll("[data-table]").forEach(enhance);
