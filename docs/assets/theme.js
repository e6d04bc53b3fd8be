// What the theme leaves to be mended; this is loaded before its own script.

"use strict";

// The search index weighs as much as the rest of a page: it is fetched when the reader turns to the search. The
// theme asks for it at once, so its request is held until the search box has the focus.
class HeldRequest extends XMLHttpRequest {
  open(method, url, ...rest) {
    this.held = new URL(url, location).pathname.endsWith("/search/search_index.json");
    super.open(method, url, ...rest);
  }

  send(body) {
    const isSearch = (focused) => focused?.matches(".md-search__input");
    if (!this.held || isSearch(document.activeElement)) return super.send(body);
    const turned = (event) => {
      if (!isSearch(event.target)) return;
      document.removeEventListener("focusin", turned);
      super.send(body);
    };
    document.addEventListener("focusin", turned);
  }
}

window.XMLHttpRequest = HeldRequest;

// The script that searches is loaded with it: a worker starts when it is given its first message.
class IdleWorker extends EventTarget {
  constructor(...settings) {
    super();
    this.start = () => {
      const worker = new StartedWorker(...settings);
      worker.onmessage = ({ data }) => this.dispatchEvent(new MessageEvent("message", { data }));
      return worker;
    };
  }

  postMessage(message) {
    this.worker ??= this.start();
    this.worker.postMessage(message);
  }
}

const StartedWorker = Worker;
window.Worker = IdleWorker;

// What scrolls sideways can be reached, and so scrolled, by the keyboard.
const scrolling = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

// The contents of a page stand once in its HTML, beside the page; a phone shows them in the menu.
function fillMenu() {
  const menu = document.querySelector(".md-nav--primary .md-nav--secondary:empty");
  if (!menu || !document.querySelector(".md-content")) return; // which comes after the contents
  menu.append(...document.querySelector(".md-sidebar--secondary nav").cloneNode(true).childNodes);
}

// The theme makes its boxes while the page is open. It calls that of each copy button a navigation.
const WIDE = ":is(.output, .scroll, .models-table, .md-typeset__scrollwrap, .formula > math):not([data-watched])";
new MutationObserver(() => {
  fillMenu();
  for (const box of document.querySelectorAll(".md-code__nav:not([role])")) box.setAttribute("role", "none");
  for (const box of document.querySelectorAll(WIDE)) {
    box.dataset.watched = "";
    scrolling.observe(box);
  }
}).observe(document.documentElement, { childList: true, subtree: true });
