// The search index weighs as much as the rest of a page: it is fetched when the reader turns to the search.
// The theme asks for it at once, so its request is held here until the search box has the focus.

"use strict";

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
