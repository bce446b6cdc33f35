// Runs before the page is drawn, so that it never appears in the wrong colours.
"use strict";
try {
  const chosen = localStorage.getItem("kube-router-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch { /* without storage the system's colours count */ }
