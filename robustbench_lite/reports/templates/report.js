"use strict";
{
  const number = (text) => {
    const plain = text.replace("−", "-").replace(/(\d)\s(?=\d{3}(\D|$))/g, "$1");
    const found = plain.match(/^[×≤≥<>]?\s*([-+]?(?:\d*\.?\d+(?:e[-+]?\d+)?|inf))(?:\/(\d+))?/i);
    return found ? Number(found[1].replace(/inf/i, "Infinity")) / (found[2] ?? 1) : NaN;
  };
  const sort = (heads, at, body, original) => {
    const order = heads[at].ariaSort ? { ascending: "descending" }[heads[at].ariaSort] : "ascending";
    for (const head of heads) head.ariaSort = null;
    if (!order) return body.append(...original);
    heads[at].ariaSort = order;
    const keyed = original.map((row) => {
      const all = row.cells[at].innerText.trim();
      const text = all.split("\n")[0]; // below a value may stand its interval
      return { row, all, n: number(text), none: /^([–-]|not run)?$/.test(text) };
    });
    const numeric = keyed.every((k) => k.none || !Number.isNaN(k.n));
    const compare = (a, b) => (numeric ? a.n - b.n || 0 : a.all.localeCompare(b.all, "en", { numeric: true }));
    const sign = order === "ascending" ? 1 : -1;
    keyed.sort((a, b) => a.none - b.none || sign * compare(a, b));
    body.append(...keyed.map((k) => k.row));
  };
  for (const table of document.querySelectorAll(".scroll table")) {
    const body = table.tBodies[0];
    const [original, heads] = [[...body.rows], [...table.rows[0].cells]];
    if (original.length < 2 || table.querySelector("[colspan], [rowspan]")) continue;
    heads.forEach((head, at) => {
      if (head.matches(".plot, :empty")) return;
      const button = document.createElement("button");
      button.append(...head.childNodes);
      button.onclick = () => sort(heads, at, body, original);
      head.append(button);
    });
  }

  // A link leads to a section that may be folded.
  onhashchange = () => {
    const found = document.getElementById(location.hash.slice(1))?.querySelector(":scope > details");
    if (found) found.open = true;
  };
  onhashchange();
  // Browsers that do not know ::details-content would print folded parts without their contents.
  const folded = [];
  onbeforeprint = () => {
    folded.push(...document.querySelectorAll("details:not([open])"));
    for (const part of folded) part.open = true;
  };
  onafterprint = () => {
    for (const part of folded.splice(0)) part.open = false;
  };

  const dialog = document.querySelector("dialog");
  const examples = [...document.querySelectorAll(".pictures")];
  let shown = 0;
  const show = (index) => {
    shown = (index + examples.length) % examples.length;
    const copy = examples[shown].closest("article").cloneNode(true);
    for (const name of ["role", "tabindex"]) copy.querySelector("img").removeAttribute(name);
    dialog.querySelector("output").textContent = `${shown + 1} of ${examples.length}: ${copy.dataset.title}`;
    dialog.querySelector("div").replaceChildren(...copy.children);
  };
  const [before, after, close] = dialog.querySelectorAll("button");
  before.onclick = () => show(shown - 1);
  after.onclick = () => show(shown + 1);
  close.onclick = () => dialog.close();
  dialog.onkeydown = (event) => ({ ArrowLeft: before, ArrowRight: after })[event.key]?.click();
  examples.forEach((example, index) => {
    const picture = example.querySelector("img");
    Object.assign(picture, { tabIndex: 0, role: "button" });
    example.onclick = example.onkeydown = (event) => {
      if (event.key && event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      show(index);
      picture.focus();
      dialog.showModal();
    };
  });
}
