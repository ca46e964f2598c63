// The list of parts, in the colours of the label table.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});
  const { keyOf, wordsOf } = sem2nerf;

  /** Buttons in `root` for the labels of a table; they choose what `tools` paints. Labels that the network ignores are
   *  offered only while the mask has them. */
  sem2nerf.makePalette = (root, labels, tools, mask) => {
    const buttons = labels.map(label => {
      const button = document.createElement("button"), colour = document.createElement("i");
      const name = document.createElement("span"), key = document.createElement("kbd");
      colour.style.background = `rgb(${label.colour})`;
      name.textContent = wordsOf(label.name);
      key.textContent = keyOf(label.index);
      key.setAttribute("aria-hidden", "true");
      button.type = "button";
      button.dataset.label = label.index;
      button.title = `${label.name}, label ${label.index}`;
      button.setAttribute("role", "radio");
      button.append(colour, name, key);
      button.addEventListener("click", () => tools.set({ label: label.index, tool: ["fill", "area"].includes(tools.tool) ? tools.tool : "brush" }));
      root.append(button);
      return button;
    });

    root.addEventListener("keydown", event => {
      const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
      const shown = buttons.filter(button => !button.hidden), at = shown.indexOf(document.activeElement);
      if (!step || at < 0) return;
      event.preventDefault();
      const next = shown[(at + step + shown.length) % shown.length];
      next.focus();
      next.click();
    });

    const show = () => {
      for (const [index, button] of buttons.entries()) {
        const chosen = index === tools.label;
        button.setAttribute("aria-checked", chosen);
        button.tabIndex = chosen ? 0 : -1;
      }
    };
    const offer = () => {
      if (!labels.some(label => label.ignored)) return;
      const present = new Set(mask.labels);
      for (const [index, button] of buttons.entries()) button.hidden = labels[index].ignored && !present.has(index);
    };
    tools.addEventListener("choose", show);
    mask.addEventListener("done", offer);
    mask.addEventListener("change", event => { if (!event.detail) offer(); });
    show();
    offer();
  };
})();
