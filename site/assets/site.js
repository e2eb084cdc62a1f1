// Draws the diagrams of a page, in the colours that the page has, and again when those change. Pages without one load nothing.

const diagrams = [...document.querySelectorAll("pre.mermaid")].map((place) => ({ place, text: place.textContent }));

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

function draw() {
  window.mermaid.initialize({ startOnLoad: false, theme: isDark() ? "dark" : "neutral", securityLevel: "strict" });
  for (const { place, text } of diagrams) {
    place.removeAttribute("data-processed");
    place.textContent = text;
  }
  void window.mermaid.run({ nodes: diagrams.map(({ place }) => place) });
}

if (diagrams.length > 0) {
  const script = document.createElement("script");
  script.src = `${document.documentElement.dataset.base}assets/mermaid.tiny.js`;
  script.addEventListener("load", () => {
    draw();
    new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  });
  document.head.append(script);
}
