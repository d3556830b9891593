// Sets the theme and the language before the first paint. It is a file of its own, as no inline script may run.
(function () {
  var root = document.documentElement;
  try {
    var theme = localStorage.getItem("imagemill.theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    var language = localStorage.getItem("imagemill.language");
    if (language) root.lang = language;
  } catch (error) {
    // Storage may be switched off; the system's theme is used then.
  }
})();
