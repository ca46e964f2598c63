// The colours of a picture: which one, where its parts are, and which of them.
(() => {
  "use strict";
  const sem2nerf = (globalThis.sem2nerf ??= {});
  const { wordsOf } = sem2nerf;

  const SIDES = { file: "its mask, a file", sheet: "the mask on the sheet, of the photograph below it", found: "a face segmenter" };

  /** The dialog #colours; an engine that has no `colours` has none. Found colours go to `style`. */
  sem2nerf.makeColours = ({ find, engine, about, board, mask, photo, style, sides, state, notices }) => {
    const dialog = find("colours"), names = about.colours ?? [];
    let running = null;
    find("colours-open").hidden = !names.length;
    if (!names.length) return;

    for (const name of names) {
      const label = document.createElement("label"), box = document.createElement("input");
      Object.assign(box, { type: "checkbox", checked: true, value: name });
      label.append(box, wordsOf(name));
      find("colours-parts").append(label);
    }
    find("colours-order").append(...(about.orders ?? []).map(order => new Option(sem2nerf.ORDERS[order] ?? order, order)));

    const from = () => find("colours-from").value;
    const chosen = id => find(id).files[0] ?? null;
    const parts = () => [...find("colours-parts").querySelectorAll("input:checked")].map(box => box.value);
    const traced = () => photo.image && !sides.on;

    function press() {
      find("colours-picture-line").hidden = from() === "sheet";
      find("colours-mask-line").hidden = from() !== "file";
      find("colours-order-line").hidden = from() !== "file" || !(about.orders?.length > 1);
      const ready = from() === "sheet" ? traced() : chosen("colours-picture") && (from() !== "file" || chosen("colours-mask"));
      find("colours-take").disabled = !ready || !parts().length;
    }

    /** The photograph as it lies below the mask, pixel for pixel. */
    const sheet = async () => ({
      name: photo.file?.name ?? "the photograph", order: "celebamask", mask: await sem2nerf.pngOfLabels(mask),
      picture: await new Promise(resolve => board.photo.toBlob(resolve)),
    });

    const files = () => ({
      name: chosen("colours-picture").name, order: find("colours-order").value, picture: chosen("colours-picture"),
      mask: from() === "file" ? chosen("colours-mask") : null,
    });

    async function take() {
      if (running) { running.abort(); return; }
      const ours = running = new AbortController(), wanted = parts();
      notices.clear("style");
      find("colours-wait").hidden = false;
      find("colours-take").textContent = "Stop";
      try {
        const { name, ...reference } = from() === "sheet" ? await sheet() : files();
        const { seed } = style.value;   // the mask's own head is what is fitted, whatever style it has now
        const asked = { ...state(), style: { seed, layers: [] } };
        const found = await engine.colours(asked, { ...reference, parts: wanted.length < names.length ? wanted : [] }, { signal: ours.signal });
        if (ours.signal.aborted) return;
        dialog.close();
        style.take({ layers: found.layers, codes: found.codes, name: name.length > 24 ? `${name.slice(0, 23)}…` : name });
        const nearer = Object.entries(found.before).map(([part, before]) => `${wordsOf(part)} ${Math.round(before)} → ${Math.round(found.after[part])}`);
        notices.warn("style", `Differences of colour from ${name}, of 255: ${nearer.join(", ")}`);
      } catch (error) {
        if (!ours.signal.aborted) notices.error("style", `These colours could not be taken: ${error.message}`);
      } finally {
        running = null;
        find("colours-wait").hidden = true;
        find("colours-take").textContent = "Take its colours";
        press();
      }
    }

    find("colours-open").addEventListener("click", () => {
      const ways = ["file", ...(traced() ? ["sheet"] : []), ...(about.faces ? ["found"] : [])], before = from();
      find("colours-from").replaceChildren(...ways.map(way => new Option(SIDES[way], way)));
      find("colours-from").value = ways.includes(before) ? before : ways.at(-1);
      notices.clear("style");
      dialog.showModal();
      press();
    });
    dialog.addEventListener("change", press);
    dialog.addEventListener("close", () => running?.abort());
    find("colours-take").addEventListener("click", take);
  };
})();
