/* What is wider than its place can be scrolled with the keyboard: it gets the focus, but only if there is more to see. */
(function () {
  for (const box of document.querySelectorAll("pre")) box.classList.toggle("drawn", /[\u2500-\u257f]/.test(box.textContent));
  function look() {
    for (const box of document.querySelectorAll("pre, .scroll, .table-wrapper")) {
      if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }
  look();
  window.addEventListener("load", look);
  window.addEventListener("resize", look);
  document.addEventListener("toggle", look, true);
})();
