"use strict";
{
  const state = document.getElementById("state");
  let source = null;
  const cell = (kind, text) => {
    const made = document.createElement(kind);
    if (kind === "th") made.scope = "row";
    made.textContent = text;
    return made;
  };
  const row = texts => {
    const made = document.createElement("tr");
    made.append(...texts.map((text, place) => cell(place ? "td" : "th", text)));
    return made;
  };
  const show = told => {
    for (const [id, value] of Object.entries(told)) {
      const at = document.getElementById(id);
      if (!at) continue;
      if (Array.isArray(value)) at.replaceChildren(...value.map(row));
      else if (at.tagName === "path") at.setAttribute("d", value);
      else at.textContent = value;
    }
  };
  const say = (text, off) => {
    if (state.textContent !== text) state.textContent = text;
    state.classList.toggle("off", off);
  };
  const open = () => {
    source = new EventSource("/events");
    source.onmessage = event => { say("live", false); show(JSON.parse(event.data)); };
    source.onopen = () => say("live", false);
    source.onerror = () => say("not connected, figures may be old", true);
  };
  document.addEventListener("visibilitychange", () => {
    if (source) source.close();
    if (!document.hidden) open();
  });
  open();
}
