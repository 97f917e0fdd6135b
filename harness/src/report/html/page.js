"use strict";
document.documentElement.classList.add("js");

for (const figure of document.querySelectorAll("figure")) {
  const scroll = figure.querySelector(".scroll");
  const detail = figure.querySelector(".detail");
  const names = scroll.querySelector(".names");
  const picture = scroll.querySelector("svg:not(.names)");
  const size = [names, picture].map((svg) => [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height]);
  let details = null;
  let points = null;
  let at = -1;
  let zoom = 1;

  function show(i) {
    details ??= JSON.parse(figure.querySelector("script").textContent);
    points ??= picture.querySelectorAll(".p");
    if (!details[i]) return;
    points[at]?.classList.remove("at");
    at = i;
    points[at].classList.add("at");
    const [ms, lane, text, raw] = details[i];
    const line = document.createElement("div");
    const where = document.createElement("b");
    where.textContent = `${ms.toFixed(3)} ms · ${lane}`;
    line.append(where, ` ${text}`);
    detail.replaceChildren(line);
    if (raw) {
      const bytes = document.createElement("pre");
      bytes.textContent = raw;
      detail.append(bytes);
    }
  }

  function scale(to, keep) {
    const before = zoom;
    zoom = Math.min(4, Math.max(0.02, to));
    [names, picture].forEach((svg, nth) => {
      svg.setAttribute("width", size[nth][0] * zoom);
      svg.setAttribute("height", size[nth][1] * zoom);
    });
    const middle = keep ?? (scroll.clientWidth - size[0][0] * before) / 2;
    scroll.scrollLeft = (scroll.scrollLeft + middle) * (zoom / before) - middle;
  }

  function step(by) {
    show(Math.max(0, at + by));
    points?.[at]?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  function fit() {
    scale(Math.min(1, scroll.clientWidth / (size[0][0] + size[1][0])));
    scroll.scrollLeft = 0;
  }

  detail.textContent = "Point at an observation for the bytes behind it.";
  detail.classList.add("quiet");
  picture.addEventListener("pointerover", (event) => {
    const point = event.target.closest(".p");
    if (point) show(Number(point.dataset.i));
  });
  figure.querySelector(".tools").addEventListener("click", (event) => {
    const how = event.target.dataset.zoom;
    if (how === "in") scale(zoom * 1.4);
    if (how === "out") scale(zoom / 1.4);
    if (how === "fit") fit();
  });
  scroll.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const left = names.getBoundingClientRect().right;
    scale(zoom * Math.exp(-event.deltaY / 300), event.clientX - left);
  }, { passive: false });
  const keys = {
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
    Home: () => { at = -1; step(1); },
    "+": () => scale(zoom * 1.4),
    "-": () => scale(zoom / 1.4),
    "0": fit,
  };
  scroll.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  const offending = picture.querySelector(".off");
  if (offending) {
    show(Number(offending.dataset.i));
    const x = Number(offending.getAttribute("transform").match(/\(([\d.]+)/)[1]) - size[0][0];
    scroll.scrollLeft = x - (scroll.clientWidth - size[0][0]) / 2;
  }
}

const input = document.querySelector(".filter input");
if (input) {
  const all = [...document.querySelectorAll("[data-find]")].map((element) => [element, element.dataset.find.toLowerCase()]);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [element, text] of all) {
      element.hidden = !words.every((word) => text.includes(word));
      shown += element.hidden || element.tagName !== "TR" ? 0 : 1;
    }
    document.querySelector(".shown").textContent = words.length ? `${shown} requirements` : "";
  });
}
