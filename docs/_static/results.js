/* A formula is on a page twice, to be seen and to be heard. In the excerpts of search results, once is enough. */
(function () {
  const text = Search.htmlToText;
  Search.htmlToText = (source, anchor) => {
    const page = new DOMParser().parseFromString(source, "text/html");
    for (const double of page.querySelectorAll(".katex-html, annotation")) double.remove();
    return text(page.documentElement.outerHTML, anchor);
  };
})();
