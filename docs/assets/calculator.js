// Estimates a run from the table of <div data-calculator>, beside which it shows the controls. Without it the table
// stands alone. A row has the images/s of standard training; a cell has the cost of a step, standard training = 1.

"use strict";

for (const box of document.querySelectorAll("[data-calculator]")) {
  const [controls, status] = box.querySelectorAll("fieldset, [role=status]");
  const { model, method, steps, gpus, rate } = controls.elements;
  const note = status.querySelector("p");
  const row = () => box.querySelector(`tr[data-model="${model.value}"]`);
  const cells = () => [...row().querySelectorAll(`[data-method="${method.value}"]`)];
  const label = (select) => select.selectedOptions[0].textContent;

  function figure(number) {
    const digits = number >= 100 ? 0 : number >= 10 ? 1 : 2;
    return number.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  // Between and beyond two measured numbers of attack steps a cost lies on the line through both.
  function cost(count) {
    const known = cells().map(({ dataset }) => [Number(dataset.steps) || count, Number(dataset.cost)]);
    const found = known.find(([each]) => each === count);
    if (found || known.length < 2) return found?.[1];
    const [[first, low], [last, high]] = [known[0], known[known.length - 1]];
    return low + ((count - first) * (high - low)) / (last - first);
  }

  function show(results, words) {
    status.querySelector("dl").hidden = !results;
    for (const cell of status.querySelectorAll("[data-result]")) {
      cell.textContent = results ? figure(results[cell.dataset.result]) : "";
    }
    note.textContent = words;
    note.hidden = !words;
  }

  function update() {
    steps.disabled = cells().length > 0 && cells().every(({ dataset }) => !dataset.steps);
    const wrong = [steps, gpus, rate].find((each) => !each.disabled && (!each.value || !each.checkValidity()));
    if (wrong) {
      const kind = wrong === rate ? "number" : "whole number";
      const range = `${figure(Number(wrong.min))} to ${figure(Number(wrong.max))}`.replace(/\.00\b/g, "");
      return show(null, `${wrong.labels[0].textContent.trim()}: enter a ${kind} from ${range}.`);
    }
    const relative = cost(Number(steps.value));
    if (!relative) {
      const known = cells().map(({ dataset }) => dataset.steps).join(", ");
      const only = known ? ` Only K = ${known} was.` : "";
      return show(null, `${label(method)} with K = ${steps.value} was not measured on a GPU.${only}`);
    }
    const { base } = row().dataset;
    const own = rate.dataset.own === "true";
    const speed = ((own ? Number(rate.value) : Number(row().dataset.rate)) * Number(gpus.value)) / relative;
    const days = (cells()[0].dataset.epochs * box.dataset.images) / speed / 86400;
    const scaled = !own && base !== model.value;
    show(
      { images_per_second: speed, days, gpu_hours: days * 24 * Number(gpus.value) },
      scaled
        ? `${model.value} was not measured here: this is the speed of ${base}, scaled as timm's benchmark has the two.`
        : "",
    );
  }

  function start() {
    rate.value = Number(Number(row().dataset.rate).toPrecision(4));
    rate.dataset.own = "false";
  }

  model.addEventListener("change", start);
  rate.addEventListener("input", () => (rate.dataset.own = "true"));
  for (const event of ["change", "input"]) controls.addEventListener(event, update);
  start();
  update();
  controls.hidden = status.hidden = false;
}
