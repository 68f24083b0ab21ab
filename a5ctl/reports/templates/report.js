"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const themes = ["system", "light", "dark"];
  const button = byId("theme");
  const remembered = () => {
    try { return localStorage.getItem("a5ctl-report-theme"); } catch { return null; }
  };
  const remember = (theme) => {
    try { localStorage.setItem("a5ctl-report-theme", theme); } catch { /* a page may not be allowed to keep anything */ }
  };
  const dress = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  let theme = themes.includes(remembered()) ? remembered() : "system";
  dress(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    dress(theme);
    remember(theme);
  });

  const step = 25;
  const form = byId("filters");
  if (form) {
    const all = [...document.querySelectorAll(".example")];
    const texts = all.map((one) => one.textContent.toLowerCase());
    const more = byId("more");
    const found = byId("found");
    const opener = byId("open-all");
    let most = step;
    const fits = (one, place) =>
      (!byId("by-class").value || one.dataset.class === byId("by-class").value) &&
      (!byId("by-run").value || one.dataset.run === byId("by-run").value) &&
      texts[place].includes(byId("by-text").value.toLowerCase());
    const shown = () => all.filter((one) => !one.hidden);
    const label = () => {
      const open = shown().length > 0 && shown().every((one) => one.open);
      opener.textContent = open ? "Close all" : "Open all";
    };
    const update = () => {
      let number = 0;
      all.forEach((one, place) => {
        const fitting = fits(one, place);
        one.hidden = !fitting || number >= most;
        number += fitting;
      });
      const visible = Math.min(number, most);
      found.textContent = `${visible} of ${number} responses that fit are shown, ${all.length} are on this page.`;
      more.hidden = number <= most;
      label();
    };
    const restart = () => { most = step; update(); };
    form.hidden = found.hidden = false;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", restart);
    let waiting = 0;
    byId("by-text").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(restart, 120);
    });
    more.addEventListener("click", () => {
      const before = shown().length;
      most += step;
      update();
      const next = shown()[before];
      if (next) next.querySelector("summary").focus();
    });
    opener.addEventListener("click", () => {
      const open = opener.textContent === "Open all";
      shown().forEach((one) => { one.open = open; });
      label();
    });
    byId("examples").addEventListener("toggle", label, true);
    update();
  }

  const reveal = () => {
    const place = location.hash.length > 1 && byId(location.hash.slice(1));
    if (place && place.tagName === "DETAILS") {
      place.open = true;
      place.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();

  const reachable = () => {
    document.querySelectorAll(".scroll").forEach((one) => {
      if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
      else one.removeAttribute("tabindex");
    });
  };
  addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true);
  reachable();
})();
